import { messageOf } from "../core/errors.ts";
import type { Mailbox } from "../core/mailbox.ts";
import { bySendingOrder, type Header, type Message, mayBeAddressedTo } from "../core/message.ts";
import { isEveryone } from "../core/names.ts";
import type { Presence } from "../core/presence.ts";
import type { System, Timer } from "../core/system.ts";
import { type ChannelNotification, toChannelNotification } from "./channel.ts";
import { mailNotice } from "./notice.ts";
import type { Route } from "./routes.ts";
import type { ToolCall, Waker } from "./waker.ts";

/** Pause between two notices. Claude Code drops what comes faster. */
const WAKE_INTERVAL_MS = 2000;
/**
 * Claude Code has our tools this long after it asked for them; an earlier turn does not see them.
 */
const TOOLS_READY_MS = 500;
/** Mail that was shown this long ago and is still unread is announced again, on a tool result. */
const REMIND_MS = 5 * 60_000;
/** All mail is checked again this often: marks that another process changes raise no event. */
const RECHECK_MS = 60_000;
/** An idle session that sees channel events starts its turn well within this time. */
const CHANNEL_PROOF_MS = 5000;
/** A turn that an event has started reads the mail within this time. */
const PROMPT_READ_MS = 60_000;

export interface NotifierOptions {
  /** Sends a channel notification; undefined for clients that are known not to show them. */
  readonly sendToChannel?: ((notification: ChannelNotification) => Promise<void>) | undefined;
  /** True if the client was started with channels. That does not prove that it shows them. */
  readonly expectsChannel: boolean;
  /** Other ways to wake the session, the best one first. */
  readonly wakers: readonly Waker[];
  /** The route that others see if neither the channel nor a waker can be used. */
  readonly fallback: Extract<Route, "tool-result" | "none">;
  /** Full tool names start with this in the client. */
  readonly toolPrefix: string;
  /** True between the client's turns; undefined if the client does not say. */
  readonly isIdle: () => boolean | undefined;
}

/** When an unread message was announced, by the clock's `elapsed`; undefined if it was not. */
interface Announcement {
  readonly channelAt?: number | undefined;
  /** True if the channel was the only thing that could start a turn then. */
  readonly canProveChannel?: boolean;
  readonly noticeAt?: number | undefined;
  /** True if a tool result has pointed to it. */
  readonly isOnResult?: boolean;
  /** True if it was left to another server of this session, which may have held the notice back. */
  readonly isInDoubt?: boolean;
}

/** Announces each unread message once to this session's client, in the order of sending. */
export class Notifier {
  /** New files that are still to be checked. */
  readonly #queue = new Set<string>();
  readonly #announced = new Map<string, Announcement>();
  /** Files that could not be read just now, or whose marks could not. */
  readonly #retry = new Set<string>();
  /** Lines of our own that nothing is known to have shown. */
  #lines: readonly string[] = [];
  /** True once a message was read that nothing but the channel had announced. */
  #isChannelProved = false;
  #isDraining = false;
  /** True from the start until the mail that was there is announced. */
  #isStarting = false;
  #mayBeMine: (file: string) => boolean = () => false;
  /** When all mail was checked last, by the clock's `elapsed`. */
  #checkedAt = 0;
  /** The earliest time for the next notice; undefined until the client has our tools. */
  #nextWakeAt: number | undefined;
  #wakeTimer: Timer | undefined;
  #lastNotice = "";

  constructor(
    private readonly options: NotifierOptions,
    private readonly system: System,
    private readonly mailbox: Mailbox,
    private readonly presence: Presence,
  ) {}

