import { appendFileSync, existsSync, readdirSync, readFileSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Config } from "./config.ts";
import { makeFolder, statOf } from "./files.ts";
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
  readonly #path: string;
  #size = -1;
  #torn = false;
  #sinceSaved = false;
  #unsaved: string[] = [];

  constructor(config: Config, name: string) {
    this.#path = join(config.read, name);
    this.refresh();
  }

  /** Takes in what was appended, by whichever process. A file that is gone forgets nothing. */
  refresh(): void {
    const stats = statOf(this.#path);
    if (!stats?.isFile() || stats.size === this.#size) return;
    const text = readFileSync(this.#path, "utf8");
    this.#size = stats.size;
    this.#torn = text !== "" && !text.endsWith("\n");
    for (const line of text.split("\n").slice(0, -1)) this.#take(line);
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

  /** Appends what was marked. Throws where the disk or the rights do not allow it; the next `save` tries again. */
  save(): void {
    if (this.#unsaved.length > 0) this.#append();
  }

  #append(): void {
    makeFolder(dirname(this.#path));
    const stats = statOf(this.#path);
    if (stats && !stats.isFile()) throw new Error("it is not a regular file");
    const isNew = !stats;
    const since = this.since !== undefined && (isNew || !this.#sinceSaved) ? [`# since ${this.since}`] : [];
    // A line torn by a kill must not swallow ours.
    const torn = this.#torn && !isNew ? "\n" : "";
    const text = torn + [...since, ...this.#unsaved].map((line) => `${line}\n`).join("");
    appendFileSync(this.#path, text, { mode: 0o600 });
    // Where nobody else has written, there is nothing to read again.
    this.#size = (isNew ? 0 : this.#size) + Buffer.byteLength(text);
    this.#torn = false;
    this.#sinceSaved = this.since !== undefined;
    this.#unsaved = [];
  }

  /** Notes that the name is online now (the file's time), and from when its mail counts where it is new. */
  appear(since: string): void {
    this.since ??= since;
    if (!this.#sinceSaved || !existsSync(this.#path)) this.#append();
    const now = new Date();
    utimesSync(this.#path, now, now);
  }

  /** Has the name neither read nor missed anything? */
  isBlank(): boolean {
    return this.ids.size + this.archived.size === 0;
  }

  /** Is a message to `to`, at this place in the order, for a session of this name? */
  covers(name: string, to: string, at: string): boolean {
    return to === name || (isForAll(to) && this.since !== undefined && at > this.since);
  }
}

/** Every name that has been online here, with the time (ms) it was last. */
export function knownNames(config: Config): Map<string, number> {
  const names = new Map<string, number>();
  const files = existsSync(config.read) ? readdirSync(config.read) : [];
  for (const file of files.filter(isName)) {
    const stats = statOf(join(config.read, file));
    if (stats?.isFile()) names.set(file, stats.mtimeMs);
  }
  return names;
}
