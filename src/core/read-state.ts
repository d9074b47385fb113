import { join } from "node:path";
import { isTransient, messageOf } from "./errors.ts";
import { CachedFile, tryStat, writeFileAtomic } from "./files.ts";
import type { Header } from "./message.ts";
import { isEveryone, isKnownForm, isSameName, type Name } from "./names.ts";
import type { DataFolder, System } from "./system.ts";
import { isImplausible, isTimestamp, type Timestamp, timestampOf } from "./timestamps.ts";

/** Far more than the lines of a full inbox take. */
const MAX_BYTES = 64 << 20;
const SINCE = "# since ";
const CONVERSATION = "# conversation ";
const WORKED_IN = "# folder ";
const UNREAD = "# unread ";
const PART = /^# part (\d+) of (.+)$/;

/** Facts about a name that its read file keeps beside the marks. */
export interface NameNotes {
  /** When the name first appeared. Earlier messages to everyone are not its mail. */
  readonly since?: Timestamp | undefined;
  /** The conversation that uses the name, or used it last. */
  readonly conversation?: string | undefined;
  /** The folder in which the name was used last. */
  readonly folder?: string | undefined;
}

/** The marks of one name at one moment. */
export interface ReadView {
  readonly name: Name;
  readonly notes: NameNotes;
  hasRead(file: string): boolean;
  /** The conversation that used the name when the message was marked, as far as that is known. */
  readIn(file: string): string | undefined;
  /** All conversations of which there are marks. */
  readers(): Set<string | undefined>;
  /** How many parts of a long message were shown. */
  partsShown(file: string): number;
  /** The messages that were read, whole or in part. */
  files(): Set<string>;
}

/**
 * True if the message is mail for one of a session's names: addressed to it, or to everyone since
 * the name appeared.
 */
export function isAddressee(views: readonly ReadView[], { file, to }: Header): boolean {
  if (!isEveryone(to)) return views.some(({ name }) => isSameName(to, name));
  return views.some(({ notes: { since } }) => since !== undefined && timestampOf(file) > since);
}

/** True if the message is a session's mail, and it has not read it under any of its names. */
export const isUnread = (views: readonly ReadView[], header: Header): boolean =>
  isAddressee(views, header) && !views.some(({ hasRead }) => hasRead(header.file));

interface Contents {
  /** The messages that were read, each with the conversation that has read it. */
  readonly files: ReadonlyMap<string, string | undefined>;
  /** How far long messages were shown: the part that was shown last, by file. */
  readonly parts: ReadonlyMap<string, number>;
  readonly notes: Omit<NameNotes, "since">;
  /** All that were noted, since one from a clock far ahead is followed by another. */
  readonly sinces: readonly Timestamp[];
  /** False if the last line was torn by a kill or a full disk. */
  readonly endsWithLine: boolean;
}

const NOTHING: Contents = {
  files: new Map(),
  parts: new Map(),
  notes: {},
  sinces: [],
  endsWithLine: true,
};

/**
 * Which messages one name has read. `read/NAME` holds one file name a line; lines with `#` are
 * notes. Lines are appended, and only `compact` shortens the file. Both happen under the file's
 * lock, since a line that is appended while the file is being rewritten would be lost.
 */
