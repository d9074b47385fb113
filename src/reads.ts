import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { errorCode, makeFolder } from "./files.ts";
import { isForAll, isName } from "./names.ts";

/**
 * What one name has read: the file `read/NAME`, append only, one message id (its file name) a line. Two kinds of
 * lines beside: `# since STAMP`, first, when the name appeared (what was sent to `all` before is not its mail),
 * and `# archived FILE`, a message that left the inbox before NAME read it.
 */
export class ReadMarks {
  readonly ids = new Set<string>();
  readonly archived = new Set<string>();
  since: string | undefined;
  #offset = 0;
  #rest = "";
  #unsaved: string[] = [];
  readonly #path: string;

  constructor(config: Config, name: string) {
    this.#path = join(config.read, name);
    this.refresh();
  }

  /** Reads what was appended since the last time, by whichever process. A file that is gone forgets nothing. */
  refresh(): void {
    let fd: number;
    try {
      fd = openSync(this.#path, "r");
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      this.#offset = 0;
      this.#rest = "";
      return;
    }
    try {
      const size = fstatSync(fd).size;
      if (size < this.#offset) this.#offset = 0;
      const bytes = Buffer.alloc(size - this.#offset);
      const length = readSync(fd, bytes, 0, bytes.length, this.#offset);
      this.#offset += length;
      const lines = (this.#rest + bytes.toString("utf8", 0, length)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line);
    } finally {
      closeSync(fd);
    }
  }

  #take(line: string): void {
    const [, kind, value] = /^# (since|archived) (.+)$/.exec(line) ?? [];
    if (kind === "since") this.since ??= value;
    else if (kind === "archived" && value) this.archived.add(value);
    else this.ids.add(line);
  }

  /** Counts these as read (or as said) from now on; on disk with the next `save`. */
  mark(lines: readonly string[]): void {
    for (const line of lines) {
      if (this.ids.has(line)) continue;
      this.#take(line);
      this.#unsaved.push(line);
    }
  }

  markArchived(file: string): void {
    this.mark([`# archived ${file}`]);
  }

  /** Appends what was marked. Throws where the disk or the rights do not allow it; the next `save` tries again. */
  save(): void {
    if (this.#unsaved.length === 0) return;
    this.refresh();
    const text = this.#unsaved.map((line) => `${line}\n`).join("");
    // A line torn by a kill must not swallow ours.
    this.#append(this.#rest ? `\n${text}` : text);
    this.#unsaved = [];
  }

  #append(text: string): void {
    makeFolder(join(this.#path, ".."));
    const head = this.#offset === 0 ? `# since ${this.since ?? ""}\n` : "";
    appendFileSync(this.#path, head + text, { mode: 0o600 });
    this.refresh();
  }

  /** Notes that the name is online now (the file's time), and from when its mail counts where it is new. */
  appear(since: string): void {
    this.since ??= since;
    if (!existsSync(this.#path)) {
      this.#offset = 0;
      this.#append("");
    }
    const now = new Date();
    utimesSync(this.#path, now, now);
  }

  /** Is a message to `to`, at this place in the order, for a session of this name? */
  covers(name: string, to: string, at: string): boolean {
    return to === name || (isForAll(to) && at > (this.since ?? ""));
  }
}

/** Every name that has ever been online here, with the time (ms) it was last. */
export function knownNames(config: Config): Map<string, number> {
  const names = new Map<string, number>();
  let files: string[] = [];
  try {
    files = readdirSync(config.read);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  for (const file of files.filter(isName)) {
    const stats = statSync(join(config.read, file), { throwIfNoEntry: false });
    if (stats?.isFile()) names.set(file, stats.mtimeMs);
  }
  return names;
}
