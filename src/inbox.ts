import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Cache, openCache } from "./cache.ts";
import type { Config } from "./config.ts";
import { errorCode, makeFolder, readOwn, reasonOf, withLock, writeWhole } from "./files.ts";
import { type Draft, fileName, formatMessage, type Header, MAX_FILE_BYTES, parseMessage } from "./message.ts";
import { give, isAhead, isMessageName, isOurName, lastGiven, localTime, stamp, wallClock, wallOf } from "./stamp.ts";

/** A file with a hand-given name may still be being written while it is younger than this. */
const YOUNG_MS = 50;
/** So long a file may be no message yet (an editor saving, a slow copy) before it is called unreadable. */
const GIVE_UP_MS = 1500;
/** Work on many files lets other work through after so long. */
const SLICE_MS = 10;

/** The inbox folder as this process knows it: a header for each message. The files are the truth. */
export class Inbox {
  /** Every readable message in the folder, by file name. */
  readonly headers = new Map<string, Header>();
  /** Called once for each message that appears, in no particular order. */
  onMessage: (header: Header) => void = () => {};

  readonly #config: Config;
  #cache: Cache | undefined;
  #cacheTried = false;
  readonly #unsaved = new Set<string>();
  readonly #gone = new Set<string>();
  /** Unreadable files, with the change time (ms) they were looked at: looked at again when it differs. */
  readonly #bad = new Map<string, number>();
  /** Files that may become messages yet, with the time (ms) they were first seen. */
  readonly #unsettled = new Map<string, number>();
  #settling: Promise<void> | undefined;
  #reconciling: Promise<void> | undefined;
  #newest = "";
  #queue: { draft: Draft; resolve(header: Header): void; reject(error: unknown): void }[] = [];
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(config: Config) {
    this.#config = config;
  }

