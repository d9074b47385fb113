import { EventEmitter } from "node:events";
import { join } from "node:path";
import { errorCode, isMissing, isTransient, isUnreachable, messageOf } from "./errors.ts";
import { tryRemove, tryStat, writeTemporary } from "./files.ts";
import {
  type Draft,
  formatMessage,
  type Header,
  isMessageFile,
  isStamped,
  type Message,
  messageFileName,
  readMessage,
} from "./message.ts";
import type { DataFolder, FolderWatch, System, Timer } from "./system.ts";
import { localTime, nextTimestamps } from "./timestamps.ts";

/** Scan interval, in case events are missed. */
const SCAN_MS = 2000;
/**
 * Scan interval while the system has no watch to give: Linux has 128 for all programs of a user.
 */
const UNWATCHED_SCAN_MS = 500;
/** After this, a watch is asked for again. */
const WATCH_AGAIN_MS = 120_000;

/** Remembers headers over restarts, so that a long inbox need not be parsed again. */
export interface HeaderCache {
  get(file: string): Header | undefined;
  set(header: Header): void;
  delete(file: string): void;
}

interface InboxEvents {
  /** A message file has appeared, or has changed since it could not be parsed. */
  message: [file: string];
  /** A file without a timestamp is in the folder: somebody may still be writing it. */
  unstamped: [file: string];
  /** The folder was listed. */
  scan: [];
  /** This process has stored these messages. */
  stored: [files: readonly string[]];
}

/** A file that could not be read just now, and why. */
export interface Unreadable {
  readonly file: string;
  readonly reason: string;
}

/** Some of several messages were stored before a rename failed. */
export class PartlyStoredError extends Error {
  constructor(
    readonly stored: readonly Header[],
    /** The file system failed in the middle of the rename to this file. */
    readonly inDoubt: string | undefined,
    cause: unknown,
  ) {
    super(messageOf(cause), { cause });
  }
}

/**
 * It is unknown whether a message was stored: the file system failed in the middle of the rename.
 */
export class InDoubtError extends Error {
  /** The system's, which passes. */
  readonly code: string | undefined;

  constructor(
    readonly file: string,
    cause: unknown,
  ) {
    super(messageOf(cause), { cause });
    this.code = errorCode(cause);
  }
}

export interface InboxOptions {
  readonly folder: DataFolder;
  /** List the folder every so many ms, and do not watch it: for network folders. */
  readonly poll?: number | undefined;
  readonly cache?: HeaderCache | undefined;
}

/** The inbox folder: one file for each message, written once and never edited. */
export class Inbox extends EventEmitter<InboxEvents> {
  /** Names of all message files in the folder, as far as it has been seen. */
  readonly files = new Set<string>();
  readonly #headers = new Map<string, Header>();
  /** Files that cannot be parsed, by their version: they are read again after a change. */
  readonly #invalid = new Map<string, string>();
  #timer: Timer | undefined;
  #watch: FolderWatch | undefined;
  /** The folder that is watched. Another one may take its place under the same name. */
  #watched: string | undefined;
  #watchAgainAt: number | undefined;

  constructor(
    private readonly options: InboxOptions,
    private readonly system: System,
  ) {
    super();
  }

  /** Lists the folder, and from then on emits an event for each new file until `close`. */
  start(): void {
    this.#schedule(this.options.poll ?? SCAN_MS);
    this.#startWatch();
    this.tryScan();
  }

  close(): void {
    this.#timer?.cancel();
    this.#watch?.close();
  }