  /** Announces the present mail, and from then on new mail. */
  start(): void {
    this.mailbox.inbox.on("message", (file) => this.#enqueue(file));
    this.mailbox.inbox.on("scan", () => this.#onScan());
    this.presence.on("change", () => this.#enqueueAll());
    this.#enqueueAll();
    this.#isStarting = this.#isDraining;
  }

  close(): void {
    this.#wakeTimer?.cancel();
    for (const waker of this.options.wakers) waker.close?.();
  }

  /** The client asks for our tools: soon the session can read what it is pointed to. */
  onToolsListed(): void {
    this.#nextWakeAt ??= this.system.clock.elapsed() + TOOLS_READY_MS;
    this.#scheduleWake();
  }

  #enqueueAll(): void {
    this.#checkedAt = this.system.clock.elapsed();
    this.#mayBeMine = mayBeAddressedTo(this.presence.names);
    for (const file of this.mailbox.inbox.files) this.#enqueue(file);
  }

  /** The file name rules out others' mail, which nobody opens. */
  #enqueue(file: string): void {
    if (!this.#mayBeMine(file) || this.#announced.has(file)) return;
    this.#queue.add(file);
    if (this.#isDraining) return;
    this.#isDraining = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    do {
      await this.system.clock.nextTurn(); // messages that came together are put in order
      const files = [...this.#queue].sort();
      this.#queue.clear();
      await this.#announceAll(files);
    } while (this.#queue.size > 0);
    this.#isDraining = false;
    this.#isStarting = false;
    this.#scheduleWake();
  }

  /** Looks at the list first: by now the names, or the session, may be another server's. */
  async #announceAll(files: readonly string[]): Promise<void> {
    try {
      this.presence.check();
    } catch (error) {
      for (const file of files) this.#retry.add(file);
      this.system.log(`no mail is announced for now: ${messageOf(error)}`);
      return;
    }
    for (const file of files) await this.#tryAnnounce(file);
  }

  async #tryAnnounce(file: string): Promise<void> {
    try {
      this.#retry.delete(file);
      await this.#announce(file);
    } catch (error) {
      this.#retry.add(file);
      this.system.log(`inbox/${file} is not announced yet: ${messageOf(error)}`);
    }
  }

  async #announce(file: string): Promise<void> {
    if (!this.presence.isReceiving || this.#announced.has(file)) return;
    const { sendToChannel } = this.options;
    if (!this.mailbox.mayBeUnread(file)) return;
    const message = this.mailbox.inbox.read(file);
    if (!message) return;
    if (!this.mailbox.unreadTest()(message.header)) {
      if (!this.mailbox.areMarksKnown) this.#retry.add(file);
      return;
    }
    const now = this.system.clock.elapsed();
    const wasSent = this.#wasSent(file);
    const isQuiet = !this.#wakes(message.header);
    const isSent = sendToChannel !== undefined && !isQuiet && !wasSent;
    this.#announced.set(file, {
      channelAt: isSent ? now : undefined,
      noticeAt: wasSent && !isQuiet ? now : undefined,
      // A session that starts reads its mail by itself, and one at work as well.
      canProveChannel: isSent && !this.#isStarting && this.options.isIdle() !== false,
      isInDoubt: wasSent && this.presence.hasInterrupted,
    });
    if (isSent) await this.#sendToChannel(message);
  }

