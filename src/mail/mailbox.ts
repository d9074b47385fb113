import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import { namesOf, type Session, type Sessions } from "../sessions/heartbeats.ts";
import { isForAll, isName, lengthOf, nameProblem } from "../sessions/names.ts";
import { holderOf } from "../sessions/presence.ts";
import { Inbox } from "./inbox.ts";
import { type Draft, type Header, idOf, inOrder, MAX_BODY, MAX_SUBJECT, type Priority } from "./message.ts";
import { isUnread, knownNames, ReadMarks } from "./read-marks.ts";
import { Refusal } from "./refusal.ts";

/** The same message again is refused for so long: two sessions thanking each other for ever is a real failure. */
const REPEAT_MS = 60_000;
const WEEK_MS = 7 * 24 * 3600 * 1000;

/** Whose mailbox it is: a session of a server, or a person at the command line. */
export interface Owner {
  readonly name: string;
  /** Its name and its earlier names. */
  readonly names: readonly string[];
}

export interface Outgoing {
  readonly to: string;
  readonly subject: string;
  readonly body: string;
  readonly priority: Priority;
  readonly escalate: boolean;
  readonly allowUnknown: boolean;
}

export interface Sent {
  readonly header: Header;
  /** Who is online to get it; for one recipient, none or one. */
  readonly online: readonly Session[];
}

/** Sending and reading, for one owner. The rules for both live here, for tools and commands alike. */
export class Mailbox {
  readonly inbox: Inbox;
  readonly sessions: Sessions;
  readonly owner: Owner;
  readonly #config: Config;
  readonly #marks = new Map<string, ReadMarks>();
  readonly #since: string;
  /** What was sent within REPEAT_MS: recipient, subject and body; with its file, and when (ms). */
  readonly #recent = new Map<string, { file: string; at: number }>();

  /** `since`: what was sent to `all` before is not the owner's mail, where its name is new. */
  constructor(config: Config, sessions: Sessions, owner: Owner, since: string) {
    this.#config = config;
    this.sessions = sessions;
    this.owner = owner;
    this.inbox = new Inbox(config);
    this.#since = since;
  }

  /** Sends one message. Throws Refusal where a rule forbids it or the file cannot be written. */
  async send(message: Outgoing): Promise<Sent> {
    const draft = this.#draft(message);
    const online = await this.#recipients(draft.to, message.allowUnknown);
    const key = JSON.stringify([draft.to, draft.subject, draft.body]);
    this.#refuseRepeat(key);
    const sent = { file: "being written at this moment", at: performance.now() };
    this.#recent.set(key, sent);
    try {
      const header = await this.inbox.deliver(draft);
      sent.file = header.file;
      return { header, online };
    } catch (error) {
      this.#recent.delete(key);
      const reason = `${reasonOf(error)} (${this.#config.inbox})`;
      throw new Refusal(`Not sent, nothing was stored: ${reason}. Mend that, then send again.`);
    }
  }