export class ReadState {
  #path: string;
  #file: CachedFile<Contents>;
  /** True once the file was seen at its path. */
  #isFound = false;
  /** Read according to this process, and not on disk yet; and by which conversation. */
  readonly #unsaved = new Map<string, string | undefined>();
  readonly #unsavedParts = new Map<string, number>();
  /** Marks on disk that no longer count according to this process. */
  readonly #unmarked = new Set<string>();
  /** Used as `since` while the file has none or cannot be read. Never written to the file. */
  defaultSince: Timestamp | undefined;
  /** Why the file could not be read for the last view. */
  problem: string | undefined;
  /** The last contents that could be read. */
  #contents: Contents | undefined;
  /** Resolves when the lock is released that was asked for last. */
  #idle: Promise<void> = Promise.resolve();

  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
    readonly name: Name,
  ) {
    this.#path = join(folder.read, name);
    this.#file = this.#fileAt(this.#path);
  }

  #fileAt(path: string): CachedFile<Contents> {
    return new CachedFile(this.system.files, path, MAX_BYTES, (text = "") => parse(text));
  }

  /** A name that was used in another spelling before has its marks under that one. */
  #findSpelling(): void {
    if (this.#isFound) return;
    this.#isFound = tryStat(this.system.files, this.#path) !== undefined;
    if (this.#isFound) return;
    const known = knownNames(this.folder, this.system).find((each) => isSameName(each, this.name));
    const path = join(this.folder.read, known ?? this.name);
    if (path === this.#path) return;
    this.#path = path;
    this.#file = this.#fileAt(path);
  }

  /** A `since` from a clock far ahead would hide all mail to everyone from the name. */
  #notesOf({ notes, sinces }: Contents): NameNotes {
    const since = sinces.findLast((each) => !isImplausible(each, this.system.clock));
    return since === undefined ? notes : { ...notes, since };
  }

  /** Throws if the file cannot be read just now. */
  #readContents(): Contents {
    this.#findSpelling();
    this.#contents = this.#file.read();
    return this.#contents;
  }

  /** The file's contents; the last ones that could be read, if it cannot be read just now. */
  #known(): Contents {
    try {
      const contents = this.#readContents();
      this.problem = undefined;
      return contents;
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.problem) {
        this.system.log(
          `read/${this.name} cannot be read, so what it marks may be unread: ${problem}`,
        );
      }
      this.problem = problem;
      return this.#contents ?? NOTHING;
    }
  }

  /** Throws if the file cannot be read just now; `view` returns the last known notes then. */
  notes(): NameNotes {
    return this.#notesOf(this.#readContents());
  }

  canBeRead(): boolean {
    this.#known();
    return this.problem === undefined;
  }

  /** The present marks. Costs one `stat` of the file, so use one view for many messages. */
  view(): ReadView {
    const contents = this.#known();
    const { files, parts } = contents;
    const notes = this.#notesOf(contents);
    const counts = (file: string) => !this.#unmarked.has(file);
    return {
      name: this.name,
      notes: { ...notes, since: notes.since ?? this.defaultSince },
      hasRead: (file) => this.#unsaved.has(file) || (counts(file) && files.has(file)),
      readIn: (file) => (this.#unsaved.has(file) ? this.#unsaved : files).get(file),
      readers: () => new Set(files.values()),
      partsShown: (file) =>
        this.#unsavedParts.get(file) ?? ((counts(file) && parts.get(file)) || 0),
      files: () => new Set([...files.keys(), ...parts.keys(), ...this.#unsaved.keys()]),
    };
  }

  /**
   * Counts these messages as read from now on, by this conversation. `save` writes them to the
   * disk.
   */
  markRead(files: Iterable<string>, conversation?: string): void {
    const { hasRead } = this.view();
    for (const file of files) if (!hasRead(file)) this.#unsaved.set(file, conversation);
  }

  markPart(file: string, part: number): void {
    this.#unsavedParts.set(file, part);
  }

  /** The marks on disk of these messages stop counting. `save` writes that to the disk. */
  unmark(files: Iterable<string>): void {
    const { hasRead, partsShown } = this.view();
    for (const file of files) {
      if (hasRead(file) || partsShown(file) > 0) this.#unmarked.add(file);
    }
  }

  /**
   * Appends the new marks, and the notes that differ from those in the file. `since` is written
   * only if the file has none. If the file cannot be written, the next call tries again. Resolves
   * when earlier calls have ended as well: a process that exits before leaves the lock behind.
   */
  save(notes: NameNotes = {}): Promise<void> {
    const changes = [this.#unsaved, this.#unsavedParts, this.#unmarked];
    if (changes.every(({ size }) => size === 0) && !notes.since) return this.#idle;
    return this.#withLock(() => {
      const before = this.#readContents();
      const marked = [...this.#unsaved];
      const parts = [...this.#unsavedParts];
      const unmarked = [...this.#unmarked];
      const lines = [
        ...unmarked.map((file) => UNREAD + file),
        ...noteLines(this.#notesOf(before), notes),
        ...parts.map(partLine),
        ...markLines(marked, notes.conversation ?? before.notes.conversation),
      ];
      const text = toText(lines);
      if (text) this.system.files.append(this.#path, (before.endsWithLine ? "" : "\n") + text);
      this.#contents = parse(text, before); // for as long as the file cannot be read
      for (const [file] of marked) this.#unsaved.delete(file);
      for (const [file] of parts) this.#unsavedParts.delete(file);
      for (const file of unmarked) this.#unmarked.delete(file);
      // The file's mtime records when the name was last in use.
      if (notes.since) this.system.files.touch(this.#path, this.system.clock.now());
    });
  }

  /** Drops the lines about these messages, which have left the inbox. Keeps the file's time. */
  async compact(gone: ReadonlySet<string>): Promise<void> {
    await this.#withLock(() => {
      const { files, parts, notes, sinces } = this.#readContents();
      const kept = [...files].filter(([file]) => !gone.has(file));
      const lines = [
        ...sinces.map((since) => SINCE + since),
        ...[...parts].filter(([file]) => !gone.has(file)).map(partLine),
        ...markLines(inSections(kept, notes.conversation), undefined),
        ...noteLines({}, notes),
      ];
      const lastUsed = tryStat(this.system.files, this.#path)?.mtimeMs ?? this.system.clock.now();
      writeFileAtomic(this.system.files, this.#path, toText(lines));
      this.system.files.touch(this.#path, lastUsed);
    });
  }

  #withLock(work: () => void): Promise<void> {
    this.#idle = this.#runLocked(work);
    return this.#idle;
  }

  async #runLocked(work: () => void): Promise<void> {
    const { log, withLock } = this.system;
    try {
      this.#findSpelling();
      await withLock(this.#path, (isLocked) => isLocked && work());
    } catch (error) {
      log(`read/${this.name} was not written, later calls try again: ${messageOf(error)}`);
    }
  }
}

/** The contents after these lines, which follow on `before`. */
function parse(text: string, before = NOTHING): Contents {
  const lines = text.split("\n");
  const endsWithLine = lines.pop() === "";
  const files = new Map(before.files);
  const parts = new Map(before.parts);
  const sinces = [...before.sinces];
  let { notes } = before;
  // Each line is judged by itself: one that was torn or damaged spoils no other.
  for (const line of lines) {
    const [, part, file] = PART.exec(line) ?? [];
    if (!line.startsWith("#")) files.set(line, notes.conversation);
    else if (part && file) parts.set(file, Number(part));
    else if (line.startsWith(UNREAD)) unmark(line.slice(UNREAD.length));
    else if (line.startsWith(SINCE)) sinces.push(...parseSince(line));
    else notes = { ...notes, ...parseNote(line) };
  }
  return { files, parts, notes, sinces, endsWithLine };

  function unmark(file: string): void {
    files.delete(file);
    parts.delete(file);
  }
}

/** Empty if the line was torn: a shorter timestamp would show the name old mail to everyone. */
function parseSince(line: string): Timestamp[] {
  const since = line.slice(SINCE.length);
  return isTimestamp(since) ? [since] : [];
}

function parseNote(line: string): Contents["notes"] {
  if (line.startsWith(CONVERSATION)) return { conversation: line.slice(CONVERSATION.length) };
  if (line.startsWith(WORKED_IN)) return { folder: line.slice(WORKED_IN.length) };
  return {};
}

const toText = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

const partLine = ([file, part]: readonly [string, number]): string => `# part ${part} of ${file}`;

function noteLines(before: NameNotes, { since, conversation, folder }: NameNotes): string[] {
  const lines: string[] = [];
  if (since && !before.since) lines.push(SINCE + since);
  if (conversation && conversation !== before.conversation) lines.push(CONVERSATION + conversation);
  if (folder && folder !== before.folder && !/[\r\n]/.test(folder)) lines.push(WORKED_IN + folder);
  return lines;
}

type Mark = readonly [file: string, readIn: string | undefined];

/**
 * Lines for these marks, below a note wherever the conversation is another one.
 *
 * @param noted the conversation whose note was the last one
 */
function markLines(marks: readonly Mark[], noted: string | undefined): string[] {
  let last = noted;
  return marks.flatMap(([file, readIn]) => {
    if (readIn === undefined || readIn === last) return [file];
    last = readIn;
    return [CONVERSATION + readIn, file];
  });
}

/** Those of unknown conversations first, and those of the present one last. */
function inSections(marks: readonly Mark[], present: string | undefined): Mark[] {
  const former = new Set([undefined, ...marks.map(([, readIn]) => readIn)]);
  former.delete(present);
  return [...former, present].flatMap((each) => marks.filter(([, readIn]) => readIn === each));
}

/** Every name that was in use within the last 30 days, or has mail waiting. */
export function knownNames({ read }: DataFolder, { files }: System): Name[] {
  try {
    return files.list(read).filter(isKnownForm);
  } catch (error) {
    if (!isTransient(error)) return []; // nobody has been here yet, or the folder is not to be read
    throw error;
  }
}
