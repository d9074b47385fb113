import { open } from "node:fs/promises";
import type { Inbox } from "../core/inbox.ts";

/** Messages are brought to the disk this long after they were stored, several together. */
const DELAY_MS = 30;

/**
 * Brings stored messages to the disk: after a power cut, a file that was never synced may be empty.
 * The answer to the sender does not wait for it.
 */
export class Sync {
  #unsynced: string[] = [];
  #syncing: Promise<void> = Promise.resolve();

  constructor(private readonly inbox: Inbox) {}

  start(): void {
    this.inbox.on("stored", (files) => {
      const isFirst = this.#unsynced.length === 0;
      this.#unsynced.push(...files);
      if (isFirst) setTimeout(() => void this.#syncAll(), DELAY_MS);
    });
  }

  /** Syncs the messages that were stored until now. */
  close(): Promise<void> {
    return this.#syncAll();
  }

  #syncAll(): Promise<void> {
    this.#syncing = this.#syncing.then(async () => {
      const files = this.#unsynced.splice(0);
      const paths = files.map((file) => this.inbox.pathOf(file));
      if (files.length > 0) paths.push(this.inbox.folder);
      for (const path of paths) await trySync(path);
    });
    return this.#syncing;
  }
}

async function trySync(path: string): Promise<void> {
  try {
    // Windows syncs only files that are open for writing; Unix opens a folder only for reading.
    const handle = await open(path, path.endsWith(".md") ? "r+" : "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // The file was moved, or the file system cannot sync: it is as safe as it would be without.
  }
}
