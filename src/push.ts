import { setImmediate as nextTurn } from "node:timers/promises";
import type { Config } from "./config.ts";
import { reasonOf } from "./files.ts";
import type { Mailbox } from "./mailbox.ts";
import { type Header, inOrder, MAX_BODY } from "./message.ts";
import { lengthOf } from "./names.ts";
import { clean, pointer, post } from "./pointer.ts";
import type { Presence } from "./presence.ts";
import { BY_TOOL_RESULT, type Route } from "./route.ts";

/** Posts to the inbox socket come no closer than this: Claude Code drops what comes faster. */
const POST_EVERY_MS = 2000;
/** Mail pointed to and not read by then is pointed to once more. */
export const REMIND_MS = 5 * 60_000;
const SLICE_MS = 10;

export interface ChannelMessage {
  readonly [key: string]: unknown;
  readonly content: string;
  readonly meta: Record<string, string>;
}

/** Tells the client of each unread message once, in order; says which ones it knows to have been shown. */
export class Pusher {
  readonly #config: Config;
  readonly #mailbox: Mailbox;
  readonly #presence: Presence;
  readonly #notify: (message: ChannelMessage) => Promise<void>;
  readonly #route: Route;
  readonly #waiting = new Set<Header>();
  readonly #pushed = new WeakSet<Header>();
  /** Pushed and, when last looked at, unread; with the time (ms) of the push. */
  readonly #outstanding = new Map<Header, number>();
  /** How often a message was pointed to on the socket, and when last (ms). */
  readonly #pointed = new WeakMap<Header, { times: number; at: number }>();
  #pumping = false;
  #lastPost = { text: "", at: -POST_EVERY_MS };
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
    if (config.push === "socket" && !config.socket) {
      config.log("IPC_PUSH=socket, but Claude Code gave no inbox socket: mail is told on tool results");
    }
    mailbox.inbox.onMessage = (header) => this.add(header);
  }

  /** Takes up a message if it is this session's unread mail and was not pushed yet. */
  add(header: Header): void {
    if (this.#pushed.has(header) || !this.#mailbox.isUnread(header)) return;
    this.#waiting.add(header);
    if (!this.#pumping) void this.#pump();
  }

  /** Takes up all there is: after a name was taken, or when this server serves its session again. */
  addAll(): void {
    for (const header of this.#mailbox.inbox.headers.values()) this.add(header);
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    await nextTurn(); // what came together is put in order
    this.#presence.check();
    let sliceEnd = performance.now() + SLICE_MS;
    while (this.#waiting.size > 0 && !this.#closed && !this.#presence.quiet) {
      const batch = [...this.#waiting].sort(inOrder);
      this.#waiting.clear();
      for (const header of batch) {
        await this.#push(header);
        if (performance.now() < sliceEnd) continue;
        await nextTurn();
        sliceEnd = performance.now() + SLICE_MS;
      }
      this.#schedulePost();
    }
    this.#waiting.clear(); // quiet: `addAll` finds them again
    this.#pumping = false;
  }

  async #push(header: Header): Promise<void> {
    this.#pushed.add(header);
    if (this.#closed || !this.#mailbox.isUnread(header)) return;
    const now = performance.now();
    this.#outstanding.set(header, now);
    const { tookOver, since } = this.#presence;
    if (tookOver && header.at < since) {
      // The server before us has pushed it to the same client.
      if (this.#route === "inbox socket") this.#pointed.set(header, { times: 1, at: now });
      return;
    }
    try {
      await this.#notify(channelMessage(header, this.#mailbox.inbox.body(header)));
    } catch (error) {
      this.#config.log(`inbox/${header.file} not pushed: ${reasonOf(error)}`);
    }
  }

  /** Unread mail that no push is known to have shown. */
  unshown(): Header[] {
    if (this.#presence.quiet) return [];
    return this.#unread().filter((header) => {
      // No push is acknowledged: a channel may be off in spite of its flag.
      if (this.#route === "channel") return performance.now() - (this.#outstanding.get(header) ?? 0) > REMIND_MS;
      return this.#pointed.get(header)?.times !== 1;
    });
  }

  #unread(): Header[] {
    const { headers } = this.#mailbox.inbox;
    for (const header of this.#outstanding.keys()) {
      if (headers.get(header.file) !== header || !this.#mailbox.isUnread(header)) this.#outstanding.delete(header);
    }
    return [...this.#outstanding.keys()].sort(inOrder);
  }

  /** Points to new mail on the socket: at once for the first, then every 2 s while more keeps coming. */
  #schedulePost(): void {
    if (this.#route !== "inbox socket" || this.#postTimer || this.#closed) return;
    const wait = this.#lastPost.at + POST_EVERY_MS - performance.now();
    this.#postTimer = setTimeout(() => void this.#postNow(), Math.max(0, wait)).unref();
  }

  async #postNow(): Promise<void> {
    const due = this.#due();
    if (due.length > 0 && !this.#presence.quiet && this.#config.socket) {
      const text = pointer(due, this.#config.toolPrefix);
      // A repeat within a short time would be dropped.
      const now = performance.now();
      this.#lastPost = {
        text: text === this.#lastPost.text ? `${text} (${new Date().toISOString().slice(11, 19)})` : text,
        at: now,
      };
      try {
        await post(this.#config.socket, this.#lastPost.text);
        this.#reachBy(this.#route);
        for (const header of due) {
          this.#pointed.set(header, { times: (this.#pointed.get(header)?.times ?? 0) + 1, at: now });
        }
      } catch (error) {
        this.#config.log(`inbox socket: ${reasonOf(error)}; mail is told on tool results`);
        this.#reachBy(BY_TOOL_RESULT);
      }
    }
    this.#postTimer = undefined;
  }

  #reachBy(route: Route): void {
    if (this.#presence.push === route) return;
    this.#presence.push = route;
    this.#presence.beatSoon();
  }

  /** Unread mail to point to now: never pointed to, or once and more than 5 minutes ago. */
  #due(): Header[] {
    const now = performance.now();
    return this.#unread().filter((header) => {
      const pointed = this.#pointed.get(header);
      return !pointed || (pointed.times === 1 && now - pointed.at >= REMIND_MS);
    });
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
  const text = [...(body || subject)];
  const rest =
    lengthOf(body) > MAX_BODY ? `\n[${text.length - MAX_BODY} more characters: read the file inbox/${file}]` : "";
  const content = text.slice(0, MAX_BODY).join("") + rest;
  const meta = { from, to, subject, priority, type, created, filename: file };
  return {
    // A body must not close its tag, nor open another.
    content: content.replace(/<(?=\s*\/?\s*channel)/gi, "&lt;"),
    meta: Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, clean(value)])),
  };
}
