import type { Files } from "./files.ts";
import type { Log } from "./log.ts";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall-clock time in ms since 1970. It may jump, and other machines may disagree. */
  now(): number;
  /** Milliseconds on a clock that never jumps, for intervals within this process. */
  elapsed(): number;
  /** How far local time is ahead of UTC at that moment, in ms. */
  zoneOffset(ms: number): number;
  /** Neither kind of timer keeps the process alive. */
  after(ms: number, run: () => void): Timer;
  every(ms: number, run: () => void): Timer;
  /** Resolves after the other work that is due now. */
  nextTurn(): Promise<void>;
}

/** The system's knowledge of the processes on this host. */
export interface ProcessTable {
  /** Identifies the machine, its boot and PID namespace: within one, a PID means one process. */
  readonly host: string;
  readonly pid: number;
  isRunning(pid: number): boolean;
  /**
   * When the process started, in the system's own words; undefined if the process has ended, or if
   * the system does not tell.
   */
  startOf(pid: number): string | undefined;
}

/**
 * Runs `work` while holding the lock of `path`. If the lock cannot be acquired within two seconds,
 * `work(false)` runs anyway and has to skip whatever is unsafe without the lock.
 */
export type WithLock = <T>(path: string, work: (isLocked: boolean) => T) => Promise<T>;

export interface FolderWatch {
  close(): void;
}

export interface FolderListener {
  /** A file was created, changed or removed; undefined if the system does not name it. */
  onChange(file: string | undefined): void;
  /** From now on changes are reported. */
  onReady(): void;
  /** The folder is not watched, or no longer. */
  onError(error: unknown): void;
}

/** Reports changes in a folder until the watch is closed. */
export type WatchFolder = (folder: string, listener: FolderListener) => FolderWatch;

/**
 * Everything the core asks of the world outside. `server.ts` hands in the real implementations, the
 * simulation its own, so that several sessions can live in one process.
 */
export interface System {
  readonly files: Files;
  readonly clock: Clock;
  readonly processes: ProcessTable;
  readonly withLock: WithLock;
  readonly watchFolder: WatchFolder;
  readonly log: Log;
}

/** The paths of the data folder. All are absolute. */
export interface DataFolder {
  readonly dir: string;
  readonly inbox: string;
  readonly archive: string;
  readonly read: string;
  readonly heartbeats: string;
  readonly conversations: string;
}