  /** True if another server of this session has sent it to the same client. */
  #wasSent(file: string): boolean {
    return this.presence.announcedBefore.has(file);
  }

  /** A message that the channel did not take is announced in the other ways. */
  async #sendToChannel(message: Message): Promise<void> {
    try {
      await this.options.sendToChannel?.(toChannelNotification(message));
    } catch (error) {
      const { file } = message.header;
      this.#announced.set(file, { ...this.#announced.get(file), channelAt: undefined });
      this.system.log(`inbox/${file} was not sent to the channel: ${messageOf(error)}`);
    }
  }

  /** A low priority wakes nobody, and a broadcast does not wake a run that nobody watches. */
  #wakes({ priority, to }: Header): boolean {
    const isUnattended = this.presence.agent.details?.unattended === true;
    return priority !== "low" && !(isUnattended && isEveryone(to));
  }

  /** Announces a line of our own, once, in the same ways as mail. */
  announceLine(line: string): void {
    const { sendToChannel, expectsChannel } = this.options;
    const isTrusted = expectsChannel && this.#isChannelProved;
    const keep = (): void => {
      this.#lines = [...this.#lines, line];
      this.#scheduleWake();
    };
    if (!isTrusted) keep();
    sendToChannel?.({ content: line, meta: { from: "t9-ipc", type: "notice" } }).catch((error) => {
      this.system.log(`not announced on the channel: ${messageOf(error)}`);
      if (isTrusted) keep();
    });
  }

  /** For the end of a tool result: unread mail that the session may not have seen. */
  noticeForToolResult(): string | undefined {
    if (this.presence.state === "replaced") return undefined;
    const mail = this.#mailForToolResult();
    const lines = mail === undefined ? this.#lines : [...this.#lines, mail];
    this.#lines = [];
    return lines.length > 0 ? lines.join("\n") : undefined;
  }

  #mailForToolResult(): string | undefined {
    // This call may have made this server the session's, and the other one's mail is in the queue.
    for (const file of this.#queue) if (this.#wasSent(file)) void this.#tryAnnounce(file);
    const reminderDue = this.system.clock.elapsed() - REMIND_MS;
    const unseen = this.#unread().filter(({ file }) => {
      const shownAt = this.#shownAt(file);
      return shownAt === undefined || shownAt <= reminderDue;
    });
    for (const { file } of unseen) {
      this.#announced.set(file, { ...this.#announced.get(file), isOnResult: true });
    }
    return unseen.length > 0 ? mailNotice(unseen, this.options.toolPrefix) : undefined;
  }

  /** When something showed the message to the session, as far as that is known. */
  #shownAt(file: string): number | undefined {
    const { channelAt, noticeAt, isOnResult, isInDoubt } = this.#announced.get(file) ?? {};
    if (isInDoubt && !isOnResult) return undefined;
    return noticeAt ?? (this.#isChannelProved ? channelAt : undefined);
  }

  /** A tool was called: that may be the session's answer to a notice. */
  onToolCall(call: ToolCall): void {
    for (const waker of this.options.wakers) waker.onToolCall(call);
    this.onToolsListed(); // also schedules the wake, which publishes the route
  }

  /** The session has read these, which proves the channel if nothing else can have led it there. */
  onRead(files: readonly string[]): void {
    if (!this.options.expectsChannel) return;
    const now = this.system.clock.elapsed();
    this.#isChannelProved ||= files.some((file) => {
      const { channelAt, noticeAt, isOnResult, canProveChannel } = this.#announced.get(file) ?? {};
      if (!canProveChannel || channelAt === undefined) return false;
      return noticeAt === undefined && !isOnResult && now - channelAt < PROMPT_READ_MS;
    });
  }

  /** Announced and still unread, in the order of sending. */
  #unread(): Header[] {
    const isUnread = this.mailbox.unreadTest();
    const headers: Header[] = [];
    for (const file of this.#announced.keys()) {
      const header = this.#tryHeader(file);
      if (header && isUnread(header)) headers.push(header);
    }
    return headers.sort(bySendingOrder);
  }

  #tryHeader(file: string): Header | undefined {
    try {
      return this.mailbox.inbox.header(file);
    } catch {
      return undefined; // it cannot be read just now
    }
  }

  #onScan(): void {
    const { files } = this.mailbox.inbox;
    for (const file of this.#announced.keys()) if (!files.has(file)) this.#announced.delete(file);
    for (const file of this.#retry) this.#enqueue(file);
    if (this.system.clock.elapsed() - this.#checkedAt > RECHECK_MS) this.#enqueueAll();
    this.#scheduleWake();
  }

  #scheduleWake(): void {
    if (this.#nextWakeAt === undefined || this.#wakeTimer) return;
    const wait = Math.max(0, this.#nextWakeAt - this.system.clock.elapsed());
    this.#wakeTimer = this.system.clock.after(wait, () => void this.#wake());
  }

  async #wake(): Promise<void> {
    try {
      await this.#wakeIfDue();
      this.reportRoute();
    } catch (error) {
      this.system.log(`the session was not woken: ${messageOf(error)}`);
    } finally {
      this.#wakeTimer = undefined;
    }
  }

  async #wakeIfDue(): Promise<void> {
    const waker = this.#usableWaker();
    if (!waker || waker.isPending()) return;
    this.presence.check();
    if (!this.presence.isReceiving) return;
    const due = this.#unread().filter((header) => this.#wakes(header) && this.#needsNotice(header));
    if (due.length === 0 && this.#lines.length === 0) return;
    const now = this.system.clock.elapsed();
    this.#nextWakeAt = now + WAKE_INTERVAL_MS;
    const lines = this.#lines;
    await waker.wake(this.#distinctNotice(lines, due));
    this.#lines = this.#lines.filter((line) => !lines.includes(line));
    for (const { file } of due) {
      this.#announced.set(file, { ...this.#announced.get(file), noticeAt: now });
    }
  }

  /** True unless the message was shown, or the channel is still given the time to show it. */
  #needsNotice({ file }: Header): boolean {
    const { channelAt, noticeAt } = this.#announced.get(file) ?? {};
    if (noticeAt !== undefined) return false;
    if (!this.options.expectsChannel || channelAt === undefined) return true;
    if (this.#isChannelProved) return false;
    const isOverdue = this.system.clock.elapsed() - channelAt > CHANNEL_PROOF_MS;
    return isOverdue && this.options.isIdle() === true;
  }

  /** Claude Code drops a text that equals the one before. */
  #distinctNotice(lines: readonly string[], due: readonly Header[]): string {
    const mail = due.length > 0 ? [mailNotice(due, this.options.toolPrefix)] : [];
    const text = [...lines, ...mail].join("\n");
    const time = new Date(this.system.clock.now()).toISOString().slice(11, 19);
    this.#lastNotice = text === this.#lastNotice ? `${text} (${time})` : text;
    return this.#lastNotice;
  }

  #usableWaker(): Waker | undefined {
    return this.options.wakers.find((waker) => waker.problem() === undefined);
  }

  /** Publishes how mail reaches this session. */
  reportRoute(): void {
    const { expectsChannel, wakers, fallback } = this.options;
    const waker = this.#usableWaker();
    const problem = wakers.map((each) => each.problem()).find((each) => each !== "unavailable");
    const push: Route = expectsChannel ? "channel" : (waker?.route ?? fallback);
    this.presence.update({ push, push_note: expectsChannel || waker ? "" : (problem ?? "") });
  }
}
