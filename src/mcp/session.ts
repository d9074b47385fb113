import type { Config } from "../config.ts";
import { type ChannelMessage, Pusher } from "../delivery/push.ts";
import { sendToTelegram } from "../delivery/telegram.ts";
import { reasonOf, statOf } from "../files.ts";
import { Mailbox, type Outgoing, type Sent } from "../mail/mailbox.ts";
import { type Header, MAX_SUBJECT } from "../mail/message.ts";
import { Refusal } from "../mail/refusal.ts";
import { sweep } from "../mail/sweep.ts";
import { Watcher } from "../mail/watcher.ts";
import type { Sessions } from "../sessions/heartbeats.ts";
import { lengthOf, nameProblem } from "../sessions/names.ts";
import type { Presence } from "../sessions/presence.ts";

const APPEAR_EVERY_MS = 60_000;
const SWEEP_FIRST_MS = 15_000;
const SWEEP_EVERY_MS = 3_600_000;

/** A running session: online, receiving, with a mailbox. */
export class LiveSession {
  readonly config: Config;
  readonly presence: Presence;
  readonly mailbox: Mailbox;
  readonly pusher: Pusher;
  readonly #watcher: Watcher;
  /** The names mail is pushed for since the last look; and when (ms) to do what is done now and then. */
  #served = "";
  #appearAt = 0;
  #sweepAt = performance.now() + SWEEP_FIRST_MS;

  /** Starts to receive. `notify` writes a channel notification to the client. */
  constructor(
    config: Config,
    sessions: Sessions,
    presence: Presence,
    notify: (message: ChannelMessage) => Promise<void>,
  ) {
    warnIfShared(config);
    this.config = config;
    this.presence = presence;
    this.mailbox = new Mailbox(config, sessions, presence, presence.since);
    this.pusher = new Pusher(config, this.mailbox, presence, notify);
    this.#watcher = new Watcher(config, this.mailbox.inbox, () => this.#tick());
    this.mailbox.appear();
    this.mailbox.inbox.reconcile().catch((error) => config.log(`inbox: ${reasonOf(error)}`));
    void this.#watcher.ready.then(() => this.pusher.start());
  }

  #tick(): void {
    this.presence.check();
    const { quiet, names } = this.presence;
    const served = quiet ? "" : names.join();
    if (served !== this.#served) this.pusher.addAll();
    this.#served = served;
    this.pusher.tick();
    const now = performance.now();
    if (now > this.#appearAt) {
      this.#appearAt = now + APPEAR_EVERY_MS;
      this.mailbox.appear();
    }
    if (now > this.#sweepAt && !quiet) {
      this.#sweepAt = now + SWEEP_EVERY_MS;
      sweep(this.config, this.mailbox.inbox, this.mailbox.sessions.online());
    }
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
      await this.mailbox.inbox.deliver({
        from: "t9-ipc",
        to: from,
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
    const problem = nameProblem(wanted) ?? (length > MAX_SUBJECT ? tooLong : undefined);
    const refusal = problem ?? (await this.presence.rename(wanted, workingOn));
    if (refusal) throw new Refusal(`Not renamed, this session is still ${this.presence.name}. ${refusal}`);
    this.mailbox.appear();
    const unread = await this.mailbox.unread();
    this.pusher.addAll();
    return unread.length;
  }

  /** Stops receiving. */
  async close(): Promise<void> {
    this.pusher.close();
    await Promise.all([this.#watcher.close(), this.mailbox.close()]);
  }
}

/** Mail in a folder that others can write to may come from them, whoever it says it is from. */
export function warnIfShared({ dir, inbox, log }: Config): void {
  const mode = (path: string): number => (process.platform === "win32" ? 0 : (statOf(path)?.mode ?? 0));
  const isOpen = (path: string): boolean => (mode(path) & 0o022) !== 0;
  const open = isOpen(dir) ? dir : (mode(dir) & 0o011) !== 0 && isOpen(inbox) && inbox;
  if (open) log(`others can write to ${open}: mail in it may be forged; chmod 700 it`);
}
