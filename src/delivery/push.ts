import { setImmediate as nextTurn } from "node:timers/promises";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { type Header, shownBody } from "../mail/message.ts";
import type { Presence } from "../sessions/presence.ts";
import { stampIn } from "../stamp.ts";
import { clean, pointer } from "./pointer.ts";
import { BY_TOOL_RESULT, type Route, type Waker } from "./route.ts";

/** Pointers come no closer than this: Claude Code drops what comes faster. */
const WAKE_EVERY_MS = 2000;
/** Claude Code has our tools so long after it asked for them; a turn that begins earlier does not see them. */
const TOOLS_MS = 500;
/** Mail that was shown so long ago and is still unread is told of again, on tool results. */
const SHOWN_MS = 5 * 60_000;

export type ChannelMessage = { content: string; meta: Record<string, string> };

/** Tells the client of each unread message once, in order; says which ones it knows to have been shown. */
export class Pusher {
  /** Files that may be this session's unread mail and were not looked at yet. */
  readonly #waiting = new Set<string>();
  /**
   * Unread mail that was pushed, and when something showed it to the session, as far as we know: ms, by
   * performance.now. Mail of low priority is never pushed, but is told of like the rest.
   */
  readonly #told = new Map<string, number | undefined>();
  /** Nothing is pushed before the first listing is complete, so that the order is kept. */
  #isBusy = true;
  /** The names that all mail was taken up for; "" while this server does not serve its session. */
  #served = "";
  #lastPointer = "";
  /** From when (ms) the next pointer may go; undefined before the client has our tools, to read what it points to. */
  #nextWake: number | undefined;
  #wakeTimer: NodeJS.Timeout | undefined;

  /** `notify` writes a channel notification; `waker` is the path beside it, where there is one. */
  constructor(
    private readonly config: Config,
    private readonly mailbox: Mailbox,
    private readonly presence: Presence,
    private readonly notify: (message: ChannelMessage) => Promise<void>,
    private readonly route: Route,
    private readonly waker: Waker | undefined,
  ) {
    mailbox.inbox.onMessage = (file) => this.#add(file);
    mailbox.inbox.isWanted = mailbox.isOwn;
  }

  /** Takes up a message file that appeared. What its name shows to be others' mail is not read. */
  #add(file: string): void {
    if (this.#told.has(file) || !this.mailbox.mayBeUnread(file)) return;
    this.#waiting.add(file);
    if (!this.#isBusy) void this.start();
  }

  /** Pushes what waits, and from then on what comes: what was there at the start is put in order with what came since. */
  async start(): Promise<void> {
    this.#isBusy = true;
    this.presence.check();
    while (this.#waiting.size > 0) {
      await nextTurn(); // what came together is put in order; what we sent ourselves is marked by now
      const batch = [...this.#waiting].sort();
      this.#waiting.clear();
      for (const file of batch) {
        await this.#push(file);
        await nextTurn(); // lets other work through
      }
      this.#scheduleWake();
    }
    this.#isBusy = false;
  }

  async #push(file: string): Promise<void> {
    const { isReceiving, tookOver, since } = this.presence;
    if (!isReceiving) this.#served = ""; // mail waits: `tick` finds it again
    const header = isReceiving && !this.#told.has(file) && this.mailbox.unreadHeader(file);
    if (!header) return;
    const isLow = header.priority === "low";
    const wasPushedBefore = tookOver && stampIn(file) < since; // to the same client, by the server before us
    const isShown = !isLow && (this.route === "channel" || (this.waker && wasPushedBefore));
    this.#told.set(file, isShown ? performance.now() : undefined);
    if (isLow || wasPushedBefore) return;
    try {
      const message = this.mailbox.inbox.read(file);
      if (message) await this.notify(channelMessage(message.header, message.body));
    } catch (error) {
      this.config.log(`inbox/${file} not pushed: ${reasonOf(error)}`);
    }
  }

  /** Points to unread mail that nothing is known to have shown, or long ago; "" where there is none. */
  notice(): string {
    const longAgo = performance.now() - SHOWN_MS;
    const unshown = this.#unread().filter(
      ({ file }) => (this.#told.get(file) ?? longAgo) <= longAgo,
    );
    if (unshown.length === 0 || this.presence.state === "superseded") return "";
    return pointer(unshown, this.config.toolPrefix);
  }

  /** What was told and is still unread, in order. The rest is forgotten here, so that nothing grows with the days. */
  #unread(): Header[] {
    return [...this.#told.keys()].sort().flatMap((file) => {
      const header = this.mailbox.unreadHeader(file);
      if (!header) this.#told.delete(file);
      return header ?? [];
    });
  }

  /** The client asks for our tools: from now on the session can read what it is pointed to. */
  ready(): void {
    this.#nextWake ??= performance.now() + TOOLS_MS;
    this.#scheduleWake();
  }

  /** A tool was called: what is known of the way to this session may have changed with that. */
  called(tool: string, meta: Readonly<Record<string, unknown>>): void {
    this.waker?.called(tool, meta);
    this.#tellRoute();
    this.ready();
  }

  /** Points to new mail: at once for the first, then every 2 s while more keeps coming. */
  #scheduleWake(): void {
    const { waker } = this;
    if (!waker || this.#nextWake === undefined) return;
    const wait = Math.max(0, this.#nextWake - performance.now());
    this.#wakeTimer ??= setTimeout(() => void this.#wake(waker), wait).unref();
  }

  async #wake(waker: Waker): Promise<void> {
    const due = this.#unread().filter(
      ({ file, priority }) => !this.#told.get(file) && priority !== "low",
    );
    if (due.length > 0 && this.presence.isReceiving && waker.canWake())
      await this.#point(waker, due);
    this.#tellRoute();
    this.#wakeTimer = undefined;
  }

  async #point(waker: Waker, due: readonly Header[]): Promise<void> {
    const now = performance.now();
    this.#nextWake = now + WAKE_EVERY_MS;
    const text = pointer(due, this.config.toolPrefix);
    // A repeat within a short time would be dropped.
    this.#lastPointer =
      text === this.#lastPointer ? `${text} (${new Date().toISOString().slice(11, 19)})` : text;
    try {
      await waker.wake(this.#lastPointer);
      for (const { file } of due) this.#told.set(file, now);
    } catch (error) {
      this.config.log(`${waker.route}: ${reasonOf(error)}; mail is told on tool results`);
    }
  }

  #tellRoute(): void {
    const problem = this.waker?.problem();
    if (this.waker)
      this.presence.reachedBy(problem === undefined ? this.waker.route : BY_TOOL_RESULT, problem);
  }

  /** Called now and then, and after a name was taken: takes up what was not this session's to push before. */
  tick(): void {
    const { isReceiving, names } = this.presence;
    const served = isReceiving ? names.join() : "";
    if (served !== this.#served) for (const file of this.mailbox.inbox.files) this.#add(file);
    this.#served = served;
    this.#unread();
    this.#scheduleWake();
  }
}

/** The notification for a message: the body as content, the header as attributes (strings that are safe in a tag). */
function channelMessage(header: Header, body: string): ChannelMessage {
  const { from, to, subject, priority, type, created, reply_to, file } = header;
  const meta = {
    from,
    to,
    subject,
    priority,
    type,
    created,
    ...(reply_to && { reply_to }),
    filename: file,
  };
  return {
    // A body must not close its tag, nor open another.
    content: (shownBody(body, file) || subject).replace(/<(?=\s*\/?\s*channel)/gi, "&lt;"),
    meta: Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, clean(value)])),
  };
}
