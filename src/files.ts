import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Log } from "./config.ts";

/** A lock counts as abandoned after this long without a sign of life. Any shorter, and a slow holder would lose it. */
const LOCK_STALE_MS = 5000;
/** After this, callers go on without the lock: see `withLock`. */
const LOCK_WAIT_MS = 2000;
/** All that proper-lockfile calls; it copies what it is given, and wraps it, at each lock. */
const { mkdirSync, rmdirSync, statSync, utimesSync } = fs;
const LOCK_CALLS = { mkdirSync, rmdirSync, statSync, utimesSync };
const UTF8 = new TextDecoder();
/** To make an error of a missing file takes longer than to ask for the file. */
const NO_THROW = { throwIfNoEntry: false };

export const isTemporary = (name: string): boolean => name.startsWith(".tmp-");

export const errorCode = (error: unknown): string | undefined =>
  (error as NodeJS.ErrnoException | null)?.code;

/** One line that says what went wrong with a file, without the call's name and path that Node puts in. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/(, \w+ '|\n).*$/s, "");
}

/** What a file system says that does not answer: a network mount whose line is down, or that is mounted no longer. */
const UNREACHABLE =
  /^(EIO|ENOTCONN|ESTALE|ENODEV|ENXIO|EHOSTDOWN|EHOSTUNREACH|ETIMEDOUT|EREMOTEIO)$/;
export const isUnreachable = (error: unknown): boolean => UNREACHABLE.test(errorCode(error) ?? "");

/** What to say then, and what to do. */
export function unreachable(dir: string, error: unknown): string {
  return `The data folder ${dir} does not answer: ${reasonOf(error)}. If it is on a network mount, mount it again; nothing is lost, and this session finds it by itself.`;
}

/**
 * Changes whenever the file at this path does, and where another takes its place; "" where there is none. Throws
 * where the system does not tell, which does not mean that the file is gone.
 */
export function versionOf(path: string): string {
  try {
    const stats = fs.lstatSync(path, NO_THROW);
    return stats ? `${stats.ino}:${stats.ctimeMs}:${stats.size}` : "";
  } catch (error) {
    if (errorCode(error) === "ENOTDIR") return "";
    throw error;
  }
}

/** What the system says of a path; undefined where it is not there or not to be seen. */
export function statOf(path: string): fs.Stats | undefined {
  try {
    return fs.statSync(path, NO_THROW);
  } catch {
    return undefined;
  }
}

/** What each data folder was seen on: its device, and where that was mounted. */
const mounts = new Map<string, { device: number; point: string | undefined }>();

/**
 * Throws (ENODEV) where the file system that `dir` was last seen on is mounted no longer. An empty local folder
 * then lies in its place, and what is written there is out of sight as soon as the mount is back. Costs one stat
 * while nothing changes. A mount inside one file system (a bind mount) is not told from its surroundings.
 */
export function checkMounted(dir: string): void {
  const [device, known] = [deviceOf(dir), mounts.get(dir)];
  // One that answers with errors says so to whoever uses it; whether it is a mount, it does not say.
  if (device === known?.device || device === DEAD) return;
  const point = known?.point;
  if (point && deviceOf(point) === deviceOf(dirname(point)))
    throw Object.assign(new Error(`nothing is mounted on ${point} any more`), { code: "ENODEV" });
  mounts.set(dir, { device, point: mountPoint(dir) });
}

/** The folder on which the file system of `dir` is mounted; undefined for the root's, which cannot go away. */
export function mountPoint(dir: string): string | undefined {
  let path = dir;
  while (path !== dirname(path) && deviceOf(path) === deviceOf(dirname(path))) path = dirname(path);
  if (path === dirname(path)) return undefined;
  try {
    const real = fs.realpathSync(path); // a link into another file system looks like a mount
    return real === path ? path : mountPoint(real);
  } catch {
    return path; // mounted, and dead
  }
}

const DEAD = -1; // the device of what answers with errors

/** The device of a path, or of the nearest folder above that is there. */
function deviceOf(path: string): number {
  try {
    return fs.statSync(path).dev;
  } catch (error) {
    const isAbsent = ["ENOENT", "ENOTDIR", "EACCES"].includes(errorCode(error) ?? "");
    return isAbsent && path !== dirname(path) ? deviceOf(dirname(path)) : DEAD;
  }
}

/** Makes a folder and those above it. (Node's `recursive` never ends where a parent takes no folders, as /proc.) */
export function makeFolder(path: string): void {
  if (statOf(path)?.isDirectory()) return;
  if (!statOf(dirname(path))) makeFolder(dirname(path));
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!statOf(path)?.isDirectory()) throw error;
  }
}

/** Writes a dotted temporary file into a folder, which is made where it is missing; gives its path. */
export function writeTemporary(folder: string, text: string): string {
  const path = join(folder, `.tmp-${process.pid}-${Math.random().toString(36).slice(2)}`);
  makeFolder(folder);
  try {
    fs.writeFileSync(path, text, { mode: 0o600, flag: "wx" });
    return path;
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw error;
  }
}

