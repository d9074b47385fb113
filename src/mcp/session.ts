import type { Config } from "../config.ts";
import { CodexQueue } from "../delivery/codex.ts";
import { type ChannelMessage, Pusher } from "../delivery/push.ts";
import type { Route, Waker } from "../delivery/route.ts";
import { InboxSocket } from "../delivery/socket.ts";
import { sendToTelegram } from "../delivery/telegram.ts";
import { reasonOf, statOf } from "../files.ts";
import { type Outgoing, Refusal } from "../mail/draft.ts";
import { Mailbox, type Sent } from "../mail/mailbox.ts";
import { type Header, MAX_SUBJECT } from "../mail/message.ts";
import { isSweepDue, sweep } from "../mail/sweep.ts";
import { Watcher } from "../mail/watcher.ts";
import type { Heartbeats } from "../sessions/heartbeats.ts";
import { isName, lengthOf, type Name, nameProblem } from "../sessions/names.ts";
import type { Presence } from "../sessions/presence.ts";

const APPEAR_EVERY_MS = 60_000;
const SWEEP_FIRST_MS = 15_000;
/** How often to ask whether a sweep is due; the servers of a folder share one an hour. */
const SWEEP_EVERY_MS = 10 * 60_000;

/** A running session: online, receiving, with a mailbox. */
export class LiveSession {
  readonly config: Config;
  readonly presence: Presence;
  readonly mailbox: Mailbox;
  readonly pusher: Pusher;
  readonly #watcher: Watcher;
  /** The names that are known to be in use; and when (ms) to do what is done now and then. */
  #appeared = "";
  #appearAt = 0;
  #sweepAt = performance.now() + SWEEP_FIRST_MS;

  /** Starts to receive. `notify` writes a channel notification to the client. */
  constructor(
    config: Config,
    heartbeats: Heartbeats,
    presence: Presence,
    route: Route,
    notify: (message: ChannelMessage) => Promise<void>,
  ) {
    warnIfShared(config);
    this.config = config;
    this.presence = presence;
    this.mailbox = new Mailbox(config, heartbeats, presence, presence.since);
    this.pusher = new Pusher(config, this.mailbox, presence, notify, route, wakerFor(route, config, presence));
    this.#watcher = new Watcher(config, this.mailbox.inbox, () => this.#tick());
    void this.#watcher.ready.then(() => this.pusher.start());
    // Even a session that is over again by now was here, and mail for it is accepted.
    if (presence.isReceiving || presence.state === "left") void this.mailbox.appear();
    this.#tick();
  }

  #tick(): void {
    this.presence.check();
    this.presence.follow().catch((error) => this.config.log(`name not followed: ${reasonOf(error)}`));
    this.pusher.tick();
    if (!this.presence.isReceiving) return;
    const [now, names] = [performance.now(), this.presence.names.join()];
    if (now > this.#appearAt || names !== this.#appeared) {
      this.#appearAt = now + APPEAR_EVERY_MS;
      this.#appeared = names;
      void this.mailbox.appear();
    }
    if (now > this.#sweepAt) {
      this.#sweepAt = now + SWEEP_EVERY_MS;
      this.#sweep().catch((error) => this.config.log(`sweep: ${reasonOf(error)}`));
    }
  }

  async #sweep(): Promise<void> {
    if (isSweepDue(this.config)) await sweep(this.config, this.mailbox.inbox);
  }

  /** Sends a message; an escalation is forwarded to Telegram, which is not waited for. */
  async send(message: Outgoing): Promise<Sent> {
    const sent = await this.mailbox.send(message);
    if (message.escalate) void this.#forward(sent.header, message.body);
    return sent;
  }

  async #forward({ from, subject, file }: Header, body: string): Promise<void> {
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
    const refusal = isName(wanted) && !problem ? await this.presence.rename(wanted, workingOn) : problem;
    if (refusal) throw new Refusal(`Not renamed, this session is still ${this.presence.name}. ${refusal}`);
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
  return route === "inbox socket" && config.socket ? new InboxSocket(config, config.socket, agent) : undefined;
}

/** Mail in a folder that others can write to may come from them, whoever it says it is from. */
export function warnIfShared({ dir, inbox, log }: Config): void {
  const mode = (path: string): number => (process.platform === "win32" ? 0 : (statOf(path)?.mode ?? 0));
  const isOpen = (path: string): boolean => (mode(path) & 0o022) !== 0;
  const open = isOpen(dir) ? dir : (mode(dir) & 0o011) !== 0 && isOpen(inbox) && inbox;
  if (open) log(`others can write to ${open}: mail in it may be forged; chmod 700 it`);
}
