import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readdirSync, renameSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { errorCode, makeFolder, readOwn, reasonOf, statOf, withLock, writeWhole } from "../files.ts";
import { isAhead, isMessageName, isOurName, localTime, stamp, takeStamps } from "../stamp.ts";
import { type Cache, openCache } from "./cache.ts";
import { type Draft, fileName, formatMessage, type Header, MAX_FILE_BYTES, parseMessage, plain } from "./message.ts";

/** A file with a hand-given name may still be being written while it is younger than this. */
const YOUNG_MS = 50;
/** So long after its last change a file may become a message yet (an editor saving; FAT keeps time to 2 s). */
const GIVE_UP_MS = 2500;
/** Work on many files lets other work through after so long. */
const SLICE_MS = 4;

/** The inbox folder as this process knows it: a header for each message. The files are the truth. */
export class Inbox {
  /** Every readable message in the folder, by file name. */
  readonly headers = new Map<string, Header>();
  /** Called once for each message that appears, in no particular order. */
  onMessage: (header: Header) => void = () => {};

  readonly #config: Config;
  /** null: it cannot be opened. */
  #cache: Cache | null | undefined;
  /** What the cache does not know yet: new headers, and undefined for files that are gone. */
  readonly #unsaved = new Map<string, Header | undefined>();
  /** Files that are no messages, with their change time (ms): looked at again when it differs. */
  readonly #bad = new Map<string, number>();
  /** Files to look at again in a moment. */
  readonly #soon = new Set<string>();
  #newest = "";
  /** The folder's change time (ms) that the last listing holds for. */
  #listedFor: number | undefined;
  #reconciling: Promise<void> | undefined;
  /** Messages to be stored: each is given its stamp. */
  #queue: ((at: string) => void)[] = [];
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(config: Config) {
    this.#config = config;
  }

