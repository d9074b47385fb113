import fs from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import {
  errorCode,
  makeFolder,
  readOwn,
  reasonOf,
  statOf,
  versionOf,
  withLock,
  writeWhole,
} from "../files.ts";
import { isForAll, isName, type Name } from "../sessions/names.ts";
import { type Stamp, stampIn } from "../stamp.ts";
import { type Header, inFileName, isToOneOf, mayBeTo, mayBeToAll } from "./message.ts";

/** Names that came less than this ago may not be known yet: their mail is read then, as that of nobody we know. */
const LOOK_AGAIN_MS = 2000;

/** Far more than the marks of a full inbox take. */
const MAX_BYTES = 64 << 20;

/**
 * What one name has read: the file `read/NAME`, one message's file name a line, and `# since STAMP`, when the name
 * appeared: what was sent to `all` before is not its mail. Lines are appended; only the sweep shortens the file.
 * Both happen under the lock of the file, since an append between a sweep's reading and writing would be lost.
 */
export class ReadMarks {
  files: Set<string> = new Set();
  since: Stamp | undefined;
  readonly #path: string;
  /** The file as it was last read or written: its version, whether `since` is in it, whether its last line is torn. */
  #version = "";
  #hasSince = false;
  #isTorn = false;
  readonly #unsaved = new Set<string>();
  #saving = Promise.resolve();

  constructor(
    private readonly config: Config,
    readonly name: Name,
  ) {
    this.#path = join(config.read, name);
    this.refresh();
  }

  /** Takes in what other processes have written. A file that is gone forgets nothing. */
  refresh(): void {
    const version = versionOf(this.#path);
    if (version === this.#version) return;
    this.#version = version;
    this.#hasSince = false;
    try {
      const lines = readOwn(this.#path, MAX_BYTES).text.split("\n");
      this.#isTorn = lines.pop() !== "";
      this.files = new Set([...lines.filter((line) => !line.startsWith("#")), ...this.#unsaved]);
      const since = lines.find((line) => line.startsWith("# since "))?.slice("# since ".length);
      this.#hasSince = since !== undefined;
      this.since ??= since as Stamp | undefined;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return;
      this.config.log(
        `read/${this.name} cannot be read: ${reasonOf(error)}; what it marks is unread`,
      );
    }
  }

  /** Counts these messages as read from now on; they are on disk with the next `save`. */
  mark(files: Iterable<string>): void {
    for (const file of files) {
      if (this.files.has(file)) continue;
      this.files.add(file);
      this.#unsaved.add(file);
    }
  }

  /**
   * Appends what was marked. `isOnline`: also notes that the name is in use (the file's time), and from when its mail
   * counts. Where the disk, the rights or the lock do not allow it, the next call tries again.
   */
  save(isOnline = false): Promise<void> {
    this.#saving = this.#saving.then(() => {
      if (this.#unsaved.size > 0 || isOnline) return this.#underLock(() => this.#append(isOnline));
    });
    return this.#saving;
  }

  #append(isOnline: boolean): void {
    this.refresh();
    const since = this.#hasSince || !this.since ? [] : [`# since ${this.since}`];
    const lines = [...since, ...this.#unsaved];
    // A line torn by a kill must not swallow ours.
    const text = (this.#isTorn ? "\n" : "") + lines.map((line) => `${line}\n`).join("");
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const fd = fs.openSync(
      this.#path,
      O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
      0o600,
    );
    try {
      if (!fs.fstatSync(fd).isFile()) throw new Error("it is not a regular file");
      if (text) fs.writeSync(fd, text);
      if (isOnline) fs.futimesSync(fd, new Date(), new Date());
    } finally {
      fs.closeSync(fd);
    }
    this.#written();
  }

  /** Drops these marks from memory and from the file, whose time stays: it tells when the name was last online. */
  drop(gone: ReadonlySet<string>): Promise<void> {
    return this.#underLock(() => {
      this.refresh();
      for (const file of gone) this.files.delete(file);
      const seen = statOf(this.#path)?.mtime ?? new Date();
      const since = this.since ? [`# since ${this.since}`] : [];
      writeWhole(this.#path, [...since, ...this.files].map((line) => `${line}\n`).join(""));
      fs.utimesSync(this.#path, seen, seen);
      this.#written();
    });
  }

  #written(): void {
    this.#unsaved.clear();
    this.#isTorn = false;
    this.#hasSince = this.since !== undefined;
    this.#version = versionOf(this.#path);
  }

  async #underLock(work: () => void): Promise<void> {
    const { read, log } = this.config;
    try {
      makeFolder(read);
      await withLock(this.#path, log, (locked) => locked && work());
    } catch (error) {
      const lost = "until it is, what was read is unread after a restart";
      log(`read/${this.name} not written: ${reasonOf(error)}; ${lost}`);
    }
  }

  /** Is that message addressed to this name, or to all since it appeared? */
  covers({ file, to }: Header): boolean {
    return (
      to === this.name || (isForAll(to) && this.since !== undefined && stampIn(file) > this.since)
    );
  }

  /** ... and this name has not read it? */
  lacks(header: Header): boolean {
    return this.covers(header) && !this.files.has(header.file);
  }
}

/** Every name that has been online here within the last 30 days, or has mail waiting. */
export function knownNames({ read }: Config): Name[] {
  try {
    return fs.readdirSync(read).filter(isName);
  } catch {
    return []; // not there yet, or not to be read: whoever needs the marks themselves says so
  }
}

/** Tells others' mail by the names of its files, so that it need not be read. Asked at each message of a busy folder. */
export class Bystander {
  #version = "";
  #lookedAt = -LOOK_AGAIN_MS;
  #known: ReadonlySet<string> = new Set();
  /** The names that were asked for last, and the question whether a file is theirs. */
  #names = "";
  #isTheirs = mayBeTo([]);

  constructor(private readonly config: Config) {}

  /** Does the file's name tell one of these names, or all, as its recipient? */
  isFor(file: string, names: readonly string[]): boolean {
    if (names.join() !== this.#names)
      [this.#names, this.#isTheirs] = [names.join(), mayBeTo(names)];
    return mayBeToAll(file) || this.#isTheirs(file);
  }

  /**
   * Could this be mail for one of these names? No, where its name tells somebody else whom we know. A recipient that
   * nobody knows may have been written by hand: then the header decides.
   */
  mayBeFor(file: string, names: readonly string[]): boolean {
    if (this.isFor(file, names)) return true;
    if (performance.now() - this.#lookedAt > LOOK_AGAIN_MS) this.#look();
    return !isToOneOf(file, this.#known);
  }

  #look(): void {
    this.#lookedAt = performance.now();
    try {
      const version = versionOf(this.config.read);
      if (version !== this.#version) this.#known = new Set(knownNames(this.config).map(inFileName));
      this.#version = version;
    } catch {
      // Where the folder cannot be seen, more is read than need be.
    }
  }
}
