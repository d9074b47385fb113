import { join } from "node:path";
import {
  findMeantName,
  meansHere,
  meansOneself,
  similarNames,
  toAddress,
  toMessageFile,
} from "./addresses.ts";
import { errorCode, isUnreachable, messageOf, UserError } from "./errors.ts";
import { tryStat } from "./files.ts";
import { findHolder, type Heartbeats, namesOf, type Session } from "./heartbeats.ts";
import { type Inbox, InDoubtError, PartlyStoredError, type Unreadable } from "./inbox.ts";
import {
  bySendingOrder,
  type Draft,
  type Header,
  MAX_BODY_LENGTH,
  MAX_SUBJECT_LENGTH,
  type Message,
  mayBeAddressedTo,
  mayBeSentBy,
  type Priority,
} from "./message.ts";
import { isEveryone, isKnownForm, isName, isSameName, type Name, whyInvalidName } from "./names.ts";
import { isSamePath } from "./paths.ts";
import { projectOf } from "./project.ts";
import { isAddressee, isUnread, knownNames, type NameNotes, ReadState } from "./read-state.ts";
import type { DataFolder, System } from "./system.ts";
import { lengthOf, quoteInput } from "./text.ts";

/** The same message again is refused for this long. */
const REPEAT_MS = 60_000;
/** The time span in which a session's messages are counted, to tell it when they are many. */
const COUNT_MS = 10 * 60_000;

/** A name that was not used for this long, with no session, is taken for abandoned. */
const ABANDONED_MS = 3600 * 1000;

/** A refusal lists at most this many names. */
const MAX_LISTED = 30;

/** Whose mailbox it is: this server's session, or a person at the command line. */
export interface Owner {
  readonly name: Name;
  /** The name and earlier names. */
  readonly names: readonly Name[];
  /** Noted with each name while it is in use. */
  readonly notes: NameNotes;
  /** Throws UserError while it is unknown who holds the names. */
  check(): void;
}

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

/** What the owner has sent to one session or name, and what of it is unread there. */
export interface DeliveryStatus {
  readonly sent: readonly Header[];
  readonly unread: readonly Header[];
}

export interface UnreadMail {
  readonly headers: readonly Header[];
  /** Files that may be this mail and cannot be read just now. */
  readonly unreadable: readonly Unreadable[];
}

