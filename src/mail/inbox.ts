import { renameSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { errorCode, makeFolder, readOwn, reasonOf, statOf, versionOf } from "../files.ts";
import { isAhead, type Stamp, stampIn } from "../stamp.ts";
import { Adoption } from "./adoption.ts";
import { type Cache, openCache } from "./cache.ts";
import { type Header, isMessageName, isStamped, MAX_FILE_BYTES, parseMessage } from "./message.ts";
import { Outbox } from "./outbox.ts";

/** A folder that changed less than this ago may change again and keep the same time. */
const SAME_TIME_MS = 50;
/** A file that is no message is looked at again, before anybody is told, while it is younger than this. */
const YOUNG_MS = 1000;

export interface Message {
  readonly header: Header;
  readonly body: string;
}

/**
 * The inbox folder as this process knows it. The files are the truth. A file's name tells its place in the order,
 * and who may have sent it to whom; its header is read only when somebody asks for it.
 */
export class Inbox {
  /** The names of all message files in the folder. */
  readonly files = new Set<string>();
  /** Called for each message file that appears, or is whole at last, in no particular order. */
  onMessage: (file: string) => void = () => {};
  /** Is the mail of this file's name wanted at once? What is not is found by the next listing. */
  isWanted: (file: string) => boolean = () => true;
  readonly outbox: Outbox;

  readonly #adoption: Adoption;
  /** null: it cannot be opened. */
  #cache: Cache | null | undefined;
  /** Headers that were asked for, and the version of the file they were read from, where that is known. */
  readonly #headers = new Map<string, { header: Header; version: string | undefined }>();
  /** What the cache does not know yet: new headers, and undefined for files that are gone. */
  readonly #unsaved = new Map<string, Header | undefined>();
  /** Files that are no messages, by their version: they are read again when it differs. */
  readonly #bad = new Map<string, string>();
  #newest: Stamp | "" = "";
  /** The folder's change time (ms) that the last listing holds for; NaN, which equals nothing, for none. */
  #listedFor = NaN;
  #reconciling: Promise<void> | undefined;
  #closed = false;

  constructor(private readonly config: Config) {
    this.outbox = new Outbox(config, {
      newest: async () => {
        // At the start, nothing is known of the folder yet.
        if (!this.#newest) await this.reconcile().catch(() => {});
        return this.#newest;
      },
      onStored: (header) => this.#accept(header),
    });
    this.#adoption = new Adoption(config, (path, header) => this.outbox.adopt(path, header));
  }

  /** Takes note of an event for this name: the file appeared, changed or went. Does no harm at any time. */
  look(file: string): void {
    if (!this.isWanted(file) && isStamped(file) && !this.files.has(file)) return;
    if (isMessageName(file) && !this.#closed) this.#lookAt(file);
  }

  #lookAt(file: string): void {
    if (!isStamped(file)) return void this.#adoption.look(file);
    const version = versionOf(this.#pathOf(file));
    const known = this.#headers.get(file)?.version ?? this.#bad.get(file) ?? version;
    // Our own moving of a file to the archive makes an event too.
    if (version === "") this.#forget(file);
    else if (!this.files.has(file)) this.#appear(file);
    else if (known !== version) this.#readAgain(file);
  }

  #appear(file: string): void {
    this.files.add(file);
    const stamp = stampIn(file);
    if (stamp > this.#newest && !isAhead(stamp)) this.#newest = stamp;
    this.onMessage(file);
  }

  #readAgain(file: string): void {
    this.#headers.delete(file);
    this.#bad.delete(file);
    this.#unsaved.set(file, undefined);
    this.onMessage(file);
  }

  #forget(file: string): void {
    this.files.delete(file);
    this.#bad.delete(file);
    if (this.#headers.delete(file)) this.#unsaved.set(file, undefined);
  }

  /** Takes in a message that this process has just written, and need not read. */
  #accept(header: Header): void {
    this.#headers.set(header.file, { header, version: undefined });
    this.#unsaved.set(header.file, header);
    if (!this.files.has(header.file)) this.#appear(header.file);
  }

  readonly #pathOf = (file: string): string => join(this.config.inbox, file);

  /** The header of a message in the folder; undefined where there is none of that name, or it is no message. */
  header(file: string): Header | undefined {
    const known = this.#headers.get(file);
    if (known || this.#bad.has(file) || !this.files.has(file)) return known?.header;
    const saved = this.#unsaved.has(file) ? undefined : this.#cache?.get(file);
    if (!saved) return this.read(file)?.header;
    this.#headers.set(file, { header: saved, version: undefined });
    return saved;
  }

  /** Every message that `concerns` (asked by file name) lets through, in no particular order. */
  select(concerns: (file: string) => boolean): Header[] {
    return [...this.files].filter(concerns).flatMap((file) => this.header(file) ?? []);
  }

  /** Reads a message file; undefined, with a line on the log, where it is no message or gone by now. */
  read(file: string): Message | undefined {
    const path = this.#pathOf(file);
    // Before it is read: what is written meanwhile makes another version, and is read again.
    const version = versionOf(path);
    try {
      const message = readMessage(path, file);
      if (!this.#headers.has(file)) this.#unsaved.set(file, message.header);
      this.#headers.set(file, { header: message.header, version });
      return message;
    } catch (error) {
      this.#forget(file);
      if (version === "") return undefined;
      this.files.add(file);
      this.#bad.set(file, version);
      const changed = statOf(path)?.ctimeMs ?? 0;
      // Somebody may be copying it into the folder at this moment.
      if (isWithin(YOUNG_MS, changed))
        setTimeout(() => this.#bad.has(file) && this.#readAgain(file), YOUNG_MS).unref();
      else
        this.config.log(`inbox/${file} is not a message and stays where it is: ${reasonOf(error)}`);
      return undefined;
    }
  }

  /** A message of that file name in inbox or archive; undefined where there is none. */
  find(file: string): (Message & { isArchived: boolean }) | undefined {
    if (!isMessageName(file)) return undefined;
    const waiting = this.files.has(file) ? this.read(file) : undefined;
    if (waiting) return { ...waiting, isArchived: false };
    try {
      return { ...readMessage(join(this.config.archive, file), file), isArchived: true };
    } catch {
      return undefined;
    }
  }

  /** May the folder hold something else than `files`? Costs one stat. */
  readonly hasChanged = (): boolean => this.#changeTime() !== this.#listedFor;

  /** In ms; the change time, since the rights of the folder count too. NaN where the folder is not to be seen. */
  readonly #changeTime = (): number => statOf(this.config.inbox)?.ctimeMs ?? NaN;

  /** Makes `files` equal to the folder as it is after the call. Rejects where it cannot be read. */
  async reconcile(): Promise<void> {
    await this.#reconciling;
    this.#reconciling ??= this.#reconcile().finally(() => {
      this.#reconciling = undefined;
    });
    await this.#reconciling;
  }

  async #reconcile(): Promise<void> {
    const changed = this.#changeTime();
    for (const file of [...this.#bad.keys()]) this.#lookAt(file);
    if (changed === this.#listedFor && !this.config.poll) return;
    const isSettled = !isWithin(SAME_TIME_MS, changed);
    const present = new Set(await this.#list());
    this.#listedFor = isSettled ? changed : NaN;
    // What came during the listing is not in it, and not gone: `look` asks the disk.
    for (const file of this.files) if (!present.has(file)) this.#lookAt(file);
    this.#openCache(present);
    // A message that goes to the archive while the folder is listed stays known until the next listing. To ask for each
    // again would cost a round trip each over a network.
    for (const file of present) {
      if (this.files.has(file)) continue;
      if (isStamped(file)) this.#appear(file);
      else this.#adoption.look(file);
    }
  }

  /** Message names in the folder, which is made where it is missing. */
  async #list(): Promise<string[]> {
    try {
      return (await readdir(this.config.inbox)).filter(isMessageName);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      makeFolder(this.config.inbox);
      return [];
    }
  }

  /** Opens the cache the first time, and where it was deleted since. */
  #openCache(present: ReadonlySet<string>): void {
    const { db, log } = this.config;
    if (this.#cache === null || this.#cache?.isInPlace()) return;
    this.#cache?.close();
    this.#cache = openCache(db, log) ?? null;
    for (const [file, { header }] of this.#headers) this.#unsaved.set(file, header);
    for (const file of this.#cache?.files() ?? [])
      if (!present.has(file)) this.#unsaved.set(file, undefined);
  }

  /** Writes to the cache what has changed since. Called now and then, never on a tool's path. */
  saveCache(): void {
    if (this.#cache && this.#unsaved.size > 0) this.#cache.save(this.#unsaved);
    else if (this.#cache === null) this.#unsaved.clear();
  }

  /** Moves a message to the archive. Another server may have been faster. */
  archive(file: string): void {
    try {
      makeFolder(this.config.archive);
      renameSync(this.#pathOf(file), join(this.config.archive, file));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
    this.#forget(file);
  }

  /** Resolves when no file under a name of its own waits to be adopted any more, or after some seconds. */
  settled(): Promise<void> {
    return this.#adoption.settled();
  }

  /** Finishes what is being written and closes the cache. */
  async close(): Promise<void> {
    await this.outbox.close();
    this.saveCache();
    this.#closed = true;
    this.#cache?.close();
  }
}

/** Reads a message file. Throws an Error that says why it is no message, or the system's. */
export function readMessage(path: string, file: string): Message {
  const { text, stats } = readOwn(path, MAX_FILE_BYTES);
  return parseMessage(file, text, stats.mtimeMs);
}

/** Is this time (ms) less than `limit` ms away? The clock may be behind a file's time, by a part of a ms at least. */
const isWithin = (limit: number, time: number): boolean => Math.abs(Date.now() - time) < limit;