  #schedule(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.system.clock.every(ms, () => {
      this.tryScan();
      this.#checkWatch();
    });
  }

  #startWatch(): void {
    this.#watch?.close();
    this.#watched = undefined;
    this.#watchAgainAt = undefined;
    // Network folders make no events for changes by other machines.
    if (this.options.poll !== undefined) return;
    try {
      this.system.files.makeFolder(this.folder);
      this.#watched = this.system.files.stat(this.folder)?.id;
    } catch {
      return; // the scan logs why, and `#checkWatch` tries again
    }
    this.#watch = this.system.watchFolder(this.folder, {
      onChange: (file) => this.#onChange(file),
      onReady: () => this.tryScan(), // finds what came before the watch was set up
      onError: (error) => this.#onWatchError(error),
    });
  }

  #onChange(file: string | undefined): void {
    if (file === undefined) this.tryScan();
    else this.#tryCheck(file);
  }

  #onWatchError(error: unknown): void {
    const { clock, log } = this.system;
    if (this.#watchAgainAt === undefined) {
      log(
        `inbox is not watched (${messageOf(error)}): listed every ${UNWATCHED_SCAN_MS} ms instead`,
      );
      this.#schedule(UNWATCHED_SCAN_MS);
    }
    this.#watchAgainAt = clock.elapsed() + WATCH_AGAIN_MS;
  }

  /** Watches the folder again if it was replaced, or if there was no watch to be had. */
  #checkWatch(): void {
    if (this.options.poll !== undefined) return;
    const isReplaced = tryStat(this.system.files, this.folder)?.id !== this.#watched;
    const isDue =
      this.#watchAgainAt !== undefined && this.system.clock.elapsed() >= this.#watchAgainAt;
    if (!isReplaced && !isDue) return;
    this.#schedule(SCAN_MS);
    this.#startWatch();
  }

  /** Brings `files` up to date with the folder. Throws if the folder cannot be listed. */
  scan(): void {
    const present = new Set(this.#list().filter(isMessageFile));
    for (const file of this.files) if (!present.has(file)) this.#remove(file);
    for (const file of present) {
      if (!this.files.has(file) || this.#invalid.has(file)) this.#tryCheck(file);
    }
    this.emit("scan");
  }

  /** An error with one file does not stop the scan. Whoever reads that file gets the error. */
  #tryCheck(file: string): void {
    try {
      this.#check(file);
    } catch (error) {
      this.system.log(`inbox/${file} cannot be looked at: ${messageOf(error)}`);
      if (!isStamped(file)) return;
      if (this.#invalid.delete(file) || !this.files.has(file)) this.#add(file);
    }
  }

  tryScan(): void {
    try {
      this.scan();
    } catch (error) {
      this.system.log(`inbox cannot be listed: ${messageOf(error)}`);
    }
  }

  #list(): string[] {
    const { files } = this.system;
    try {
      return files.list(this.folder);
    } catch (error) {
      if (!isMissing(error)) throw error;
      files.makeFolder(this.folder);
      return [];
    }
  }

  /** Takes note of a file that appeared, changed or went. Harmless for any name at any time. */
  #check(file: string): void {
    if (!isMessageFile(file)) return;
    const version = this.system.files.stat(this.pathOf(file))?.version;
    const isKnown = this.files.has(file) && !this.#invalid.has(file);
    if (version === undefined) {
      this.#remove(file);
    } else if (!isStamped(file)) {
      this.emit("unstamped", file);
    } else if (!isKnown && this.#invalid.get(file) !== version) {
      this.#invalid.delete(file);
      this.#add(file);
    }
  }

  #add(file: string): void {
    this.files.add(file);
    this.emit("message", file);
  }

  #remove(file: string): void {
    this.files.delete(file);
    this.#invalid.delete(file);
    this.#headers.delete(file);
    this.options.cache?.delete(file);
  }

  get folder(): string {
    return this.options.folder.inbox;
  }

  pathOf(file: string): string {
    return join(this.folder, file);
  }

  /** Returns undefined if the message does not exist. Throws if it cannot be read just now. */
  header(file: string): Header | undefined {
    if (!this.files.has(file) || this.#invalid.has(file)) return undefined;
    const known = this.#headers.get(file) ?? this.options.cache?.get(file);
    if (!known) return this.read(file)?.header;
    this.#headers.set(file, known);
    return known;
  }

  /** Headers of the messages whose file names pass `filter`, and the files that cannot be read. */
  headers(filter: (file: string) => boolean): { headers: Header[]; unreadable: Unreadable[] } {
    const headers: Header[] = [];
    const unreadable: Unreadable[] = [];
    for (const file of this.files) {
      if (!filter(file)) continue;
      try {
        const header = this.header(file);
        if (header) headers.push(header);
      } catch (error) {
        unreadable.push({ file, reason: messageOf(error) });
      }
    }
    return { headers, unreadable };
  }

  /**
   * Reads a message. Returns undefined if there is none, or if the file is not a message, which is
   * logged once. Throws if the file cannot be read just now.
   */
  read(file: string): Message | undefined {
    const version = this.system.files.stat(this.pathOf(file))?.version;
    if (version === undefined || this.#invalid.get(file) === version) return undefined;
    try {
      const message = readMessage(this.system, this.pathOf(file), file);
      this.#headers.set(file, message.header);
      this.options.cache?.set(message.header);
      return message;
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (isTransient(error)) throw error;
      this.#headers.delete(file);
      this.options.cache?.delete(file);
      this.#invalid.set(file, version);
      this.system.log(`inbox/${file} is not a message and stays where it is: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** When the message was stored, in ms since 1970; undefined if the file is gone. */
  storedAt(file: string): number | undefined {
    return tryStat(this.system.files, this.pathOf(file))?.mtimeMs;
  }

  /** Finds a message in the inbox or the archive. Throws if it cannot be read just now. */
  find(file: string): (Message & { isArchived: boolean }) | undefined {
    if (!isMessageFile(file)) return undefined;
    const message = this.read(file);
    if (message) return { ...message, isArchived: false };
    try {
      const path = join(this.options.folder.archive, file);
      return { ...readMessage(this.system, path, file), isArchived: true };
    } catch (error) {
      if (isTransient(error)) throw error;
      return undefined;
    }
  }

  /**
   * Stores messages under the next timestamps, all under one lock. Rejects with nothing stored if
   * the files cannot be written, with PartlyStoredError if only some were renamed into the inbox,
   * and with InDoubtError if the file system did not say.
   *
   * @param onStored called for each message as soon as it is renamed, before this process announces
   *   it; also for one that may have been stored
   */
  async store(
    drafts: readonly Draft[],
    onStored: (header: Header) => void = () => {},
  ): Promise<Header[]> {
    const created = localTime(this.system.clock);
    const temporaries: string[] = [];
    try {
      for (const draft of drafts) {
        temporaries.push(this.#writeTemporary(formatMessage(draft, created)));
      }
      const headers = drafts.map(({ body: _body, ...fields }) => ({
        ...fields,
        created,
        file: "",
      }));
      return await this.moveIn(temporaries, () => headers, onStored);
    } catch (error) {
      for (const path of temporaries) tryRemove(this.system.files, path);
      throw error;
    }
  }

  /** Written beside the inbox, where the temporary file wakes nobody who watches the inbox. */
  #writeTemporary(text: string): string {
    const { dir, inbox } = this.options.folder;
    this.system.files.makeFolder(inbox);
    const isSeparate = this.#isOnAnotherDevice();
    return writeTemporary(this.system.files, isSeparate ? inbox : dir, text);
  }

  /** The inbox may be a mount of its own, and nothing can be renamed from one device to another. */
  #isOnAnotherDevice(): boolean {
    const { dir, inbox } = this.options.folder;
    const device = (path: string) => tryStat(this.system.files, path)?.id.split(":")[0];
    return device(dir) !== device(inbox);
  }

  /**
   * Moves complete files to their places in the order of sending. Rejects as `store` does; a
   * missing file is an ENOENT.
   *
   * @param readHeaders called under the lock, for the headers of the files that are to be moved
   * @param onMoved called as `onStored` is
   */
  async moveIn(
    paths: readonly string[],
    readHeaders: () => readonly Header[],
    onMoved: (header: Header) => void = () => {},
  ): Promise<Header[]> {
    const { files, clock, withLock } = this.system;
    const { folder } = this.options;
    // Without the lock the messages are still safe, since names are unique; their order is weaker.
    const { stored, error } = await withLock(folder.inbox, () => {
      const stored: Header[] = [];
      const headers = readHeaders();
      if (headers.length === 0) return { stored, error: undefined };
      const timestamps = nextTimestamps(files, clock, folder, headers.length);
      for (const [index, timestamp] of timestamps.entries()) {
        const header = headers[index] as Header;
        const moved = { ...header, file: messageFileName(timestamp, header) };
        try {
          files.rename(paths[index] as string, this.pathOf(moved.file));
        } catch (error) {
          if (!isUnreachable(error)) return { stored, error };
          onMoved(moved);
          return { stored, error: new InDoubtError(moved.file, error) };
        }
        stored.push(moved);
        onMoved(moved);
      }
      return { stored, error: undefined };
    });
    this.#announceStored(stored);
    if (error === undefined) return stored;
    if (stored.length === 0) throw error;
    const inDoubt = error instanceof InDoubtError ? error.file : undefined;
    throw new PartlyStoredError(stored, inDoubt, error);
  }

  #announceStored(stored: readonly Header[]): void {
    if (stored.length === 0) return;
    for (const header of stored) {
      this.#headers.set(header.file, header);
      this.options.cache?.set(header);
      if (!this.files.has(header.file)) this.#add(header.file);
    }
    this.emit(
      "stored",
      stored.map(({ file }) => file),
    );
  }

  /** Moves a message to the archive. Another server may have been faster. */
  archive(file: string): void {
    const { files } = this.system;
    files.makeFolder(this.options.folder.archive);
    try {
      files.rename(this.pathOf(file), join(this.options.folder.archive, file));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
    this.#remove(file);
  }
}