  #draft({ to, subject, body, priority, escalate }: Outgoing): Draft {
    const { name: from, names } = this.owner;
    const recipient = isForAll(to.toLowerCase()) ? "all" : to.normalize("NFC");
    if (recipient !== "all" && !isName(recipient)) {
      throw new Refusal(`Not sent: ${nameProblem(recipient)} t9_ipc_who lists who is online.`);
    }
    if (/^[ \t\r\n]*$/.test(subject)) {
      throw new Refusal("Not sent: the subject is empty. Say in a few words what it is about.");
    }
    check("subject", subject, MAX_SUBJECT, "Shorten it and put the rest into the body.");
    check("body", body, MAX_BODY, "Send it in parts, or write it to a file and send the path.");
    if (names.includes(recipient)) {
      throw new Refusal(`Not sent: ${recipient} is this session itself. t9_ipc_who lists the others.`);
    }
    const type = escalate ? "escalation" : recipient === "all" ? "broadcast" : "ipc";
    return { from, to: recipient, type, subject, body, priority };
  }

  /** Who is online to get it. Throws Refusal for a recipient nobody has ever seen. */
  async #recipients(to: string, allowUnknown: boolean): Promise<Session[]> {
    const online = this.sessions.online();
    const own = holderOf(this.owner.name, online);
    const others = online.filter((session) => session !== own);
    if (to === "all") return others;
    const holder = others.find((session) => namesOf(session).includes(to));
    if (holder) return [holder];
    if (allowUnknown || (await this.#isKnown(to))) return [];
    throw new Refusal(
      `Not sent: no session named ${to} has been here. ${this.#suggest(to, others)} Names must match exactly. To leave it for a session that is still to come, repeat with allow_unknown: true.`,
    );
  }

  #suggest(to: string, others: readonly Session[]): string {
    const online = others.map((session) => session.name);
    const names = [...new Set([...online, ...this.#recentNames(), ...this.#senders()])];
    const near = names
      .map((name) => ({ name, far: distance(name.toLowerCase(), to.toLowerCase()) }))
      .filter(({ name, far }) => far <= Math.max(2, to.length / 3) || name.includes(to) || to.includes(name))
      .sort((a, b) => a.far - b.far)
      .slice(0, 3);
    const nearest = near.length > 0 ? `Did you mean ${near.map(({ name }) => name).join(", ")}? ` : "";
    return `${nearest}${online.length > 0 ? `Online: ${online.join(", ")}.` : "Nobody else is online."}`;
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

  /** Was a session of this name online within a week, or has it sent or read a message that is still on disk? */
  async #isKnown(name: string): Promise<boolean> {
    if (this.#recentNames().includes(name) || new ReadMarks(this.#config, name).ids.size > 0) return true;
    await this.#look();
    return this.#senders().has(name) || this.inbox.archiveHasSender(name);
  }

  #recentNames(): string[] {
    return [...knownNames(this.#config)].filter(([, at]) => Date.now() - at < WEEK_MS).map(([name]) => name);
  }

  #senders(): Set<string> {
    return new Set([...this.inbox.headers.values()].map((header) => header.from).filter(isName));
  }

  /** What the owner has read, for each of its names. */
  #own(): ReadMarks[] {
    return this.owner.names.map((name) => {
      const marks = this.#marks.get(name) ?? new ReadMarks(this.#config, name);
      this.#marks.set(name, marks);
      marks.since ??= this.#since;
      return marks;
    });
  }

  /** Records that the owner's names are in use, so that mail for them is accepted while they are away. */
  appear(): void {
    for (const marks of this.#own()) marks.appear(this.#since);
  }

  /** Is this message unread for the owner, by what is known now? */
  isUnread(header: Header): boolean {
    return isUnread(header, this.#own());
  }

  /** Takes in what other processes have marked as read. */
  refresh(): void {
    for (const marks of this.#own()) marks.refresh();
  }

  /** Unread messages of the owner, `critical` and `high` first, then in the order of sending. */
  async unread(): Promise<Header[]> {
    await this.#look();
    this.refresh();
    return this.#unreadBy(this.#own());
  }

  async #look(): Promise<void> {
    try {
      await this.inbox.reconcile();
    } catch (error) {
      const reason = `${reasonOf(error)} (${this.#config.inbox})`;
      throw new Refusal(`The inbox cannot be read: ${reason}. Mend that, then call again: no mail is lost by it.`);
    }
  }

  /** The same for somebody else's name. Throws Refusal for what cannot be one. */
  async unreadOf(name: string): Promise<Header[]> {
    const problem = nameProblem(name);
    if (problem) throw new Refusal(`${problem} t9_ipc_who lists who is online.`);
    await this.#look();
    const session = holderOf(name, this.sessions.online());
    const names = session && namesOf(session).includes(name) ? namesOf(session) : [name];
    return this.#unreadBy(names.map((each) => new ReadMarks(this.#config, each)));
  }

  #unreadBy(names: readonly ReadMarks[]): Header[] {
    const rank = ({ priority }: Header): number => (priority === "critical" ? 0 : priority === "high" ? 1 : 2);
    const unread = [...this.inbox.headers.values()].filter((header) => isUnread(header, names));
    return unread.sort((a, b) => rank(a) - rank(b) || inOrder(a, b));
  }

  /**
   * Marks as read: in memory at once, on disk after the answer is out, so that a killed server has not marked
   * what nobody saw. The marks go to each of the owner's names; whoever holds one later has them.
   */
  markRead(headers: readonly Header[], archived: readonly string[]): void {
    const lines = [...headers.map(idOf), ...archived];
    if (lines.length === 0) return;
    for (const marks of this.#own()) marks.mark(lines);
    setImmediate(() => this.#saveMarks());
  }

  #saveMarks(): void {
    for (const marks of this.#marks.values()) marks.save();
  }

  /** Messages that were moved to the archive before the owner read them, and that it was not told of yet. */
  archivedUnread(): string[] {
    const own = this.#own();
    const files = new Set(own.flatMap((marks) => [...marks.archived]));
    return [...files].filter((file) => !own.some((marks) => marks.ids.has(file))).sort();
  }

  async close(): Promise<void> {
    this.#saveMarks();
    await this.inbox.close();
  }
}

/** Throws Refusal for a text that is too long, or that no file can hold as it is. */
function check(what: string, text: string, limit: number, remedy: string): void {
  const length = lengthOf(text);
  if (length > limit) {
    throw new Refusal(`Not sent: the ${what} has ${length} characters, the limit is ${limit}. ${remedy}`);
  }
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new Refusal(`Not sent: the ${what} has a NUL or half a character in it. Take it out and send again.`);
  }
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
