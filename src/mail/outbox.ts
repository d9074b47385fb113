import { randomBytes } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config.ts";
import {
  checkMounted,
  errorCode,
  isUnreachable,
  makeFolder,
  reasonOf,
  withLock,
  writeTemporary,
} from "../files.ts";
import { localTime, type Stamp, stampOf, takeStamps } from "../stamp.ts";
import { type Draft, fileName, formatMessage, type Header } from "./message.ts";

/** What was stored is brought to the disk so long after the answer, together with what was stored meanwhile. */
const SYNC_AFTER_MS = 30;

/** A file that waits for its place in the order: under the lock, only its rename is left to do. */
interface Waiting {
  readonly path: string;
  readonly header: Header;
  placed(header: Header): void;
  failed(error: unknown): void;
}

/** What the outbox is told of the folder, and tells of it. */
interface Folder {
  newest(): Promise<Stamp | "">;
  onStored(header: Header): void;
}

/** Stores messages: each becomes a file in the inbox, whole or not at all, with the next stamp in its name. */
export class Outbox {
  #queue: Waiting[] = [];
  #placing: Promise<void> | undefined;
  #unsynced: string[] = [];
  #syncing: Promise<void> = Promise.resolve();

  constructor(
    private readonly config: Config,
    private readonly folder: Folder,
  ) {}

  /** Stores a message and gives its header. Rejects, with nothing stored, where the file cannot be written. */
  async deliver(draft: Draft): Promise<Header> {
    const { dir, inbox } = this.config;
    checkMounted(dir);
    const { body: _, reply_to = "", ...fields } = draft;
    const header = { ...fields, reply_to, file: "", created: localTime() };
    const text = formatMessage(draft, header.created);
    makeFolder(inbox);
    try {
      // Written before the lock is taken; and beside the inbox, where it wakes nobody who watches that.
      return await this.#placeNew(writeTemporary(dir, text), header);
    } catch (error) {
      // The inbox may lie on another file system than the folder above it, or be the only one we may write to.
      if (!/^(EXDEV|EACCES|EROFS|EPERM)$/.test(errorCode(error) ?? "")) throw error;
      return this.#placeNew(writeTemporary(inbox, text), header);
    }
  }

  async #placeNew(path: string, header: Header): Promise<Header> {
    try {
      return await this.#place(path, header);
    } catch (error) {
      // Where the file system does not answer, it may have been renamed all the same.
      if (!isUnreachable(error)) rmSync(path, { force: true });
      throw error;
    }
  }

  /** Gives a file that a person wrote its place in the order. Rejects with ENOENT where somebody else has done it. */
  adopt(path: string, header: Header): Promise<Header> {
    return this.#place(path, header);
  }

  /** Files of one process that are placed at the same time share one lock. */
  #place(path: string, header: Header): Promise<Header> {
    return new Promise((placed, failed) => {
      this.#queue.push({ path, header, placed, failed });
      this.#placing ??= this.#placeAll().finally(() => {
        this.#placing = undefined;
      });
    });
  }

  async #placeAll(): Promise<void> {
    const { dir, inbox, log } = this.config;
    while (this.#queue.length > 0) {
      const newest = await this.folder.newest();
      const renamed = await withLock(inbox, log, () => {
        const batch = this.#queue.splice(0);
        const first = takeStamps(dir, batch.length, newest);
        return batch.map((waiting, index) => this.#rename(waiting, stampOf(first + index)));
      });
      for (const tell of renamed) tell();
    }
  }

  /** Each rename wakes all who watch the folder, while we hold the lock; what is told of it is told later. */
  #rename({ path, header, placed, failed }: Waiting, stamp: Stamp): () => void {
    const file = fileName(stamp, randomBytes(4).toString("hex"), header);
    try {
      renameSync(path, join(this.config.inbox, file));
    } catch (error) {
      const inDoubt = `it is not known whether inbox/${file} was stored (${reasonOf(error)}); look before you send again`;
      const told = isUnreachable(error)
        ? Object.assign(new Error(inDoubt), { code: errorCode(error) })
        : error;
      return () => failed(told);
    }
    return () => {
      const stored = { ...header, file };
      placed(stored);
      this.folder.onStored(stored);
      this.#syncSoon(file);
    };
  }

  /** After a power cut, a file that was never synced may be empty. The answer does not wait for it. */
  #syncSoon(file: string): void {
    if (this.#unsynced.push(file) > 1) return;
    setTimeout(() => {
      this.#syncing = this.#syncing.then(() => this.#sync());
    }, SYNC_AFTER_MS);
  }

  async #sync(): Promise<void> {
    const { inbox } = this.config;
    const files = this.#unsynced.splice(0).map((file) => join(inbox, file));
    for (const path of files.length > 0 ? [...files, inbox] : []) {
      try {
        const handle = await open(path, "r");
        await handle.sync().finally(() => handle.close());
      } catch {
        // It may have moved on by now, and some file systems and platforms refuse to sync: it is as safe as before.
      }
    }
  }

  /** Finishes what is being stored. */
  async close(): Promise<void> {
    await this.#placing;
    await this.#syncing.then(() => this.#sync());
  }
}
