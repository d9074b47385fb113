import { setImmediate as nextTurn } from "node:timers/promises";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import { type Header, inOrder, shownBody } from "../mail/message.ts";
import type { Presence } from "../sessions/presence.ts";
import { clean, pointer, post, REMIND_MS } from "./pointer.ts";
import { BY_TOOL_RESULT, type Route } from "./route.ts";

/** Posts to the inbox socket come no closer than this: Claude Code drops what comes faster. */
const POST_EVERY_MS = 2000;
/** The first waits until the client has our tools, without which the session could not read; no longer than this. */
const READY_MS = 5000;

export type ChannelMessage = { content: string; meta: Record<string, string> };

/** Tells the client of each unread message once, in order; says which ones it knows to have been shown. */
export class Pusher {
  readonly #config: Config;
  readonly #mailbox: Mailbox;
  readonly #presence: Presence;
  readonly #notify: (message: ChannelMessage) => Promise<void>;
  readonly #route: Route;
  readonly #waiting = new Set<Header>();
  /** Pushed and unread, and when (ms) to point to it: Infinity where that was done twice. */
  readonly #pushed = new Map<Header, number>();
  /** From the start, until `start`. */
  #pumping = true;
  #lastPost = "";
  /** From when (ms) the next post may go. */
  #nextPost = performance.now() + READY_MS;
  #postTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    config: Config,
    mailbox: Mailbox,
    presence: Presence,
    notify: (message: ChannelMessage) => Promise<void>,
  ) {
    this.#config = config;
    this.#mailbox = mailbox;
    this.#presence = presence;
    this.#notify = notify;
    this.#route = presence.push;
    mailbox.inbox.onMessage = (header) => this.add(header);
  }

  /** Takes up a message if it is this session's unread mail and was not pushed yet. */
  add(header: Header): void {
    if (this.#pushed.has(header) || !this.#mailbox.isUnread(header)) return;
    this.#waiting.add(header);
    if (!this.#pumping) void this.#pump();
  }

  /** Pushes from now on: what was there at the start is known, and is put in order with what came since. */
  start(): void {
    void this.#pump();
  }

  /** Takes up all there is: after a name was taken, or when this server serves its session again. */
  addAll(): void {
    for (const header of this.#mailbox.inbox.headers.values()) this.add(header);
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    await nextTurn(); // what came together is put in order
    this.#presence.check();
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].sort(inOrder);
      this.#waiting.clear();
      for (const header of batch) {
        await this.#push(header);
        await nextTurn(); // lets other work through
      }
      this.#schedulePost();
    }
    this.#pumping = false;
  }

  async #push(header: Header): Promise<void> {
    const { quiet, tookOver, since } = this.#presence;
    // Quiet: `addAll` finds it again.
    if (quiet || this.#closed || this.#pushed.has(header) || !this.#mailbox.isUnread(header)) return;
    const before = tookOver && header.at < since; // pushed to the same client by the server before us
    const isShown = this.#route === "channel" || (this.#route === "inbox socket" && before);
    this.#pushed.set(header, isShown ? performance.now() + REMIND_MS : 0);
    if (before) return;
    try {
      await this.#notify(channelMessage(header, this.#mailbox.inbox.body(header)));
    } catch (error) {
      this.#config.log(`inbox/${header.file} not pushed: ${reasonOf(error)}`);
    }
  }

  /** Points to unread mail that no push is known to have shown, or long ago; "" where there is none. */
  notice(): string {
    const unshown = this.#unread((at) => at <= performance.now() || at === Infinity);
    return unshown.length > 0 && !this.#presence.quiet ? pointer(unshown, this.#config.toolPrefix) : "";
  }

  #unread(when: (at: number) => boolean): Header[] {
    const { headers } = this.#mailbox.inbox;
    for (const header of this.#pushed.keys()) {
      if (headers.get(header.file) !== header || !this.#mailbox.isUnread(header)) this.#pushed.delete(header);
    }
    return [...this.#pushed].flatMap(([header, at]) => (when(at) ? header : [])).sort(inOrder);
  }

  #due(): Header[] {
    return this.#unread((at) => at <= performance.now());
  }

  /** Points to new mail on the socket: at once for the first, then every 2 s while more keeps coming. */
  #schedulePost(): void {
    if (this.#route !== "inbox socket" || this.#postTimer || this.#closed) return;
    const wait = Math.max(0, this.#nextPost - performance.now());
    this.#postTimer = setTimeout(() => void this.#post(), wait).unref();
  }

  /** The client asks for our tools: from now on it can read what it is pointed to. */
  ready(): void {
    if (this.#lastPost) return;
    this.#nextPost = 0;
    clearTimeout(this.#postTimer);
    this.#postTimer = undefined;
    this.#schedulePost();
  }

  async #post(): Promise<void> {
    const due = this.#due();
    const { socket, toolPrefix, log } = this.#config;
    if (due.length > 0 && !this.#presence.quiet && socket) {
      const now = performance.now();
      this.#nextPost = now + POST_EVERY_MS;
      const text = pointer(due, toolPrefix);
      // A repeat within a short time would be dropped.
      this.#lastPost = text === this.#lastPost ? `${text} (${new Date().toISOString().slice(11, 19)})` : text;
      let reached = this.#route;
      try {
        await post(socket, this.#lastPost);
        for (const header of due) this.#pushed.set(header, this.#pushed.get(header) ? Infinity : now + REMIND_MS);
      } catch (error) {
        log(`inbox socket: ${reasonOf(error)}; mail is told on tool results`);
        reached = BY_TOOL_RESULT;
      }
      if (this.#presence.push !== reached) this.#presence.beatSoon();
      this.#presence.push = reached;
    }
    this.#postTimer = undefined;
  }

  /** Called now and then: points to mail that came during the last post, or that stayed unread. */
  tick(): void {
    if (this.#route === "inbox socket" && this.#due().length > 0) this.#schedulePost();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#postTimer);
  }
}

/** The notification for a message: the body as content, the header as attributes (FACTS: strings, safe in a tag). */
function channelMessage(header: Header, body: string): ChannelMessage {
  const { from, to, subject, priority, type, created, file } = header;
  const meta = { from, to, subject, priority, type, created, filename: file };
  return {
    // A body must not close its tag, nor open another.
    content: (shownBody(body, file) || subject).replace(/<(?=\s*\/?\s*channel)/gi, "&lt;"),
    meta: Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, clean(value)])),
  };
}
