import { appendFileSync, existsSync, readdirSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { makeFolder, reasonOf, statOf } from "../files.ts";
import { isForAll, isName } from "../sessions/names.ts";
import { type Header, idOf } from "./message.ts";

/**
 * What one name has read: the file `read/NAME`, append only, one message id (its file name) a line. Two kinds of
 * lines beside: `# since STAMP`, when the name appeared (what was sent to `all` before is not its mail), and
 * `# archived FILE`, a message that left the inbox before NAME read it.
 */
export class ReadMarks {
  readonly name: string;
  readonly ids = new Set<string>();
  readonly archived = new Set<string>();
  since: string | undefined;
  readonly #config: Config;
  readonly #path: string;
  /** Of the file as it was last read or written: its size, the stamp in it, and whether its last line has no end. */
  #size = 0;
  #sinceSaved = false;
  #torn = false;
  #unsaved: string[] = [];

  constructor(config: Config, name: string) {
    this.name = name;
    this.#config = config;
    this.#path = join(config.read, name);
    this.refresh();
  }

  /** Takes in what was appended, by whichever process. A file that is gone forgets nothing. */
  refresh(): void {
    const stats = statOf(this.#path);
    const size = stats?.isFile() ? stats.size : 0;
    if (size === this.#size) return;
    this.#size = size;
    let text = "";
    try {
      if (size > 0) text = readFileSync(this.#path, "utf8");
    } catch (error) {
      this.#config.log(`read/${this.name} cannot be read: ${reasonOf(error)}; what it marks is unread`);
    }
    const lines = text.split("\n");
    this.#sinceSaved = false;
    this.#torn = lines.pop() !== "";
    for (const line of lines) this.#take(line);
  }

  #take(line: string): void {
    const [, kind, value] = /^# (since|archived) (.+)$/.exec(line) ?? [];
    if (kind === "since") {
      this.#sinceSaved = true;
      this.since ??= value;
    } else if (value) this.archived.add(value);
    else this.ids.add(line);
  }

  /** Counts these lines as written from now on; on disk with the next `save`. */
  mark(lines: readonly string[]): void {
    for (const line of lines.filter((each) => !this.ids.has(each))) {
      this.#take(line);
      this.#unsaved.push(line);
    }
  }

  /** Appends what was marked; where the disk or the rights do not allow it, says so, and the next call tries again. */
  save(): void {
    if (this.#unsaved.length > 0) this.#append();
  }

  /** Notes that the name is online now (the file's time), and from when its mail counts where it is new. */
  appear(since: string): void {
    this.since ??= since;
    this.#append();
  }

  #append(): void {
    try {
      makeFolder(this.#config.read);
      if (statOf(this.#path)?.isFile() === false) throw new Error("it is not a regular file");
      this.refresh();
      const since = this.#sinceSaved || this.since === undefined ? [] : [`# since ${this.since}`];
      // A line torn by a kill must not swallow ours.
      const text = (this.#torn ? "\n" : "") + [...since, ...this.#unsaved].map((line) => `${line}\n`).join("");
      appendFileSync(this.#path, text, { mode: 0o600 });
      // Where nobody else writes, there is nothing to read again.
      this.#size += Buffer.byteLength(text);
      this.#sinceSaved = this.since !== undefined;
      this.#torn = false;
      this.#unsaved = [];
      const now = new Date();
      utimesSync(this.#path, now, now);
    } catch (error) {
      const lost = "until it is, what was read is unread after a restart";
      this.#config.log(`read/${this.name} not written: ${reasonOf(error)}; ${lost}`);
    }
  }

  /** Is that message addressed to this name, or to all since it appeared? */
  covers({ to, came }: Header): boolean {
    return to === this.name || (isForAll(to) && this.since !== undefined && came > this.since);
  }
}

/** Is that message for a session with these names, and not from it? */
export function isMailFor(header: Header, names: readonly ReadMarks[]): boolean {
  return names.some((marks) => marks.covers(header)) && !names.some(({ name }) => name === header.from);
}

/** ... and none of its names has read it. */
export function isUnread(header: Header, names: readonly ReadMarks[]): boolean {
  return isMailFor(header, names) && !names.some(({ ids }) => ids.has(idOf(header)));
}

/** Every name that has been online here, with the time (ms) it was last. */
export function knownNames({ read }: Config): Map<string, number> {
  const names = new Map<string, number>();
  const files = existsSync(read) ? readdirSync(read) : [];
  for (const file of files.filter(isName)) {
    const stats = statOf(join(read, file));
    if (stats?.isFile()) names.set(file, stats.mtimeMs);
  }
  return names;
}
