// What can be said of a history from outside, by the files on the disk and by what was shown.

import { basename, dirname, join } from "node:path/posix";
import type { UnreadMail } from "../../src/core/mailbox.ts";
import type { Header } from "../../src/core/message.ts";
import { isEveryone, nameKey } from "../../src/core/names.ts";
import { isImplausible, type Timestamp, timestampOf } from "../../src/core/timestamps.ts";
import { FOLDER } from "../support/fake-system.ts";
import type { Server } from "./server.ts";
import type { Entry, World } from "./world.ts";

const DAY_MS = 24 * 3_600_000;
const LISTS = [FOLDER.heartbeats, FOLDER.conversations];
const RANKS = ["critical", "high", "normal", "low"];

interface NameRecord {
  readonly name: string;
  readonly names?: readonly string[];
  readonly by: string;
}

export const headerValue = (text: string, key: string): string =>
  new RegExp(`^${key}: (.*)$`, "m").exec(text)?.[1] ?? "";
const isJson = (text: string): boolean => {
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
};

/** Checks what the servers do to the files, and what they say, against what is on the disk. */
export class Truth {
  /** All messages that were ever in the inbox, in the order in which they came. */
  #stored: string[] = [];
  /** CONVERSATION/NAME: all names that conversations ever had. */
  readonly #owned = new Set<string>();

  constructor(private readonly world: World) {}

  /** The clock has jumped so far that what was sent before has no place in the order any more. */
  startAnew(): void {
    this.#stored = [];
  }

  /** A server is about to write to a file, or to rename one to this path. */
  onWrite(path: string, lockedPath: string | undefined, from = path): void {
    const { world } = this;
    const guarded = [path, from].find(
      (each) => LISTS.includes(each) || (dirname(each) === FOLDER.read && !each.includes(".tmp-")),
    );
    if (guarded !== undefined && guarded !== lockedPath) {
      world.fail(`${guarded} was written without its lock`);
    }
    const list = LISTS.find((each) => each === from || each === path);
    if (list === undefined || from === path) return;
    const isTorn = !isJson(world.disk.text(list) ?? "{}");
    const isUsable = !isTorn && !world.denied.has(list);
    if (list === from && isUsable) world.fail(`${list} was moved aside, and nothing is wrong`);
    if (list === path && isTorn) world.fail(`${list} was overwritten and not moved aside`);
  }

  /** The names of each conversation. Empty if the text was torn. */
  records(): Record<string, NameRecord> {
    const text = this.world.disk.text(FOLDER.conversations) ?? "{}";
    return isJson(text) ? JSON.parse(text) : {};
  }

  /** A server has written the names of conversations. */
  onRecords(): void {
    for (const [conversation, { name, names = [] }] of Object.entries(this.records())) {
      for (const each of [name, ...names]) this.#owned.add(`${conversation}/${each}`);
    }
  }

  /** True if the conversation had this name once. */
  hadName = (conversation: string, name: string): boolean =>
    this.#owned.has(`${conversation}/${name}`);

  /** A message has come into the inbox. Those stored without the lock may be out of order. */
  onStored(server: Server, file: string, isLocked: boolean): void {
    const { world } = this;
    const later = this.#stored.filter((each) => each > file);
    const isAfterAll = later.every((each) => isImplausible(timestampOf(each), server.clock));
    if (isLocked && !isAfterAll) world.fail(`${file} was placed before ${later}`);
    this.#stored.push(file);
    const text = world.disk.text(join(FOLDER.inbox, file)) ?? "";
    if (!isEveryone(headerValue(text, "to"))) return;
    for (const other of world.live()) {
      const isListed = world.entries().some(([, { pid }]) => pid === other.pid);
      const { state, since } = other.presence;
      const isSince = since !== undefined && !isImplausible(since, other.clock);
      // It may have noted since when mail counts in the same millisecond.
      const isSure = isSince && since !== timestampOf(file) && since !== other.sinceOfOtherTime;
      if (state === "active" && isListed && isSure && !this.#isFor(other, file, text)) {
        world.fail(`${file} is not for ${other.pid} (${other.presence.names}), which is online`);
      }
    }
  }

