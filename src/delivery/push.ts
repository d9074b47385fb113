import { setImmediate as nextTurn } from "node:timers/promises";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { type Header, inOrder, shownBody } from "../mail/message.ts";
import type { Presence } from "../sessions/presence.ts";
import { stampIn } from "../stamp.ts";
import { clean, pointer } from "./pointer.ts";
import { BY_TOOL_RESULT, type Route, type Waker } from "./route.ts";

/** Pointers come no closer than this: Claude Code drops what comes faster. */
const WAKE_EVERY_MS = 2000;
/** The first waits until the client has our tools, without which the session could not read; no longer than this. */
const READY_MS = 5000;
/** Claude Code has our tools so long after it asked for them; a turn that begins earlier does not see them. */
const TOOLS_MS = 500;
/** Mail that was shown so long ago and is still unread is told of again, on tool results. */
const SHOWN_MS = 5 * 60_000;

export type ChannelMessage = { content: string; meta: Record<string, string> };

/** What is known of a pushed, unread message. Mail of low priority is never pushed, but is told of like the rest. */
interface Told {
  readonly header: Header;
  /** When something showed it to the session, as far as we know: ms, by performance.now. */
  shownAt?: number;
}

/** Tells the client of each unread message once, in order; says which ones it knows to have been shown. */
export class Pusher {
  readonly #config: Config;
  readonly #mailbox: Mailbox;
  readonly #presence: Presence;
  readonly #notify: (message: ChannelMessage) => Promise<void>;
  readonly #route: Route;
  readonly #waker: Waker | undefined;
  /** Files that may be this session's unread mail and were not looked at yet. */
  readonly #waiting = new Set<string>();
  readonly #told = new Map<string, Told>();
  /** Nothing is pushed before the first listing is complete, so that the order is kept. */
  #state: "starting" | "resting" | "pushing" | "closed" = "starting";
  /** The names that all mail was taken up for; "" while this server does not serve its session. */
  #served = "";
  #lastPointer = "";
  /** From when (ms) the next pointer may go. */
  #nextWake = performance.now() + READY_MS;
  #wakeTimer: NodeJS.Timeout | undefined;

  /** `notify` writes a channel notification; `waker` is the path beside it, where there is one. */
  constructor(
    config: Config,
    mailbox: Mailbox,
    presence: Presence,
    notify: (message: ChannelMessage) => Promise<void>,
    route: Route,
    waker: Waker | undefined,
  ) {
    this.#config = config;
    this.#mailbox = mailbox;
    this.#presence = presence;
    this.#notify = notify;
    this.#route = route;
    this.#waker = waker;
    mailbox.inbox.onMessage = (file) => this.add(file);
    mailbox.inbox.isWanted = (file) => mailbox.mayBeUnread(file);
  }

