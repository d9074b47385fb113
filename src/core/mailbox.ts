import { findMessageFile, toMessageFile } from "./addresses.ts";
import { Directory } from "./directory.ts";
import { isUnreachable, messageOf, reachFolder, UserError, unreachableFolder } from "./errors.ts";
import { findHolder, type Heartbeats, namesOf, type Session } from "./heartbeats.ts";
import { type Inbox, InDoubtError, PartlyStoredError, type Unreadable } from "./inbox.ts";
import {
  bySendingOrder,
  type Draft,
  type Header,
  type Message,
  mayBeAddressedTo,
  mayBeSentBy,
  type Priority,
} from "./message.ts";
import { isEveryone, isKnownForm, isSameName, type Name } from "./names.ts";
import { isAddressee, isUnread, type ReadView } from "./read-state.ts";
import { type Owner, ReadStates } from "./read-states.ts";
import { checkTexts, SendLimits } from "./send-limits.ts";
import type { DataFolder, System } from "./system.ts";
import { quoteInput } from "./text.ts";

/** How urgent unread mail is listed; any other priority counts as normal. */
const RANKS = ["critical", "high", "normal", "low"];

export interface SendRequest {
  /** As somebody wrote them. */
  readonly to: readonly string[];
  readonly subject: string;
  readonly body: string;
  readonly priority: Priority;
  readonly reply_to?: string | undefined;
  readonly escalate?: boolean;
  /** Also store for names that nobody has used yet. */
  readonly allowUnknown?: boolean;
}

/** A message that was stored, and who is online to receive it. */
export interface Delivery {
  readonly header: Header;
  /** For one name: the session that holds it, or none. */
  readonly online: readonly Session[];
}

export interface Sent {
  readonly deliveries: readonly Delivery[];
  /** How many messages the owner has sent in ten minutes; a broadcast counts once per session. */
  readonly recentCount: number;
}

/** The owner's mail to one session or name, and the part of it that is unread there. */
export interface DeliveryStatus {
  readonly sent: readonly Header[];
  readonly unread: readonly Header[];
}

export interface UnreadMail {
  readonly headers: readonly Header[];
  /** Files that may be this mail and cannot be read just now. */
  readonly unreadable: readonly Unreadable[];
}