/** The rules for sending and reading, for tools and commands alike. */
export class Mailbox {
  readonly #readStates = new Map<Name, ReadState>();
  /** What the owner told everyone, and in which conversation: not news to it under any name. */
  readonly #ownBroadcasts = new Map<string, string | undefined>();
  /** Messages sent lately: recipient, subject and body, and when, by the clock's `elapsed`. */
  readonly #recent = new Map<string, { at: number; file: string | undefined }>();
  readonly #sentAt: { at: number; count: number }[] = [];

  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
    readonly inbox: Inbox,
    readonly heartbeats: Heartbeats,
    readonly owner: Owner,
  ) {}

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
    const recipients = this.#resolveAll(request);
    const drafts = recipients.map(({ to }) => this.#toDraft(to, request, replyTo));
    this.#rejectRepeats(drafts);
    const now = this.system.clock.elapsed();
    for (const draft of drafts) this.#recent.set(repeatKey(draft), { at: now, file: undefined });
    const headers = await this.#store(drafts);
    // Written before the answer: a session that is killed right after it must not get them as mail.
    if (headers.some(({ to }) => isEveryone(to))) await this.#saveMarks();
    const deliveries = headers.map((header, index) => {
      this.#recent.set(repeatKey(drafts[index] as Draft), { at: now, file: header.file });
      return { header, online: recipients[index]?.online ?? [] };
    });
    return { deliveries, recentCount: this.#count(deliveries) };
  }

  async #store(drafts: readonly Draft[]): Promise<Header[]> {
    try {
      // What the owner tells everyone is not news to it, from the first moment on.
      return await this.inbox.store(drafts, (header) => {
        if (isEveryone(header.to)) this.#noteOwnBroadcast(header);
      });
    } catch (error) {
      const stored = error instanceof PartlyStoredError ? error.stored : [];
      for (const draft of drafts.slice(stored.length)) this.#recent.delete(repeatKey(draft));
      if (stored.some(({ to }) => isEveryone(to))) await this.#saveMarks();
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
    if (isUnreachable(error)) return this.unreachable("Not sent.", error);
    return new UserError(
      `Not sent, nothing was stored: ${reason}. Fix the problem, then send again.`,
    );
  }

  /** For errors of a network mount, which comes back by itself. */
  unreachable(what: string, error: unknown): UserError {
    return new UserError(
      `${what} The data folder ${this.folder.dir} does not answer: ${messageOf(error)}. Nothing is lost. If it is on a network mount, mount it again, then call again.`,
    );
  }

  #toDraft(to: Name | "all", request: SendRequest, replyTo: string | undefined): Draft {
    const { subject, body, priority, escalate } = request;
    const type = escalate ? "escalation" : to === "all" ? "broadcast" : "ipc";
    return { from: this.owner.name, to, type, subject, body, priority, reply_to: replyTo };
  }

  /** Who is meant, each session once. Throws UserError if one of the names is nobody's. */
  #resolveAll({
    to,
    allowUnknown = false,
  }: SendRequest): { to: Name | "all"; online: Session[] }[] {
    const online = this.#online();
    const resolved = to.flatMap((text) =>
      meansHere(text) ? this.#resolveHere(online) : this.#resolve(text, online, allowUnknown),
    );
    // Mail to everyone reaches the others as well.
    const broadcast = resolved.find(({ to }) => to === "all");
    if (broadcast) return [broadcast];
    const keys = new Set<string>();
    return resolved.filter(({ to, online }) => {
      const key = online[0]?.name ?? to;
      if (keys.has(key)) return false;
      keys.add(key);
      return true;
    });
  }

  /** Every other session that works in the owner's project. */
  #resolveHere(online: readonly Session[]): { to: Name; online: Session[] }[] {
    const here = online.filter((session) => this.worksHere(session) && !this.#isOwner(session));
    if (here.length === 0) {
      throw new UserError("Not sent: no other session works in this project.", "list-sessions");
    }
    return here.map((session) => ({ to: session.name, online: [session] }));
  }

  #isOwner({ name }: Session): boolean {
    return name === this.owner.name;
  }

  /** True if the session works in the owner's project, on this machine. */
  worksHere({ entry }: Session): boolean {
    const { files, processes } = this.system;
    const { folder } = this.owner.notes;
    if (folder === undefined || entry.cwd === undefined || entry.host !== processes.host) {
      return false;
    }
    return isSamePath(projectOf(entry.cwd, files), projectOf(folder, files));
  }

  #resolve(
    text: string,
    online: readonly Session[],
    allowUnknown: boolean,
  ): { to: Name | "all"; online: Session[] } {
    const others = online.filter((session) => !this.#isOwner(session));
    const address = toAddress(text);
    if (address === "all") return { to: "all", online: others };
    if (this.isOwnName(text)) {
      throw new UserError(`Not sent: ${quoteInput(text)} is this session itself.`, "list-sessions");
    }
    const meant = findMeantName(text, online.flatMap(namesOf)) ?? this.#findOffline(text);
    const isNew = allowUnknown && address !== undefined && isName(address);
    const to = meant ?? (isNew ? address : undefined);
    if (to === undefined) throw this.#unknownName(text, others);
    const holder = findHolder(others, to);
    return { to, online: holder ? [holder] : [] };
  }

  /** True if the owner is meant: by one of its names in any spelling, or by "self" or "me". */
  isOwnName(text: string): boolean {
    return meansOneself(text, this.owner.names);
  }

  #findOffline(text: string): Name | undefined {
    return findMeantName(text, this.#knownNames());
  }

  /** Names that were in use within 30 days, and those that mail in the inbox is from. */
  #knownNames(): Set<Name> {
    this.inbox.tryScan();
    const { headers } = this.inbox.headers(() => true);
    const senders = headers.map(({ from }) => from).filter(isKnownForm);
    return new Set([...knownNames(this.folder, this.system), ...senders]);
  }

  #unknownName(text: string, others: readonly Session[]): UserError {
    const known = [...this.#knownNames()].filter((name) => !this.owner.names.includes(name));
    const names = others.map(({ name }) => name);
    const near = similarNames(text, [...names, ...known]).slice(0, 3);
    const meant = near.length > 0 ? `Did you mean ${near.join(", ")}? ` : "";
    const whoIsThere = names.length > 0 ? `Online: ${names.join(", ")}.` : "Nobody else is online.";
    const address = toAddress(text) ?? text;
    const reason = whyInvalidName(address);
    return new UserError(
      `Not sent: ${reason ?? `no session named ${address} has been here.`} ${meant}${whoIsThere}`,
      reason ? "list-sessions" : "allow-unknown",
    );
  }

  /** Two sessions that thank each other forever are a real failure. */
  #rejectRepeats(drafts: readonly Draft[]): void {
    const now = this.system.clock.elapsed();
    for (const [key, { at }] of this.#recent) if (now - at > REPEAT_MS) this.#recent.delete(key);
    for (const draft of drafts) {
      const before = this.#recent.get(repeatKey(draft));
      if (!before) continue;
      const ago = `${Math.round((now - before.at) / 1000)} s ago`;
      const where = before.file ? ` (${before.file})` : "";
      throw new UserError(
        `Not sent again: the same message (recipient, subject and body) went out ${ago}${where}. If there is nothing new to say, say nothing; otherwise change the text, or wait ${REPEAT_MS / 1000} s.`,
      );
    }
  }

  /** Counted by this process's own clock: timestamps in file names are places and not times. */
  #count(deliveries: readonly Delivery[]): number {
    const now = this.system.clock.elapsed();
    const count = deliveries.reduce(
      (sum, { header, online }) => sum + (isEveryone(header.to) ? online.length : 1),
      0,
    );
    this.#sentAt.push({ at: now, count });
    while (this.#sentAt[0] && now - this.#sentAt[0].at > COUNT_MS) this.#sentAt.shift();
    return this.#sentAt.reduce((sum, each) => sum + each.count, 0);
  }

  #readState(name: Name): ReadState {
    const known = this.#readStates.get(name);
    if (known) return known;
    const state = new ReadState(this.folder, this.system, name);
    this.#readStates.set(name, state);
    return state;
  }

  #ownStates(): ReadState[] {
    return this.owner.names.map((name) => {
      const state = this.#readState(name);
      state.defaultSince = this.owner.notes.since;
      return state;
    });
  }

  #noteOwnBroadcast(header: Header): void {
    this.#ownBroadcasts.set(header.file, this.owner.notes.conversation);
    this.#mark([header]);
  }

  /**
   * The owner has taken a name. What it told everyone is not news to it under that name either, and
   * what it had not read before stays unread, whatever a former holder of the name has read.
   */
  onRenamed(unreadBefore: readonly Header[]): void {
    const { name, notes } = this.owner;
    const own = [...this.#ownBroadcasts].filter(([, sentIn]) => sentIn === notes.conversation);
    const unread = unreadBefore.filter(({ to }) => isEveryone(to));
    const state = this.#readState(name);
    state.disregard(unread.map(({ file }) => file));
    state.markRead(own.map(([file]) => file));
  }

  /** Notes that the owner's names are in use, so that mail for them is accepted while it is away. */
  async register(): Promise<void> {
    const { notes } = this.owner;
    await Promise.all(this.#ownStates().map((state) => state.save(notes)));
  }

  /** False if one of the owner's names has read the file. Does not open the message. */
  mayBeUnread(file: string): boolean {
    return !this.#ownStates().some((state) => state.view().hasRead(file));
  }

  /** A test for one moment: whether a message is unread mail of the owner. */
  unreadTest(): (header: Header) => boolean {
    return this.#unreadTestOf(this.#ownStates());
  }

  #unreadTestOf(states: readonly ReadState[]): (header: Header) => boolean {
    const views = states.map((state) => state.view());
    return (header) => isUnread(views, header);
  }

  /** The owner's unread mail: `critical` and `high` first, `low` last, else in sending order. */
  unread(): UnreadMail {
    this.owner.check();
    this.#scan();
    return this.#unreadBy(this.#ownStates());
  }

  /**
   * Another session's unread mail, which stays unread. Throws UserError if nobody has or had that
   * name.
   */
  unreadOf(text: string): UnreadMail & { readonly name: Name } {
    const online = this.#online();
    const name = findMeantName(text, online.flatMap(namesOf)) ?? this.#findOffline(text);
    if (name === undefined) throw this.#nobody(text, online);
    this.#scan();
    const holder = findHolder(online, name);
    const names = holder ? namesOf(holder) : [name];
    return { name: holder?.name ?? name, ...this.#unreadBy(names.map((n) => this.#readState(n))) };
  }

  #nobody(text: string, online: readonly Session[]): UserError {
    const names = new Set([...online.map(({ name }) => name), ...this.#knownNames()]);
    const listed = [...names].slice(0, MAX_LISTED).join(", ");
    const more = names.size > MAX_LISTED ? ` and ${names.size - MAX_LISTED} more` : "";
    const existing = names.size > 0 ? `Names that exist: ${listed}${more}.` : "";
    return new UserError(
      `Nothing shown: nobody here has or had the name ${quoteInput(text)}. ${existing}`.trim(),
      "list-sessions",
    );
  }

  #unreadBy(states: readonly ReadState[]): UnreadMail {
    const filter = mayBeAddressedTo(states.map(({ name }) => name));
    const { headers, unreadable } = this.inbox.headers(filter);
    const isUnreadNow = this.#unreadTestOf(states);
    const ranks = ["critical", "high", "normal", "low"];
    const rank = ({ priority }: Header): number => {
      const index = ranks.indexOf(priority);
      return index < 0 ? ranks.indexOf("normal") : index;
    };
    const unread = headers.filter(isUnreadNow);
    return {
      headers: unread.sort((a, b) => rank(a) - rank(b) || bySendingOrder(a, b)),
      unreadable,
    };
  }

  /** How much of a long message the owner was shown, in parts. */
  partsShown(file: string): number {
    return Math.max(...this.#ownStates().map((state) => state.view().partsShown(file)));
  }

  markPart(file: string, part: number, names = this.owner.names): void {
    for (const name of names) this.#readState(name).markPart(file, part);
    this.#saveMarksLater();
  }

  /**
   * Takes effect at once, for the names that the session had when it was shown the messages. It is
   * written after the answer is out, so that a server that is killed before has not marked what
   * nobody saw.
   */
  markRead(headers: readonly Header[], names = this.owner.names): void {
    this.#mark(headers, names);
    this.#saveMarksLater();
  }

  #mark(headers: readonly Header[], names = this.owner.names): void {
    const files = headers.map(({ file }) => file);
    for (const name of names) this.#readState(name).markRead(files);
  }

  #saveMarksLater(): void {
    void this.system.clock.nextTurn().then(() => this.#saveMarks());
  }

  async #saveMarks(): Promise<void> {
    await Promise.all([...this.#readStates.values()].map((state) => state.save()));
  }

  /** Writes what is marked. Resolves when no lock of a read state is held any more. */
  async close(): Promise<void> {
    await this.system.clock.nextTurn(); // what `#saveMarksLater` saves is under way from here on
    await this.#saveMarks();
  }

  /**
   * A message that the owner sent or received, from the inbox or the archive. Throws UserError if
   * there is none; `what` names the argument in it.
   */
  find(text: string, what: string): Message & { isArchived: boolean } {
    this.#scan();
    const file = this.#meantFile(text);
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

  #meantFile(text: string): string | undefined {
    const file = toMessageFile(text);
    if (file === undefined || this.inbox.files.has(file)) return file;
    const start = file.slice(0, -".md".length);
    const similar = [...this.inbox.files].filter((each) => each.startsWith(start));
    return similar.length === 1 ? similar[0] : file;
  }

  #ownMessage(file: string): (Message & { isArchived: boolean }) | undefined {
    const found = this.#reach(() => this.inbox.find(file));
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

  /** What became of the owner's mail, for each of these sessions and each offline name with mail. */
  deliveryStatus(online: readonly Session[]): {
    sessions: Map<string, DeliveryStatus>;
    offline: Map<string, DeliveryStatus>;
  } {
    this.#scan();
    const names = this.owner.names as readonly string[];
    const sent = this.inbox
      .headers(mayBeSentBy(this.owner.names))
      .headers.filter(({ from }) => names.includes(from));
    const sessions = new Map<string, DeliveryStatus>();
    for (const session of online)
      sessions.set(session.name, this.#statusOf(namesOf(session), sent));
    const offline = new Map<string, DeliveryStatus>();
    for (const { to } of sent) {
      if (isKnownForm(to) && !findHolder(online, to) && !offline.has(to)) {
        offline.set(to, this.#statusOf([to], sent));
      }
    }
    return { sessions, offline };
  }

  #statusOf(names: readonly Name[], all: readonly Header[]): DeliveryStatus {
    const views = names.map((name) => this.#readState(name).view());
    const sent = all.filter((header) => isAddressee(views, header));
    const unread = sent.filter((header) => isUnread(views, header));
    return { sent, unread: unread.sort(bySendingOrder) };
  }

  /**
   * Other sessions that work in the folder in which an offline name was used last. Empty if the
   * list cannot be read just now.
   */
  sessionsInFolderOf(name: string): Session[] {
    if (!isKnownForm(name)) return [];
    const { folder } = this.#readState(name).view().notes;
    if (folder === undefined) return [];
    try {
      const online = this.heartbeats.online();
      const isThere = ({ entry }: Session) => isSamePath(entry.cwd ?? "", folder);
      return online.filter((session) => isThere(session) && !this.#isOwner(session));
    } catch {
      return [];
    }
  }

  /** The session that is meant by what somebody wrote, if it is online. */
  findOnline(text: string): Session | undefined {
    const online = this.#online();
    const name = findMeantName(text, online.flatMap(namesOf));
    return name === undefined ? undefined : findHolder(online, name);
  }

  /** True if a session has read the message, under whichever of its names. */
  hasBeenRead(name: Name, file: string): boolean {
    const holder = findHolder(this.#online(), name);
    const names = holder ? namesOf(holder) : [name];
    return names.some((each) => this.#readState(each).view().hasRead(file));
  }

  /** Offline names that were used last in this folder, over an hour ago, and have unread mail. */
  abandonedIn(folder: string): { name: Name; unread: number }[] {
    const held = this.#online().flatMap(namesOf);
    const names = this.#reach(() => knownNames(this.folder, this.system));
    return names
      .filter((name) => !held.some((each) => isSameName(each, name)))
      .filter((name) => isSamePath(this.#readState(name).view().notes.folder ?? "", folder))
      .filter((name) => this.#unusedFor(name) > ABANDONED_MS)
      .map((name) => ({ name, unread: this.#directUnread(name) }))
      .filter(({ unread }) => unread > 0);
  }

  #unusedFor(name: Name): number {
    const path = join(this.folder.read, name);
    return this.system.clock.now() - (tryStat(this.system.files, path)?.mtimeMs ?? 0);
  }

  #directUnread(name: Name): number {
    const { headers } = this.#unreadBy([this.#readState(name)]);
    return headers.filter(({ to }) => isSameName(to, name)).length;
  }

  #online(): Session[] {
    return this.#reach(() => this.heartbeats.online());
  }

  #reach<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.unreachable("Nothing was done.", error);
    }
  }

  #scan(): void {
    try {
      this.inbox.scan();
    } catch (error) {
      if (isUnreachable(error)) throw this.unreachable("The inbox cannot be read.", error);
      const reason = `${errorCode(error) ?? ""} ${messageOf(error)} (${this.folder.inbox})`.trim();
      throw new UserError(
        `The inbox cannot be read: ${reason}. Fix the problem, then call again: no mail is lost by it.`,
      );
    }
  }
}

function checkTexts({ subject, body }: SendRequest): void {
  if (subject.trim() === "") {
    throw new UserError("Not sent: the subject is empty. Say in a few words what it is about.");
  }
  checkText("subject", subject, MAX_SUBJECT_LENGTH, "Shorten it and put the rest into the body.");
  checkText(
    "body",
    body,
    MAX_BODY_LENGTH,
    "Send it in parts, or write it to a file and send the path.",
  );
}

function checkText(what: string, text: string, limit: number, remedy: string): void {
  const length = lengthOf(text);
  if (length > limit) {
    throw new UserError(
      `Not sent: the ${what} has ${length} characters, the limit is ${limit}. ${remedy}`,
    );
  }
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new UserError(
      `Not sent: the ${what} contains a NUL or half a character. Remove it and send again.`,
    );
  }
}

const repeatKey = ({ to, subject, body }: Draft): string => JSON.stringify([to, subject, body]);
