import fs from "node:fs";
import { dirname } from "node:path";
import lockfile from "proper-lockfile";
import { messageOf } from "./errors.ts";
import type { Files } from "./files.ts";
import type { Log } from "./log.ts";
import type { WithLock } from "./system.ts";

/** A lock counts as abandoned when its holder has not touched it for this long. */
const STALE_MS = 5000;
/** How long a caller waits for a lock before it goes on without. */
const PATIENCE_MS = 2000;

export interface Lock {
  readonly withLock: WithLock;
  /** Resolves when this process neither holds nor waits for a lock: then it may end. */
  whenIdle(): Promise<void>;
}

/**
 * Locks between processes: `PATH.lock` is a folder while proper-lockfile holds the lock of PATH.
 */
export function createLock(files: Files, log: Log): Lock {
  const queues = new Map<string, Promise<unknown>>();
  return { withLock, whenIdle };

  /** Callers in this process queue up, so that only one of them asks for the folder at a time. */
  function withLock<T>(path: string, work: (isLocked: boolean) => T): Promise<T> {
    const result = (queues.get(path) ?? Promise.resolve()).then(() => run(path, work));
    const settled = result.catch(() => {});
    queues.set(path, settled);
    void settled.then(() => queues.get(path) === settled && queues.delete(path));
    return result;
  }

  async function whenIdle(): Promise<void> {
    while (queues.size > 0) await Promise.all(queues.values());
  }

  async function run<T>(path: string, work: (isLocked: boolean) => T): Promise<T> {
    const release = await acquire(path);
    try {
      return work(release !== undefined);
    } finally {
      await release?.().catch((error) => log(`lock of ${path} not released: ${messageOf(error)}`));
    }
  }

  async function acquire(path: string): Promise<(() => Promise<void>) | undefined> {
    try {
      files.makeFolder(dirname(path));
      return await lockfile.lock(path, {
        realpath: false, // the locked file need not exist yet
        stale: STALE_MS,
        retries: {
          forever: true,
          maxRetryTime: PATIENCE_MS,
          minTimeout: 2,
          maxTimeout: 40,
          factor: 1.5,
          randomize: true,
        },
        // The default throws outside any call, which would end the process after a laptop's sleep.
        onCompromised: (error) => log(`lock of ${path} was lost: ${messageOf(error)}`),
      });
    } catch (error) {
      log(`no lock of ${path} (${messageOf(error)}): continuing without it`);
      removeFutureLock(`${path}.lock`);
      return undefined;
    }
  }

  /** A lock from a clock that ran ahead would not count as abandoned until that time has come. */
  function removeFutureLock(folder: string): void {
    try {
      const { mtimeMs } = fs.statSync(folder);
      if (mtimeMs > Date.now() + STALE_MS) fs.rmdirSync(folder);
    } catch {
      // It is gone, or it is not ours to remove.
    }
  }
}
