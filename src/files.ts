import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import lockfile from "proper-lockfile";
import type { Log } from "./config.ts";

/** A lock is taken over when its holder has not touched it for this long; below, a busy holder looks dead. */
const LOCK_STALE_MS = 5000;
/** After this, callers go on without the lock: see `withLock`. */
const LOCK_WAIT_MS = 2000;
const TEMPORARY = /^\.tmp-/;

export const isTemporary = (name: string): boolean => TEMPORARY.test(name);

export const errorCode = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | null)?.code;

/** One line that says what went wrong with a file, without the call's name and path that Node puts in. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/, \w+ '.*$/s, "");
}

/** What the system says of a path; undefined where it is not there or not to be seen. */
export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/**
 * Writes a file whole or not at all: a dotted temporary beside it, then a rename. Creates the folder where it
 * has gone. Not synced to the platter: safe against a killed process, not against a power cut.
 */
export function writeWhole(path: string, text: string): void {
  const temporary = join(dirname(path), `.tmp-${process.pid}-${randomBytes(4).toString("hex")}`);
  try {
    try {
      writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      makeFolder(dirname(path));
      writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
    }
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // never made, or already renamed
    }
    throw error;
  }
}

/**
 * Opens a regular file of our own user and hands its contents on; never follows a link, never blocks on a FIFO,
 * never reads past `limit` bytes. Throws an Error whose message says what the file is instead.
 */
export function readOwn(path: string, limit: number): { text: string; stats: Stats } {
  // Where the system cannot refuse links while opening (Windows), look first.
  if (constants.O_NOFOLLOW === undefined && !lstatSync(path).isFile()) throw new Error("it is not a regular file");
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ELOOP") throw new Error("it is a symbolic link");
    if (code === "ENXIO") throw new Error("it is a socket or device");
    throw error;
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error("it is not a regular file");
    if (process.getuid && stats.uid !== process.getuid()) throw new Error(`it belongs to another user (${stats.uid})`);
    if (stats.size > limit) throw new Error(`it has ${stats.size} bytes, the limit is ${limit}`);
    const bytes = Buffer.allocUnsafe(stats.size);
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes.length; length += got) {
      got = readSync(fd, bytes, length, bytes.length - length, null);
    }
    return { text: decode(bytes.subarray(0, length)), stats };
  } finally {
    closeSync(fd);
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

function decode(bytes: Buffer): string {
  if (bytes.includes(0)) throw new Error("it has NUL bytes");
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new Error("it is not UTF-8");
  }
}

/**
 * Runs `work` under the lock of `path` (the folder `path.lock`, see proper-lockfile). Waits 2 s for it at most,
 * then runs `work(false)`: what must not happen without the lock, `work` leaves out. A lock lost meanwhile
 * (a laptop slept) is one line on the log.
 */
export async function withLock<T>(path: string, log: Log, work: (locked: boolean) => T): Promise<T> {
  const release = await acquire(path, log);
  try {
    return work(release !== undefined);
  } finally {
    // Fails where the lock was taken over as stale meanwhile: then there is nothing to release.
    await release?.().catch((error) => log(`lock of ${path}: ${reasonOf(error)}`));
  }
}

/** Locks whose time lies ahead of our clock, and since when (ms) that time was seen to stand still. */
const ahead = new Map<string, { mtime: number; since: number }>();

/** proper-lockfile calls a lock stale by the clock; one from a clock that ran ahead would never be. */
function breakIfAhead(lock: string): void {
  const mtime = statOf(lock)?.mtimeMs ?? 0;
  if (mtime < Date.now() + LOCK_STALE_MS) return;
  const before = ahead.get(lock);
  if (before?.mtime !== mtime) ahead.set(lock, { mtime, since: performance.now() });
  else if (performance.now() - before.since > LOCK_STALE_MS) rmSync(lock, { recursive: true, force: true });
}

async function acquire(path: string, log: Log): Promise<(() => Promise<void>) | undefined> {
  const deadline = performance.now() + LOCK_WAIT_MS;
  let refused: unknown;
  do {
    try {
      return await lockfile.lock(path, {
        realpath: false,
        stale: LOCK_STALE_MS,
        onCompromised: (error) => log(`lock of ${path} lost: ${reasonOf(error)}`),
      });
    } catch (error) {
      refused = error;
      const code = errorCode(error);
      if (code === "ENOENT") makeFolder(dirname(path));
      else if (code === "ELOCKED") breakIfAhead(`${path}.lock`);
      else break;
    }
    await sleep(2 + Math.random() * 10);
  } while (performance.now() < deadline);
  log(`no lock of ${path}: ${reasonOf(refused)}; going on without`);
  return undefined;
}