  /** A message is about to leave the inbox for the archive. */
  onArchived(server: Server, file: string): void {
    const { world } = this;
    const path = join(FOLDER.inbox, file);
    const text = world.disk.text(path) ?? "";
    const to = headerValue(text, "to");
    const age = server.clock.now() - (world.disk.stat(path)?.mtimeMs ?? 0);
    const marks = world.marks();
    const addressees = [...marks.keys()].filter((name) =>
      isEveryone(to)
        ? timestampOf(file) > (this.sinceOf(name, server) ?? "9")
        : nameKey(name) === nameKey(to),
    );
    const isRead = addressees.length > 0 && addressees.every((name) => marks.get(name)?.has(file));
    const limit = isRead ? 1 : isEveryone(to) ? 7 : 30;
    if (age < limit * DAY_MS) world.fail(`${file} was archived, and ${addressees} may read it yet`);
  }

  /** The last `since` of a name that counts by a server's clock. */
  sinceOf(name: string, { clock }: Server): Timestamp | undefined {
    const text = this.world.disk.text(join(FOLDER.read, name)) ?? "";
    const all = [...text.matchAll(/^# since (\d{8}T\d{12})$/gm)].map(([, at]) => at as Timestamp);
    return all.filter((at) => !isImplausible(at, clock)).at(-1);
  }

  /** The conversation that is noted as the last one to use a name. */
  lastUserOf(name: string): string | undefined {
    return this.#usersOf(name).at(-1);
  }

  /** The conversation that has made a mark; undefined if there is none, or none is noted. */
  readIn(name: string, file: string): string | undefined {
    const lines = (this.world.disk.text(join(FOLDER.read, name)) ?? "").split("\n");
    const above = lines.slice(0, Math.max(0, lines.lastIndexOf(file)));
    return above.findLast((line) => line.startsWith("# conversation "))?.slice(15);
  }

  #usersOf(name: string): string[] {
    const text = this.world.disk.text(join(FOLDER.read, name)) ?? "";
    return [...text.matchAll(/^# conversation (.+)$/gm)].map(([, user = ""]) => user);
  }

  /** True if the message is mail for one of the server's names. */
  #isFor(server: Server, file: string, text: string): boolean {
    const { names, since } = server.presence;
    const to = headerValue(text, "to");
    if (!isEveryone(to)) return names.some((name) => nameKey(name) === nameKey(to));
    return names.some((name) => timestampOf(file) > (this.sinceOf(name, server) ?? since ?? "9"));
  }

  /**
   * Each message that is not marked is unread mail of its addressees, and of nobody else.
   *
   * @param hasFailed true if marks may not have been readable
   */
  checkUnread(server: Server, { headers, unreadable }: UnreadMail, hasFailed: boolean): void {
    const { world } = this;
    const { names } = server.presence;
    const marks = world.marks();
    const shown = new Set(headers.map(({ file }) => file));
    const isDenied = names.some((name) => world.denied.has(join(FOLDER.read, name)));
    const areReadable = !hasFailed && !isDenied;
    const listed = new Set([...shown, ...unreadable.map(({ file }) => file)]);
    for (const [file, text] of world.messages(FOLDER.inbox)) {
      if (world.denied.has(join(FOLDER.inbox, file))) continue;
      const isMine = this.#isFor(server, file, text);
      const isMarked = names.some(
        (name) => marks.get(name)?.has(file) && !server.disregards(name, file),
      );
      const sentIn = server.toldEveryone.get(file);
      const isOwn = sentIn !== undefined && sentIn === server.presence.conversation;
      const isRead = isMarked || sentIn !== undefined || server.hasMarked(file);
      const isSure = areReadable || !isEveryone(headerValue(text, "to"));
      if (isMine && !isRead && isSure && !listed.has(file)) {
        world.fail(`${file} is hidden from ${server.pid} (${names})`);
      }
      const isOthers = !isMine && !isEveryone(headerValue(text, "to"));
      const isToAll = isEveryone(headerValue(text, "to"));
      const isRepeated = isMarked && !(isToAll && this.#haveChangedHands(server));
      if (shown.has(file) && ((isRepeated && areReadable) || isOthers)) {
        world.fail(`${file} is shown to ${server.pid} (${names})`);
      }
      if (shown.has(file) && isOwn && names.includes(headerValue(text, "from") as never)) {
        world.fail(`${server.pid} gets its own ${file}`);
      }
    }
    this.#checkShown(server, headers);
  }

  /** True if another conversation has used one of the server's names: marks may be taken for its. */
  #haveChangedHands({ presence: { names, conversation } }: Server): boolean {
    const users = names.flatMap((name) => this.#usersOf(name));
    return users.some((user) => user !== conversation);
  }

  #checkShown(server: Server, headers: readonly Header[]): void {
    const { world } = this;
    const rank = ({ priority }: Header) => RANKS.indexOf(priority);
    for (const [index, header] of headers.entries()) {
      const { file } = header;
      const mayRepeat = isEveryone(header.to) && this.#haveChangedHands(server);
      if (server.hasMarked(file) && !mayRepeat) {
        world.fail(`${file} is shown to ${server.pid} again`);
      }
      const next = headers[index + 1];
      const isInOrder =
        !next || rank(header) < rank(next) || (rank(header) === rank(next) && file < next.file);
      if (!isInOrder) world.fail(`${file} is shown before ${next.file}`);
    }
  }

  /** False if a server may have been unable to look at the list. */
  get isListReadable(): boolean {
    const { disk, denied } = this.world;
    const text = disk.text(FOLDER.heartbeats);
    return !denied.has(FOLDER.heartbeats) && (text === undefined || isJson(text));
  }

  /** What `who` lists, and what it says was read, is so. */
  checkWho(server: Server, entries: readonly [string, Entry][], failures: number): void {
    const { world } = this;
    const online = server.mailbox.directory.online();
    if (server.isDead) return;
    if (this.isListReadable) {
      const listed = entries.map(([name]) => name).sort();
      const said = online.map(({ name }) => name).sort();
      if (String(listed) !== String(said)) world.fail(`who lists ${said}, and not ${listed}`);
    }
    const { sessions } = server.mailbox.deliveryStatus(online);
    const marks = world.marks();
    for (const { name, entry } of online) {
      const names = [name, ...(entry.names ?? [])];
      const isOwn = names.some((each) => server.presence.names.includes(each as never));
      // The original keeps no marks, and those of its name are others'.
      if (isOwn || world.originals.has(entry.pid)) continue;
      const { sent = [], unread = [] } = sessions.get(name) ?? {};
      for (const header of sent) {
        const wasShown = names.some((each) => world.wasShown(header.file, each));
        const isUnread = unread.includes(header);
        if (!isUnread && !wasShown) world.fail(`who said that ${name} has read ${header.file}`);
        const isMarked = names.some((each) => marks.get(each)?.has(header.file));
        const isSure = server.failures === failures && world.denied.size === 0;
        if (isUnread && isMarked && isSure) {
          world.fail(`who said that ${name} has not read ${header.file}`);
        }
      }
    }
  }

  /** Whoever was on the list when a send began is said to be online, and nobody else. */
  checkSent(before: ListBefore, to: string, online: readonly { name: string }[]): void {
    const { isReadable, name: own, entries } = before;
    if (!isReadable) return;
    const others = entries.filter(([name]) => name !== own);
    const isSame = (name: string) => nameKey(name) === nameKey(to);
    const holder =
      others.find(([name]) => isSame(name)) ??
      others.find(([, { names = [] }]) => names.some(isSame));
    const expected = isEveryone(to) ? others : holder ? [holder] : [];
    const listed = expected.map(([name]) => name).sort();
    const said = online.map(({ name }) => name).sort();
    if (String(listed) !== String(said)) {
      this.world.fail(`send to ${to} said that [${said}] is online, and it is [${listed}]`);
    }
  }

  /** The list as it is when a server begins to send. */
  listFor({ presence }: Server): ListBefore {
    return { name: presence.name, entries: this.world.entries(), isReadable: this.isListReadable };
  }
}

interface ListBefore {
  /** The server's name. */
  readonly name: string;
  readonly entries: readonly [string, Entry][];
  readonly isReadable: boolean;
}

export const isMessagePath = (path: string, folder: string): boolean =>
  dirname(path) === folder && /^\d{8}T\d{12}-.*\.md$/.test(basename(path));