/** Writes a file whole or not at all. A link in its place is replaced, not followed. Not synced to the disk. */
export function writeWhole(path: string, text: string): void {
  const temporary = writeTemporary(dirname(path), text);
  try {
    fs.renameSync(temporary, path);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Reads a text as `readOwnBytes` does. Throws also where it is not UTF-8. */
export function readOwn(path: string, limit: number): { text: string; stats: fs.Stats } {
  const { bytes, stats } = readOwnBytes(path, limit);
  if (bytes.includes(0)) throw new Error("it has NUL bytes");
  if (!isUtf8(bytes)) throw new Error("it is not UTF-8");
  return { text: UTF8.decode(bytes), stats };
}

/**
 * Reads a regular file of our own user; never follows a link, never blocks on a FIFO, never reads past `limit` bytes.
 * Throws an Error whose message says what the file is instead.
 */
export function readOwnBytes(path: string, limit: number): { bytes: Buffer; stats: fs.Stats } {
  if (fs.lstatSync(path).isSymbolicLink()) throw new Error("it is a symbolic link");
  // The flags are for what was put there since; Windows has neither.
  const fd = fs.openSync(
    path,
    fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK,
  );
  try {
    const stats = fs.fstatSync(fd);
    if (!stats.isFile()) throw new Error("it is not a regular file");
    if (process.getuid && stats.uid !== process.getuid())
      throw new Error(`it belongs to another user (${stats.uid})`);
    if (stats.size > limit) throw new Error(`it has ${stats.size} bytes, the limit is ${limit}`);
    return { bytes: fs.readFileSync(fd), stats };
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Runs `work` under the lock of `path` (the folder `path.lock`, see proper-lockfile), and gives the lock back before
 * anything else happens in this process. Waits 2 s for it at most, then runs `work(false)`: what must not happen
 * without the lock, `work` leaves out.
 */
export async function withLock<T>(
  path: string,
  log: Log,
  work: (locked: boolean) => T,
): Promise<T> {
  const release = await acquire(path, log);
  try {
    return work(release !== undefined);
  } finally {
    try {
      release?.();
    } catch (error) {
      log(`lock of ${path} not removed: ${reasonOf(error)}`);
    }
  }
}

/**
 * Fifty processes may want the lock at once, and a holder that waits for a processor keeps all of them waiting. So
 * the pauses between two looks double up to 25 ms, and each is jittered. As the deadline comes near they get shorter
 * again, which lets those go first who have waited longest.
 */
async function acquire(path: string, log: Log): Promise<(() => void) | undefined> {
  // Loaded here, because most commands never lock.
  const { lockSync } = (await import("proper-lockfile")).default;
  const lock = `${path}.lock`;
  const deadline = performance.now() + LOCK_WAIT_MS;
  let refused: unknown = new Error("another process holds it");
  let holder: number | undefined;
  for (let pause = 1; ; pause = Math.min(pause * 2, (deadline - performance.now()) / 80)) {
    const held = statOf(lock); // a refusal of lockSync costs twenty times as much
    if (!held || held.mtime.getTime() < Date.now() - LOCK_STALE_MS) {
      try {
        makeFolder(dirname(path));
        // The default onCompromised throws outside any call. Ours is never called: the lock is not held that long.
        return lockSync(path, {
          fs: LOCK_CALLS,
          realpath: false,
          stale: LOCK_STALE_MS,
          onCompromised: () => {},
        });
      } catch (error) {
        refused = error;
        if (errorCode(error) !== "ELOCKED" && errorCode(error) !== "ENOENT") break;
      }
    }
    if (performance.now() >= deadline) break;
    const ms = pause * (0.5 + Math.random());
    // In a crowd the holder is another one at each look. Only who waits for a single holder is woken by the release.
    if (!held || held.ctimeMs !== holder || !(await released(lock, ms))) await sleepThrough(ms);
    holder = held?.ctimeMs;
  }
  log(`no lock of ${path}: ${reasonOf(refused)}; going on without`);
  // A lock that is older than 5 s is taken over; one from a clock that ran ahead would never be.
  if ((statOf(lock)?.mtimeMs ?? 0) > Date.now() + LOCK_STALE_MS)
    fs.rmSync(lock, { recursive: true, force: true });
  return undefined;
}

/**
 * Blocks the process. Whoever waits with a timer is woken by each message that is stored meanwhile, and fifty of them
 * then take the processor from the one that holds the lock. What came during the sleep is handled after it, together.
 */
function sleepThrough(ms: number): Promise<void> {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  return nextTurn();
}

/** Waits for `ms`, or until the lock is released. Resolves to false, at once, where the platform does not tell. */
async function released(lock: string, ms: number): Promise<boolean> {
  if (process.platform === "win32") return false; // a folder that is watched cannot be removed there
  const signal = AbortSignal.timeout(Math.ceil(ms));
  try {
    await once(fs.watch(lock, { signal }), "change", { signal });
    return true;
  } catch {
    return signal.aborted || !statOf(lock); // else the system has no more watches
  }
}