  /** Looks at one file; does nothing for a file already known. Safe to call for any name at any time. */
  note(file: string): void {
    const known = this.headers.get(file);
    if ((known && known.mtime === undefined) || !isMessageName(file) || this.#closed) return;
    const path = join(this.#config.inbox, file);
    const bad = this.#bad.get(file);
    try {
      if (known || bad !== undefined) {
        const stats = lstatSync(path);
        if (known ? Math.floor(stats.mtimeMs) === known.mtime : stats.ctimeMs === bad) return;
        this.#forget(file);
      }
      const { header } = read(path, file);
      if (isWithin(YOUNG_MS, header.mtime ?? 0)) this.#lookAgain(file);
      else this.#accept(header);
    } catch (error) {
      const changed = changeTime(path);
      if (changed === undefined) this.#forget(file);
      else if (isWithin(GIVE_UP_MS, changed)) this.#lookAgain(file);
      else {
        this.#bad.set(file, changed);
        this.#config.log(`inbox/${file} is not a message and stays where it is: ${reasonOf(error)}`);
      }
    }
  }

  #lookAgain(file: string): void {
    if (this.#soon.has(file)) return;
    this.#soon.add(file);
    setTimeout(() => {
      this.#soon.delete(file);
      this.note(file);
    }, YOUNG_MS);
  }

  /** The text of a message. Throws where the file is gone or unreadable by now. */
  body({ file }: Header): string {
    return read(join(this.#config.inbox, file), file).body;
  }

  #accept(header: Header, isSaved = false): void {
    this.headers.set(header.file, header);
    if (!isSaved) this.#unsaved.set(header.file, header);
    if (header.at > this.#newest && !isAhead(header.at)) this.#newest = header.at;
    this.onMessage(header);
  }

  #forget(file: string): void {
    if (this.headers.delete(file)) this.#unsaved.set(file, undefined);
    this.#bad.delete(file);
  }

  /** Makes `headers` equal to the folder as it is after the call. Rejects where it cannot be read. */
  async reconcile(): Promise<void> {
    await this.#reconciling;
    this.#reconciling ??= this.#reconcile().finally(() => {
      this.#reconciling = undefined;
    });
    await this.#reconciling;
    // A hand-written file may be a moment too young; give it that moment.
    if (this.#soon.size > 0) await sleep(2 * YOUNG_MS);
  }

  async #reconcile(): Promise<void> {
    const { inbox, poll } = this.#config;
    const changed = statOf(inbox)?.mtimeMs;
    if (changed !== undefined && changed === this.#listedFor && !poll) {
      // Nothing came, nothing went; but a file with a hand-given name may have been written anew in its place.
      const others = [...this.headers.values()].filter(({ mtime }) => mtime !== undefined).map(({ file }) => file);
      for (const file of [...others, ...this.#bad.keys()]) this.note(file);
      return;
    }
    // A time that has just passed may be that of the next change as well.
    const holds = changed !== undefined && !isWithin(YOUNG_MS, changed);
    const present = new Set(await this.#list());
    this.#listedFor = holds ? changed : undefined;
    for (const known of [this.headers, this.#bad]) {
      for (const file of known.keys()) {
        // What came during the listing is not in it, and not gone.
        if (!present.has(file) && changeTime(join(inbox, file)) === undefined) this.#forget(file);
      }
    }
    this.#openCache(present);
    let sliceEnd = performance.now() + SLICE_MS;
    for (const file of present) {
      this.note(file);
      if (performance.now() < sliceEnd) continue;
      await sleep();
      sliceEnd = performance.now() + SLICE_MS;
    }
  }

  /** Message names in the folder, which is made where it is missing. */
  async #list(): Promise<string[]> {
    try {
      return (await readdir(this.#config.inbox)).filter(isMessageName);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      makeFolder(this.#config.inbox);
      return [];
    }
  }

  /** Opens the cache the first time, or where it was deleted since, and takes over what it knows. */
  #openCache(present: ReadonlySet<string>): void {
    const { db, log } = this.#config;
    if (this.#cache === null || (this.#cache && existsSync(db))) return;
    this.#cache?.close();
    this.#cache = openCache(db, log) ?? null;
    for (const [file, header] of this.headers) this.#unsaved.set(file, header);
    for (const header of this.#cache?.load() ?? []) {
      if (!present.has(header.file)) this.#unsaved.set(header.file, undefined);
      else if (!this.headers.has(header.file)) this.#accept(header, true);
    }
  }

  /** Writes to the cache what has changed since. Called now and then, never on a tool's path. */
  saveCache(): void {
    const result = this.#unsaved.size > 0 && this.#cache?.save(this.#unsaved);
    if (result === "gone") {
      this.#cache?.close();
      this.#cache = undefined; // the next look opens it anew
    } else if (result !== "busy") this.#unsaved.clear();
  }

  /** Stores a message and gives its header; in one process, messages sent together share one lock. */
  deliver(draft: Draft): Promise<Header> {
    return new Promise((resolve, reject) => {
      this.#queue.push((at) => {
        try {
          resolve(this.#store(draft, at));
        } catch (error) {
          reject(error);
        }
      });
      this.#writing ??= this.#write().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async #write(): Promise<void> {
    const { dir, inbox, log } = this.#config;
    // At the start: what is newest in the folder is about to be known.
    if (!this.#newest) await this.#reconciling?.catch(() => {});
    while (this.#queue.length > 0) {
      await withLock(inbox, log, () => {
        const batch = this.#queue.splice(0);
        const first = takeStamps(dir, batch.length, this.#newest);
        for (const [index, store] of batch.entries()) store(stamp(first + index));
      });
    }
  }

  #store(draft: Draft, at: string): Header {
    const { body: _, ...fields } = draft;
    const file = fileName(at, randomBytes(4).toString("hex"), draft);
    const header: Header = { ...fields, file, created: localTime(), at, came: at };
    writeWhole(join(this.#config.inbox, file), formatMessage(draft, header.created));
    this.#accept(header);
    return header;
  }

  /** Moves a message to the archive; gives its name there, or undefined where another server has moved it. */
  archive({ file, at }: Header): string | undefined {
    // A hand-given name may be in the archive already; and the note of it is one line in read/NAME.
    const name = isOurName(file) ? file : `${at}-${file.replace(/\p{Cc}/gu, "_")}`;
    try {
      makeFolder(this.#config.archive);
      renameSync(join(this.#config.inbox, file), join(this.#config.archive, name));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      return undefined;
    }
    this.#forget(file);
    return name;
  }

  /** Did a message by this sender leave the inbox? Lists the archive: for rare questions only. */
  archiveHasSender(name: string): boolean {
    const { archive } = this.#config;
    const files = existsSync(archive) ? readdirSync(archive) : [];
    return files.some((file) => {
      if (!isMessageName(file) || !file.includes(`-${plain(name, 16)}-`)) return false;
      try {
        return read(join(archive, file), file).header.from === name;
      } catch {
        return false; // not a message
      }
    });
  }

  /** Finishes what is being written and closes the cache. */
  async close(): Promise<void> {
    await this.#writing;
    this.saveCache();
    this.#closed = true;
    this.#cache?.close();
  }
}

function read(path: string, file: string): { header: Header; body: string } {
  const { text, stats } = readOwn(path, MAX_FILE_BYTES);
  return parseMessage(file, text, stats.ctimeMs, stats.mtimeMs);
}

/** When a file was last changed, ms; undefined where it is gone or not to be seen. */
function changeTime(path: string): number | undefined {
  try {
    return lstatSync(path).ctimeMs;
  } catch {
    return undefined;
  }
}

/** Is this time (ms) less than `limit` ms away? The clock may be behind a file's time, by a part of a ms at least. */
const isWithin = (limit: number, time: number): boolean => Math.abs(Date.now() - time) < limit;
