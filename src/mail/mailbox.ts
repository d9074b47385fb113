import type { Config } from "../config.ts";
import { checkMounted, isUnreachable, reasonOf, unreachable } from "../files.ts";
import { namesOf, type Session } from "../sessions/entry.ts";
import type { Heartbeats } from "../sessions/heartbeats.ts";
import { isForAll, isName, type Name, nameProblem } from "../sessions/names.ts";
import type { Stamp } from "../stamp.ts";
import { exchangedLately, fates } from "./correspondence.ts";
import { draftOf, type Outgoing, type Owner, Refusal, suggest } from "./draft.ts";
import { Inbox, type Message } from "./inbox.ts";
import { type Header, inOrder, mayBeToAll } from "./message.ts";
import { Bystander, knownNames, ReadMarks } from "./read-marks.ts";

/** The same message again is refused for so long: two sessions thanking each other for ever is a real failure. */
const REPEAT_MS = 60_000;

export interface Sent {
  readonly header: Header;
  /** Who is online to get it; for one recipient, none or one. */
  readonly online: readonly Session[];
  /** How many messages the two have exchanged within ten minutes, this one included; 0 for mail to all. */
  readonly exchanged: number;
}

/** Sending and reading, for one owner. The rules for both live here, for tools and commands alike. */
export class Mailbox {
  readonly inbox: Inbox;
  readonly #bystander: Bystander;
  readonly #marks = new Map<Name, ReadMarks>();
  /** What was sent within REPEAT_MS: recipient, subject and body; with its file, and when (ms). */
  readonly #recent = new Map<string, { file: string; at: number }>();

  /** `since`: what was sent to `all` before is not the owner's mail, where its name is new. */
  constructor(
    private readonly config: Config,
    readonly heartbeats: Heartbeats,
    readonly owner: Owner,
    private readonly since: Stamp | undefined,
  ) {
    this.inbox = new Inbox(config);
    this.#bystander = new Bystander(config);
  }

  /** Sends one message. Throws Refusal where a rule forbids it or the file cannot be written. */
  async send(message: Outgoing): Promise<Sent> {
    const draft = draftOf(this.owner, message);
    if (draft.reply_to) await this.#mayKnow(draft.reply_to, "Not sent: reply_to");
    const online = await this.#recipients(draft.to, message.allowUnknown);
    const key = JSON.stringify([draft.to, draft.subject, draft.body]);
    this.#refuseRepeat(key);
    const sent = { file: "being written at this moment", at: performance.now() };
    this.#recent.set(key, sent);
    const header = await this.inbox.outbox.deliver(draft).catch((error) => {
      this.#recent.delete(key);
      if (isUnreachable(error))
        throw new Refusal(`Not sent. ${unreachable(this.config.dir, error)}`);
      const reason = `${reasonOf(error)} (${this.config.inbox})`;
      throw new Refusal(`Not sent, nothing was stored: ${reason}. Mend that, then send again.`);
    });
    sent.file = header.file;
    if (draft.to !== "all") {
      const theirs = [draft.to, ...online.flatMap(namesOf)];
      return {
        header,
        online,
        exchanged: exchangedLately(this.inbox, this.owner.names, theirs, header.file),
      };
    }
    // What the owner sent to all is no news to it, not even where this process is killed right after the answer.
    this.markRead([header]);
    await this.#saveMarks();
    return { header, online, exchanged: 0 };
  }

  /** The message of that file name, from inbox or archive, where the owner sent or got it. */
  find(file: string): (Message & { isArchived: boolean }) | undefined {
    const found = this.inbox.find(file);
    const { from = "", to = "" } = found?.header ?? {};
    const isKnown =
      isForAll(to) || [from, to].some((name) => this.owner.names.some((own) => own === name));
    return isKnown ? found : undefined;
  }