  /** Looks at one file; does nothing for a file already known. Safe to call for any name at any time. */
  note(file: string): void {
    const known = this.headers.get(file);
    if ((known && known.mtime === undefined) || !isMessageName(file) || this.#closed) return;
    const bad = this.#bad.get(file);
    try {
      if (known || bad !== undefined) {
        const stats = lstatSync(join(this.#config.inbox, file));
        if (known ? Math.floor(stats.mtimeMs) === known.mtime : stats.ctimeMs === bad) return;
        this.#forget(file);
      }
      const { header, mtime } = this.#read(this.#config.inbox, file);
      const age = Date.now() - mtime;
      if (!isOurName(file) && age >= 0 && age < YOUNG_MS) this.#later(file);
      else this.#accept(header);
    } catch (error) {
      if (errorCode(error) === "ENOENT") this.#forget(file);
      else this.#unreadable(file, error);
    }
  }

  #read(folder: string, file: string): { header: Header; body: string; mtime: number } {
    const { text, stats } = readOwn(join(folder, file), MAX_FILE_BYTES);
    return { ...parseMessage(file, text, stats.ctimeMs, stats.mtimeMs), mtime: stats.mtimeMs };
  }

  /** The text of a message. Throws where the file is gone or unreadable by now. */
  body(header: Header): string {
    return this.#read(this.#config.inbox, header.file).body;
  }

  #accept(header: Header, saved = false): void {
    this.#unsettled.delete(header.file);
    this.headers.set(header.file, header);
    if (!saved) this.#unsaved.add(header.file);
    if (header.at > this.#newest && !isAhead(header.at)) this.#newest = header.at;
    this.onMessage(header);
  }

  #forget(file: string): void {
    if (this.headers.delete(file)) this.#gone.add(file);
    this.#unsaved.delete(file);
    this.#bad.delete(file);
    this.#unsettled.delete(file);
  }

  #unreadable(file: string, error: unknown): void {
    const stats = lstatSync(join(this.#config.inbox, file), { throwIfNoEntry: false });
    const firstSeen = this.#unsettled.get(file) ?? performance.now();
    this.#later(file);
    if (!stats || performance.now() - firstSeen < GIVE_UP_MS) return;
    this.#unsettled.delete(file);
    this.#bad.set(file, stats.ctimeMs);
    this.#config.log(`inbox/${file} is not a message and stays where it is: ${reasonOf(error)}`);
  }

  #later(file: string): void {
    if (!this.#unsettled.has(file)) this.#unsettled.set(file, performance.now());
    this.#settling ??= this.#settle();
  }

  async #settle(): Promise<void> {
    while (this.#unsettled.size > 0 && !this.#closed) {
      await sleep(YOUNG_MS);
      for (const file of [...this.#unsettled.keys()]) this.note(file);
    }
    this.#settling = undefined;
  }

  /** Makes `headers` equal to the folder as it is after the call. */
  async reconcile(): Promise<void> {
    await this.#reconciling;
    this.#reconciling ??= this.#reconcile().finally(() => {
      this.#reconciling = undefined;
    });
    await this.#reconciling;
    // A hand-written file may be a moment too young; give it that moment.
    if ([...this.#unsettled.values()].some((since) => performance.now() - since < 2 * YOUNG_MS)) {
      await Promise.race([this.#settling, sleep(2 * YOUNG_MS)]);
    }
  }

  async #reconcile(): Promise<void> {
    const present = new Set(this.#list());
    for (const file of [...this.headers.keys(), ...this.#bad.keys()]) if (!present.has(file)) this.#forget(file);
    for (const row of this.#openCache()) {
      if (!present.has(row.file)) this.#gone.add(row.file);
      else if (isOurName(row.file) && !this.headers.has(row.file)) this.#accept({ ...row, mtime: undefined }, true);
    }
    let sliceEnd = performance.now() + SLICE_MS;
    for (const file of present) {
      this.note(file);
      if (performance.now() < sliceEnd) continue;
      await sleep();
      sliceEnd = performance.now() + SLICE_MS;
    }
  }

  /** Message names in the folder, which is made where it is missing. */
  #list(): string[] {
    try {
      return readdirSync(this.#config.inbox).filter(isMessageName);
    } catch (error) {
      if (errorCode(error) === "ENOENT") makeFolder(this.#config.inbox);
      else this.#config.log(`inbox cannot be listed: ${reasonOf(error)}`);
      return [];
    }
  }

  /** Opens the cache the first time, and gives its rows; opens it again where it was deleted since. */
  #openCache(): Iterable<Header> {
    if (this.#cacheTried && (!this.#cache || existsSync(this.#config.db))) return [];
    this.#cache?.close();
    this.#cache = openCache(this.#config.db, this.#config.log);
    for (const file of this.headers.keys()) this.#unsaved.add(file);
    const first = !this.#cacheTried;
    this.#cacheTried = true;
    return (first && this.#cache?.load()) || [];
  }

  /** Writes to the cache what has changed since. Called now and then, never on a tool's path. */
  saveCache(): void {
    if (this.#cache && this.#unsaved.size + this.#gone.size > 0) {
      const added = [...this.#unsaved].flatMap((file) => this.headers.get(file) ?? []);
      if (!this.#cache.save(added, [...this.#gone])) return;
    }
    this.#unsaved.clear();
    this.#gone.clear();
  }

  /** Stores a message and gives its header; in one process, messages sent together share one lock. */
  deliver(draft: Draft): Promise<Header> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ draft, resolve, reject });
      this.#writing ??= this.#write().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async #write(): Promise<void> {
    const { dir, inbox, log } = this.#config;
    while (this.#queue.length > 0) {
      await withLock(inbox, log, () => {
        const batch = this.#queue.splice(0);
        // Under the lock nobody else gives stamps. Without it names are unique all the same; only order is weaker.
        const last = Math.max(wallOf(lastGiven(dir)) ?? 0, wallOf(this.#newest) ?? 0);
        const first = Math.max(wallClock(), last + 1);
        give(dir, stamp(first + batch.length - 1));
        for (const [index, { draft, resolve, reject }] of batch.entries()) {
          try {
            resolve(this.#store(draft, stamp(first + index)));
          } catch (error) {
            reject(error);
          }
        }
      });
    }
  }

  #store(draft: Draft, at: string): Header {
    const { body: _, ...fields } = draft;
    const file = fileName(at, randomBytes(4).toString("hex"), draft);
    const header: Header = { ...fields, file, created: localTime(), at, mtime: undefined };
    writeWhole(join(this.#config.inbox, file), formatMessage(draft, header.created));
    this.#accept(header);
    return header;
  }

  /** Moves a message to the archive; gives its name there, or undefined where another server has moved it. */
  archive(header: Header): string | undefined {
    // A hand-given name may be in the archive already.
    const name = isOurName(header.file) ? header.file : `${header.at}-${header.file}`;
    try {
      makeFolder(this.#config.archive);
      renameSync(join(this.#config.inbox, header.file), join(this.#config.archive, name));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      return undefined;
    }
    this.#forget(header.file);
    return name;
  }

  /** Did a message by this sender leave the inbox? Lists the archive: for rare questions only. */
  archiveHasSender(name: string, part: string): boolean {
    const { archive } = this.#config;
    const files = existsSync(archive) ? readdirSync(archive) : [];
    return files.some((file) => {
      if (!isMessageName(file) || !file.includes(part)) return false;
      try {
        return this.#read(archive, file).header.from === name;
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