  /** Takes up a message file that appeared. What its name shows to be others' mail is not read. */
  add(file: string): void {
    if (this.#told.has(file) || !this.#mailbox.mayBeUnread(file)) return;
    this.#waiting.add(file);
    if (this.#state === "resting") void this.#pump();
  }

  /** Pushes from now on: what was there at the start is known, and is put in order with what came since. */
  start(): void {
    if (this.#state === "starting") void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#state = "pushing";
    this.#presence.check();
    do {
      await nextTurn(); // what came together is put in order; what we sent ourselves is marked by now
      const batch = [...this.#waiting].sort();
      this.#waiting.clear();
      for (const file of batch) {
        await this.#push(file);
        await nextTurn(); // lets other work through
      }
      this.#scheduleWake();
    } while (this.#waiting.size > 0);
    if (this.#state === "pushing") this.#state = "resting";
  }

  async #push(file: string): Promise<void> {
    const { isReceiving, tookOver, since } = this.#presence;
    if (this.#state === "closed" || this.#told.has(file)) return;
    if (!isReceiving) {
      this.#served = ""; // mail waits: `tick` finds it again
      return;
    }
    const header = this.#mailbox.unreadHeader(file);
    if (!header) return;
    const told: Told = { header };
    this.#told.set(file, told);
    if (header.priority === "low") return;
    const wasPushedBefore = tookOver && stampIn(file) < since; // to the same client, by the server before us
    if (this.#route === "channel" || (this.#waker && wasPushedBefore)) told.shownAt = performance.now();
    if (wasPushedBefore) return;
    try {
      const message = this.#mailbox.inbox.read(file);
      if (message) await this.#notify(channelMessage(message.header, message.body));
    } catch (error) {
      this.#config.log(`inbox/${file} not pushed: ${reasonOf(error)}`);
    }
  }

  /** Points to unread mail that nothing is known to have shown, or long ago; "" where there is none. */
  notice(): string {
    const longAgo = performance.now() - SHOWN_MS;
    const unshown = this.#unread().filter(({ shownAt = longAgo }) => shownAt <= longAgo);
    if (unshown.length === 0 || this.#presence.state === "superseded") return "";
    return pointer(inSendingOrder(unshown), this.#config.toolPrefix);
  }

  /** What was told and is still unread. The rest is forgotten here, so that nothing grows with the days. */
  #unread(): Told[] {
    for (const file of this.#told.keys()) if (!this.#mailbox.unreadHeader(file)) this.#told.delete(file);
    return [...this.#told.values()];
  }

  /** What to wake the session for. */
  #due(): Told[] {
    return this.#unread().filter(({ shownAt, header }) => shownAt === undefined && header.priority !== "low");
  }

  /** Points to new mail: at once for the first, then every 2 s while more keeps coming. */
  #scheduleWake(): void {
    if (!this.#waker || this.#wakeTimer || this.#state === "closed") return;
    const wait = Math.max(0, this.#nextWake - performance.now());
    this.#wakeTimer = setTimeout(() => void this.#wake(), wait).unref();
  }

  /** The client asks for our tools: from now on it can read what it is pointed to. */
  ready(): void {
    if (this.#lastPointer) return;
    this.#nextWake = performance.now() + TOOLS_MS;
    clearTimeout(this.#wakeTimer);
    this.#wakeTimer = undefined;
    this.#scheduleWake();
  }

  async #wake(): Promise<void> {
    const due = this.#due();
    const waker = this.#waker;
    if (waker && due.length > 0 && this.#presence.isReceiving) {
      if (waker.canWake()) await this.#point(waker, due);
      this.#tellRoute(waker);
    }
    this.#wakeTimer = undefined;
  }

  async #point(waker: Waker, due: readonly Told[]): Promise<void> {
    const now = performance.now();
    this.#nextWake = now + WAKE_EVERY_MS;
    const text = pointer(inSendingOrder(due), this.#config.toolPrefix);
    // A repeat within a short time would be dropped.
    this.#lastPointer = text === this.#lastPointer ? `${text} (${new Date().toISOString().slice(11, 19)})` : text;
    try {
      await waker.wake(this.#lastPointer);
      for (const told of due) told.shownAt = now;
    } catch (error) {
      this.#config.log(`${waker.route}: ${reasonOf(error)}; mail is told on tool results`);
    }
  }

  /** A tool was called: what is known of the way to this session may have changed with that. */
  called(tool: string, meta: Readonly<Record<string, unknown>>): void {
    if (!this.#waker) return;
    this.#waker.called(tool, meta);
    this.#tellRoute(this.#waker);
  }

  #tellRoute(waker: Waker): void {
    const problem = waker.problem();
    this.#presence.reachedBy(problem === undefined ? waker.route : BY_TOOL_RESULT, problem);
  }

  /** Called now and then, and after a name was taken: takes up what was not this session's to push before. */
  tick(): void {
    const { isReceiving, names } = this.#presence;
    const served = isReceiving ? names.join() : "";
    if (served !== this.#served) for (const file of this.#mailbox.inbox.files) this.add(file);
    this.#served = served;
    if (!this.#waker) return void this.#unread();
    if (this.#due().length > 0) this.#scheduleWake();
    if (isReceiving) this.#tellRoute(this.#waker);
  }

  close(): void {
    this.#state = "closed";
    clearTimeout(this.#wakeTimer);
  }
}

const inSendingOrder = (all: readonly Told[]): Header[] => all.map(({ header }) => header).sort(inOrder);

/** The notification for a message: the body as content, the header as attributes (strings that are safe in a tag). */
function channelMessage(header: Header, body: string): ChannelMessage {
  const { from, to, subject, priority, type, created, reply_to, file } = header;
  const meta = { from, to, subject, priority, type, created, ...(reply_to && { reply_to }), filename: file };
  return {
    // A body must not close its tag, nor open another.
    content: (shownBody(body, file) || subject).replace(/<(?=\s*\/?\s*channel)/gi, "&lt;"),
    meta: Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, clean(value)])),
  };
}
