import type { Config } from "../config.ts";
import { CodexQueue } from "../delivery/codex.ts";
import { type ChannelMessage, Pusher } from "../delivery/push.ts";
import type { Route, Waker } from "../delivery/route.ts";
import { InboxSocket } from "../delivery/socket.ts";
import { sendToTelegram } from "../delivery/telegram.ts";
import { reasonOf, statOf } from "../files.ts";
import { Refusal } from "../mail/draft.ts";
import { Mailbox } from "../mail/mailbox.ts";
import { type Header, MAX_SUBJECT } from "../mail/message.ts";
import { isSweepDue, sweep } from "../mail/sweep.ts";
import { Watcher } from "../mail/watcher.ts";
import type { Heartbeats } from "../sessions/heartbeats.ts";
import { isName, lengthOf, type Name, nameProblem } from "../sessions/names.ts";
import type { Presence } from "../sessions/presence.ts";

/** What is done now and then waits until the session has started; the servers of a folder share one sweep an hour. */
const CHORES_FIRST_MS = 15_000;
const CHORES_EVERY_MS = 60_000;

/** A running session: online, receiving, with a mailbox. */
export class LiveSession {
  readonly mailbox: Mailbox;
  readonly pusher: Pusher;
  readonly #watcher: Watcher;
  /** The names that are known to be in use; and when (ms) to do what is done now and then. */
  #appeared = "";
  #choresAt = performance.now() + CHORES_FIRST_MS;

  /** Starts to receive. `notify` writes a channel notification to the client. */
  constructor(
    readonly config: Config,
    heartbeats: Heartbeats,
    readonly presence: Presence,
    route: Route,
    notify: (message: ChannelMessage) => Promise<void>,
  ) {
    warnIfShared(config);
    this.mailbox = new Mailbox(config, heartbeats, presence, presence.since);
    this.pusher = new Pusher(
      config,
      this.mailbox,
      presence,
      notify,
      route,
      wakerFor(route, config, presence),
    );
    this.#watcher = new Watcher(config, this.mailbox.inbox, () => this.#tick());
    void this.#watcher.ready.then(() => this.pusher.start());
    // Even a session that is over again by now was here, and mail for it is accepted.
    if (presence.isReceiving || presence.state === "left") void this.mailbox.appear();
    this.#tick();
  }

  #tick(): void {
    this.presence.check();
    this.presence
      .follow()
      .catch((error) => this.config.log(`name not followed: ${reasonOf(error)}`));
    this.pusher.tick();
    if (!this.presence.isReceiving) return;
    const names = this.presence.names.join();
    const isTime = performance.now() > this.#choresAt;
    if (isTime || names !== this.#appeared) void this.mailbox.appear();
    this.#appeared = names;
    if (!isTime) return;
    this.#choresAt = performance.now() + CHORES_EVERY_MS;
    this.#sweep().catch((error) => this.config.log(`sweep: ${reasonOf(error)}`));
  }

  async #sweep(): Promise<void> {
    if (isSweepDue(this.config)) await sweep(this.config, this.mailbox.inbox);
  }

  /** Forwards an escalation to Telegram. Where that fails, its sender is told with a message. */
  async forward({ from, subject, file }: Header, body: string): Promise<void> {
    const { telegram, log } = this.config;
    if (!telegram) return;
    try {
      await sendToTelegram(telegram, `[ESCALATION] ${subject}\nfrom ${from}\n\n${body}`.trimEnd());
    } catch (error) {
      log(`escalation ${file} did not reach Telegram: ${reasonOf(error)}`);
      await this.mailbox.inbox.outbox.deliver({
        from: "t9-ipc" as Name,
        to: from as Name,
        type: "ipc",
        priority: "high",
        subject: "escalation did not reach Telegram",
        body: `${file} is stored in the inbox, but was not forwarded: ${reasonOf(error)}.`,
      });
    }
  }

  /** Takes a name; resolves to how many unread messages wait for this session then. Throws Refusal. */
  async setName(name: string, workingOn: string | undefined): Promise<number> {
    const wanted = name.normalize("NFC");
    const length = lengthOf(workingOn ?? "");
    const tooLong = `working_on has ${length} characters, the limit is ${MAX_SUBJECT}. Shorten it.`;
    const problem = length > MAX_SUBJECT ? tooLong : nameProblem(wanted);
    const refusal =
      isName(wanted) && !problem ? await this.presence.rename(wanted, workingOn) : problem;
    if (refusal)
      throw new Refusal(`Not renamed, this session is still ${this.presence.name}. ${refusal}`);
    const unread = await this.mailbox.unread();
    this.#tick();
    return unread.filter(({ file }) => this.mailbox.inbox.read(file)).length;
  }

  /** Stops receiving. */
  async close(): Promise<void> {
    await Promise.all([this.#watcher.close(), this.mailbox.close()]);
  }
}

/** The path beside the channel notification that this session is woken by, where there is one. */
function wakerFor(route: Route, config: Config, { agent }: Presence): Waker | undefined {
  if (route === "codex queue") return new CodexQueue(agent?.argv[0]);
  return route === "inbox socket" && config.socket
    ? new InboxSocket(config, config.socket, agent)
    : undefined;
}

/** Mail in a folder that others can write to may come from them, whoever it says it is from. */
export function warnIfShared({ dir, inbox, log }: Config): void {
  const mode = (path: string): number =>
    process.platform === "win32" ? 0 : (statOf(path)?.mode ?? 0);
  const isOpen = (path: string): boolean => (mode(path) & 0o022) !== 0;
  const open = isOpen(dir) ? dir : (mode(dir) & 0o011) !== 0 && isOpen(inbox) && inbox;
  if (open) log(`others can write to ${open}: mail in it may be forged; chmod 700 it`);
}