/** The owner's mail: the rules for sending and reading, for tools and commands alike. */
export class Mailbox {
  readonly directory: Directory;
  readonly #readStates: ReadStates;
  readonly #limits: SendLimits;

  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
    readonly inbox: Inbox,
    heartbeats: Heartbeats,
    readonly owner: Owner,
  ) {
    this.#readStates = new ReadStates(folder, system, owner);
    this.#limits = new SendLimits(system.clock);
    this.directory = new Directory(folder, system, inbox, heartbeats, this.#readStates, owner);
  }

  /**
   * Stores a message for each recipient. Throws UserError if a rule forbids it or a file cannot be
   * written; the message says what is stored and what is not.
   */
  async send(request: SendRequest): Promise<Sent> {
    checkTexts(request);
    this.owner.check();
    const replyTo =
      request.reply_to === undefined
        ? undefined
        : this.find(request.reply_to, "Not sent: reply_to").header.file;
    const recipients = this.directory.resolve(request.to, request.allowUnknown ?? false);
    const drafts = recipients.map(({ to }) => this.#toDraft(to, request, replyTo));
    this.#limits.rejectRepeats(drafts);
    for (const draft of drafts) this.#limits.note(draft);
    const headers = await this.#store(drafts);
    for (const [index, { file }] of headers.entries()) {
      this.#limits.note(drafts[index] as Draft, file);
    }
    // Written before the answer: a session that is killed right after it must not get them as mail.
    if (headers.some(({ to }) => isEveryone(to))) await this.#readStates.save();
    const deliveries = headers.map((header, index) => {
      return { header, online: recipients[index]?.online ?? [] };
    });
    // A broadcast counts once for each session.
    const counts = deliveries.map(({ header, online }) =>
      isEveryone(header.to) ? online.length : 1,
    );
    const recentCount = this.#limits.count(counts.reduce((sum, count) => sum + count, 0));
    return { deliveries, recentCount };
  }

  #toDraft(to: Name | "all", request: SendRequest, replyTo: string | undefined): Draft {
    const { subject, body, priority, escalate } = request;
    const type = escalate ? "escalation" : to === "all" ? "broadcast" : "ipc";
    return { from: this.owner.name, to, type, subject, body, priority, reply_to: replyTo };
  }

  async #store(drafts: readonly Draft[]): Promise<Header[]> {
    try {
      // Marked before this process announces it, so that the owner never gets its own broadcast.
      return await this.inbox.store(drafts, (header) => {
        if (isEveryone(header.to)) this.#readStates.markSent(header);
      });
    } catch (error) {
      const stored = error instanceof PartlyStoredError ? error.stored : [];
      for (const draft of drafts.slice(stored.length)) this.#limits.forget(draft);
      throw this.#explainFailure(error, drafts.length);
    }
  }

  #explainFailure(error: unknown, count: number): UserError {
    const reason = `${messageOf(error)} (${this.folder.inbox})`;
    if (error instanceof PartlyStoredError) {
      const stored = error.stored.map(({ to, file }) => `${to} (${file})`).join(", ");
      const doubt = error.inDoubt ? `; unknown for inbox/${error.inDoubt}` : "";
      const missing = count - error.stored.length - (error.inDoubt ? 1 : 0);
      const rest = missing > 0 ? `; not stored for the other ${missing}` : "";
      return new UserError(
        `Sent in part: stored for ${stored}${doubt}${rest}: ${reason}. Fix the problem, then send to the others again.`,
      );
    }
    if (error instanceof InDoubtError) {
      return new UserError(
        `It is not known whether inbox/${error.file} was stored: ${reason}. Look whether the file is there before you send again.`,
      );
    }
    if (isUnreachable(error)) return unreachableFolder(this.folder.dir, error, "Not sent.");
    return new UserError(
      `Not sent, nothing was stored: ${reason}. Fix the problem, then send again.`,
    );
  }

  /**
   * Notes that the owner's names are in use, so that mail for them is accepted while it is away.
   * From then on marks that another conversation has made under them do not count. Never rejects:
   * later calls try again.
   */
  async register(): Promise<void> {
    try {
      await this.#readStates.register((views) => this.#unreadBroadcasts(views));
    } catch (error) {
      this.system.log(`the names are not noted as in use: ${messageOf(error)}`);
    }
  }

  #unreadBroadcasts(views: readonly ReadView[]): readonly string[] {
    this.#scan();
    const { headers, unreadable } = this.#unreadBy(views);
    const toAll = headers.filter(({ to }) => isEveryone(to));
    const mayBeToAll = unreadable.filter(({ file }) => /-all-/.test(file));
    return [...toAll, ...mayBeToAll].map(({ file }) => file);
  }

  /** False if one of the owner's names has read the file. Does not open the message. */
  mayBeUnread(file: string): boolean {
    return !this.#readStates.hasRead(file);
  }

  /** False if the marks of one of the owner's names could not be read for the last test. */
  get areMarksKnown(): boolean {
    return this.#readStates.areKnown;
  }

  /** A test for one moment: whether a message is unread mail of the owner. */
  unreadTest(): (header: Header) => boolean {
    const views = this.#readStates.ownViews();
    return (header) => isUnread(views, header);
  }

  /** The owner's unread mail: `critical` and `high` first, `low` last, else in sending order. */
  unread(): UnreadMail {
    this.owner.check();
    this.#scan();
    return this.#unreadBy(this.#readStates.ownViews());
  }

  /**
   * Another session's unread mail, which stays unread. Throws UserError if nobody has or had that
   * name.
   */
  unreadOf(text: string): UnreadMail & { readonly name: Name } {
    const names = this.directory.namesOf(text);
    this.#scan();
    return {
      name: names[0],
      ...this.#unreadBy(names.map((name) => this.#readStates.viewOf(name))),
    };
  }

  #unreadBy(views: readonly ReadView[]): UnreadMail {
    const filter = mayBeAddressedTo(views.map(({ name }) => name));
    const { headers, unreadable } = this.inbox.headers(filter);
    const unread = headers.filter((header) => isUnread(views, header));
    return {
      headers: unread.sort((a, b) => rankOf(a) - rankOf(b) || bySendingOrder(a, b)),
      unreadable: unreadable.filter(({ file }) => !views.some(({ hasRead }) => hasRead(file))),
    };
  }

  /** How much of a long message the owner was shown, in parts. */
  partsShown(file: string): number {
    return this.#readStates.partsShown(file);
  }

  markPart(file: string, part: number, names = this.owner.names): void {
    this.#readStates.markPart(file, part, names);
    this.#readStates.saveLater();
  }

  /**
   * Takes effect at once, for the names and the conversation that the session had when it was shown
   * the messages. It is written after the answer is out, so that a server that is killed before has
   * not marked what nobody saw.
   */
  markRead(
    headers: readonly Header[],
    names = this.owner.names,
    conversation = this.owner.notes.conversation,
  ): void {
    this.#readStates.markRead(headers, names, conversation);
    this.#readStates.saveLater();
  }

  /** Writes the marks. Resolves when all locks of read states are released. */
  async close(): Promise<void> {
    await this.#readStates.close();
  }

  /**
   * A message that the owner sent or received, from the inbox or the archive. Throws UserError if
   * there is none; `what` names the argument in it.
   */
  find(text: string, what: string): Message & { isArchived: boolean } {
    this.#scan();
    // One that is not in the inbox may be in the archive.
    const file = findMessageFile(text, this.inbox.files) ?? toMessageFile(text);
    const found = file === undefined ? undefined : this.#ownMessage(file);
    if (found) return found;
    throw new UserError(
      `${what} ${quoteInput(text, 250)} is not a message that this session sent or received.`,
      "copy-file-name",
    );
  }

  /** The same without a refusal, for a message that another one answers. */
  findAnswered(file: string): Message | undefined {
    try {
      return this.#ownMessage(file);
    } catch {
      return undefined;
    }
  }

  #ownMessage(file: string): (Message & { isArchived: boolean }) | undefined {
    const found = reachFolder(this.folder.dir, () => this.inbox.find(file));
    if (!found) return undefined;
    const { from, to } = found.header;
    const isOwn = (name: string): boolean => this.owner.names.some((own) => isSameName(own, name));
    return isEveryone(to) || isOwn(from) || isOwn(to) ? found : undefined;
  }

  /** How many messages in the inbox answer this one. */
  answersTo(file: string): number {
    return this.inbox.headers((each) => each > file).headers.filter((h) => h.reply_to === file)
      .length;
  }

  /** The status of the owner's mail, for each of these sessions and each offline name with mail. */
  deliveryStatus(online: readonly Session[]): {
    sessions: Map<string, DeliveryStatus>;
    offline: Map<string, DeliveryStatus>;
    /** Files that may be the owner's mail and cannot be read just now. */
    unreadable: readonly Unreadable[];
  } {
    this.#scan();
    const names = this.owner.names as readonly string[];
    const { headers, unreadable } = this.inbox.headers(mayBeSentBy(this.owner.names));
    const sent = headers.filter(({ from }) => names.includes(from));
    const sessions = new Map<string, DeliveryStatus>();
    for (const session of online)
      sessions.set(session.name, this.#statusOf(namesOf(session), sent));
    const offline = new Map<string, DeliveryStatus>();
    for (const { to } of sent) {
      if (isKnownForm(to) && !findHolder(online, to) && !offline.has(to)) {
        offline.set(to, this.#statusOf([to], sent));
      }
    }
    return { sessions, offline, unreadable };
  }

  #statusOf(names: readonly Name[], all: readonly Header[]): DeliveryStatus {
    const views = names.map((name) => this.#readStates.viewOf(name));
    const sent = all.filter((header) => isAddressee(views, header));
    const unread = sent.filter((header) => isUnread(views, header));
    return { sent, unread: unread.sort(bySendingOrder) };
  }

  /** True if a session has read the message, under whichever of its names. */
  hasBeenRead(name: Name, file: string): boolean {
    const holder = findHolder(this.directory.online(), name);
    const names = holder ? namesOf(holder) : [name];
    return names.some((each) => this.#readStates.viewOf(each).hasRead(file));
  }

  /** Offline names that were used last in this folder, over an hour ago, and have unread mail. */
  abandonedIn(folder: string): { name: Name; unread: number }[] {
    return this.directory
      .abandonedIn(folder)
      .map((name) => ({ name, unread: this.#directUnread(name) }))
      .filter(({ unread }) => unread > 0);
  }

  #directUnread(name: Name): number {
    const { headers } = this.#unreadBy([this.#readStates.viewOf(name)]);
    return headers.filter(({ to }) => isSameName(to, name)).length;
  }

  #scan(): void {
    try {
      this.inbox.scan();
    } catch (error) {
      if (isUnreachable(error)) {
        throw unreachableFolder(this.folder.dir, error, "The inbox cannot be read.");
      }
      throw new UserError(
        `The inbox cannot be read: ${messageOf(error)} (${this.folder.inbox}). Fix the problem, then call again: no mail is lost by it.`,
      );
    }
  }
}

function rankOf({ priority }: Header): number {
  const rank = RANKS.indexOf(priority);
  return rank < 0 ? RANKS.indexOf("normal") : rank;
}