  /** The same after a look at the folder. Throws Refusal where there is none. `what`: what named the file. */
  async #mayKnow(file: string, what: string): Promise<Message & { isArchived: boolean }> {
    await this.#look();
    const found = this.find(file);
    if (found) return found;
    throw new Refusal(
      `${what} ${JSON.stringify(file)} is no message that this session sent or got. It takes a file name as t9_ipc_unread or t9_ipc_send gave it, without a folder.`,
    );
  }

  /** Who is online to get it. Throws Refusal for a recipient nobody has ever seen. */
  async #recipients(to: Name | "all", allowUnknown: boolean): Promise<Session[]> {
    const isOwn = ({ name }: Session): boolean => name === this.owner.name;
    if (to === "all") return this.online().filter((session) => !isOwn(session));
    const holder = this.#reached(() => this.heartbeats.holder(to));
    if (holder && namesOf(holder).includes(to)) return [holder];
    const known = new Set(knownNames(this.config));
    if (allowUnknown || known.has(to)) return [];
    await this.#look();
    for (const { from } of this.inbox.select(() => true)) if (isName(from)) known.add(from);
    if (known.has(to)) return [];
    const others = this.online().flatMap((session) => (isOwn(session) ? [] : session.name));
    throw new Refusal(
      `Not sent: no session named ${to} has been here. ${suggest(to, others, known)} Names must match exactly. To leave it for a session that is still to come, repeat with allow_unknown: true.`,
    );
  }

  #refuseRepeat(key: string): void {
    const now = performance.now();
    for (const [old, { at }] of this.#recent) if (now - at > REPEAT_MS) this.#recent.delete(old);
    const same = this.#recent.get(key);
    if (!same) return;
    const ago = `${Math.round((now - same.at) / 1000)} s ago (${same.file})`;
    throw new Refusal(
      `Not sent again: the same message (recipient, subject and body) went out ${ago}. If there is nothing new to say, say nothing; otherwise change the text or wait ${REPEAT_MS / 1000} s.`,
    );
  }

  /** What the owner has read, for each of its names. */
  #own(): ReadMarks[] {
    return this.owner.names.map((name) => {
      const known = this.#marks.get(name);
      if (known) return known;
      const marks = new ReadMarks(this.config, name);
      marks.since ??= this.since;
      // What the session read under another name, it has read under this one.
      for (const other of this.#marks.values()) marks.mark([...other.files].filter(mayBeToAll));
      this.#marks.set(name, marks);
      return marks;
    });
  }

  /** Records that the owner's names are in use, so that mail for them is accepted while they are away. */
  async appear(): Promise<void> {
    await Promise.all(this.#own().map((marks) => marks.save(true)));
  }

  /** Does the file's name tell that this is the owner's mail? */
  readonly isOwn = (file: string): boolean => this.#bystander.isFor(file, this.owner.names);

  /** Could this be the owner's unread mail, as far as the file's name tells? */
  mayBeUnread(file: string): boolean {
    return (
      this.#bystander.mayBeFor(file, this.owner.names) &&
      this.#own().some(({ files }) => !files.has(file))
    );
  }

  /** The message's header, where it is the owner's unread mail by what is known now. */
  unreadHeader(file: string): Header | undefined {
    const header = this.mayBeUnread(file) ? this.inbox.header(file) : undefined;
    return header && this.#own().some((marks) => marks.lacks(header)) ? header : undefined;
  }

  /** Takes in what other processes have marked as read. */
  refresh(): void {
    for (const marks of this.#own()) marks.refresh();
  }

  /** Unread messages of the owner: `critical` and `high` first, `low` last, else in the order of sending. */
  async unread(): Promise<Header[]> {
    await this.#look();
    this.refresh();
    return this.#unreadBy(this.#own());
  }

  /** The same for somebody else's name. Throws Refusal for what cannot be one. */
  async unreadOf(name: string): Promise<Header[]> {
    if (!isName(name)) throw new Refusal(`${nameProblem(name)} t9_ipc_who lists who is online.`);
    await this.#look();
    const session = this.#reached(() => this.heartbeats.holder(name));
    const names = session && namesOf(session).includes(name) ? namesOf(session) : [name];
    return this.#unreadBy(names.map((each) => new ReadMarks(this.config, each)));
  }

  #unreadBy(marks: readonly ReadMarks[]): Header[] {
    const ranks = ["critical", "high", "normal", "low"];
    const rank = ({ priority }: Header): number =>
      ranks.includes(priority) ? ranks.indexOf(priority) : 2;
    const names = marks.map(({ name }) => name);
    const unread = this.inbox
      .select(
        (file) =>
          marks.some(({ files }) => !files.has(file)) && this.#bystander.mayBeFor(file, names),
      )
      .filter((header) => marks.some((each) => each.lacks(header)));
    return unread.sort((a, b) => rank(a) - rank(b) || inOrder(a, b));
  }

  /**
   * Who is online, and what became of the mail that the owner sent them. `problem`: why the inbox cannot be read, where
   * that is so; who is online is known all the same. Throws Refusal.
   */
  async who(): Promise<ReturnType<typeof fates> & { online: Session[]; problem?: string }> {
    const online = this.online();
    const problem = await this.#look().catch((error: Refusal) => error.message);
    if (problem) return { online, sessions: new Map(), offline: new Map(), problem };
    return { online, ...fates(this.config, this.inbox, this.owner, online) };
  }

  /** One message that the owner sent or got, read or not, from inbox or archive. Throws Refusal. */
  message(file: string): Promise<Message & { isArchived: boolean }> {
    return this.#mayKnow(file, "Nothing shown:");
  }

  /** Who is online. Throws Refusal where the folder does not answer. */
  online(): Session[] {
    return this.#reached(() => this.heartbeats.online());
  }

  #reached<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new Refusal(unreachable(this.config.dir, error));
    }
  }

  async #look(): Promise<void> {
    try {
      checkMounted(this.config.dir);
      await this.inbox.reconcile();
    } catch (error) {
      if (isUnreachable(error)) throw new Refusal(unreachable(this.config.dir, error));
      const reason = `${reasonOf(error)} (${this.config.inbox})`;
      throw new Refusal(
        `The inbox cannot be read: ${reason}. Mend that, then call again: no mail is lost by it.`,
      );
    }
  }

  /**
   * Marks as read: in memory at once, on disk after the answer is out, so that a killed server has not marked
   * what nobody saw. The marks go to each of the owner's names; whoever holds one later has them.
   */
  markRead(headers: readonly Header[]): void {
    for (const marks of this.#own()) marks.mark(headers.map(({ file }) => file));
    setImmediate(() => void this.#saveMarks());
  }

  async #saveMarks(): Promise<void> {
    await Promise.all([...this.#marks.values()].map((marks) => marks.save()));
  }

  async close(): Promise<void> {
    await this.#saveMarks();
    await this.inbox.close();
  }
}
