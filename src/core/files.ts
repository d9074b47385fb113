import { isUtf8 } from "node:buffer";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { dirname, join } from "node:path";
import { errorCode, isMissing } from "./errors.ts";

export interface FileText {
  /** Without a byte-order mark. Bytes that are not UTF-8 are U+FFFD in it. */
  readonly text: string;
  readonly isUtf8: boolean;
  readonly mtimeMs: number;
}

export interface FileStat {
  readonly isFile: boolean;
  readonly isFolder: boolean;
  /** Tells this file from one that takes its place later. */
  readonly id: string;
  /** Changes whenever the file does, or another file takes its place. */
  readonly version: string;
  readonly mtimeMs: number;
}

/**
 * The file calls of the core. All are synchronous and throw what the system throws. A link is never
 * followed, and a FIFO is never waited for.
 */
export interface Files {
  /** File names in a folder, in no particular order. */
  list(folder: string): string[];
  /** Returns undefined if the file is missing. */
  stat(path: string): FileStat | undefined;
  /** Reads a regular file of the current user. Throws an Error that says what is wrong. */
  read(path: string, maxBytes: number): FileText;
  /** Creates a file. Throws EEXIST if it exists. */
  create(path: string, text: string): void;
  /** Appends to a file, which is created if it is missing. */
  append(path: string, text: string): void;
  /** Writes over the start of a file, which is created if it is missing. */
  overwrite(path: string, text: string): void;
  rename(from: string, to: string): void;
  /** Does nothing if the file is missing. */
  remove(path: string): void;
  /** Sets a file's modification time, in ms since 1970. */
  touch(path: string, ms: number): void;
  /** Creates a folder, and those above it, unless they are there. */
  makeFolder(path: string): void;
}

/** For how long Windows is asked again to replace a file. */
const REPLACE_MS = 500;
/** The same to open or remove a file; one that the user must not read is asked for in vain. */
const OPEN_MS = 100;

const isAbsent = (path: string): boolean => !fs.statSync(path, { throwIfNoEntry: false });

/** Creates a folder with its parents. (Node's `recursive` loops forever below /proc.) */
function makeFolder(path: string): void {
  if (fs.statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(path);
  if (parent !== path && isAbsent(parent)) makeFolder(parent);
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error; // another process was faster
    if (!fs.statSync(path).isDirectory()) throw error;
  }
}

function withFile<T>(path: string, flags: number, work: (fd: number) => T): T {
  const { O_NOFOLLOW, O_NONBLOCK } = fs.constants; // Windows has neither
  const fd = fs.openSync(path, flags | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0), 0o600);
  try {
    if (!fs.fstatSync(fd).isFile()) throw new Error("it is not a regular file");
    return work(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function readTextFile(path: string, maxBytes: number): FileText {
  const found = fs.lstatSync(path);
  if (found.isSymbolicLink()) throw new Error("it is a symbolic link");
  // Opening a socket fails as a network that is down does, and that would pass.
  if (!found.isFile()) throw new Error("it is not a regular file");
  return withFile(path, fs.constants.O_RDONLY, (fd) => {
    const stats = fs.fstatSync(fd);
    if (process.getuid && stats.uid !== process.getuid()) {
      throw new Error(`it belongs to another user (${stats.uid})`);
    }
    if (stats.size > maxBytes) {
      throw new Error(`it has ${stats.size} bytes, the limit is ${maxBytes}`);
    }
    const bytes = fs.readFileSync(fd);
    return { text: new TextDecoder().decode(bytes), isUtf8: isUtf8(bytes), mtimeMs: stats.mtimeMs };
  });
}

/**
 * Windows refuses to replace a file that anybody has open, and to open one that is being replaced.
 * Virus scanners and other servers keep files open for milliseconds, so there the call is repeated
 * for up to `ms`.
 */
function patiently<T>(ms: number, call: () => T): T {
  const deadline = performance.now() + (process.platform === "win32" ? ms : 0);
  for (;;) {
    try {
      return call();
    } catch (error) {
      const mayPass = ["EPERM", "EACCES", "EBUSY"].includes(errorCode(error) ?? "");
      if (!mayPass || performance.now() >= deadline) throw error;
    }
  }
}

export const diskFiles: Files = {
  list: (folder) => fs.readdirSync(folder),

  stat(path) {
    try {
      const stats = fs.lstatSync(path, { throwIfNoEntry: false });
      return (
        stats && {
          isFile: stats.isFile(),
          isFolder: stats.isDirectory(),
          id: `${stats.dev}:${stats.ino}:${stats.birthtimeMs}`,
          version: `${stats.ino}:${stats.ctimeMs}:${stats.size}`,
          mtimeMs: stats.mtimeMs,
        }
      );
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },

  read: (path, maxBytes) => patiently(OPEN_MS, () => readTextFile(path, maxBytes)),

  create: (path, text) => fs.writeFileSync(path, text, { mode: 0o600, flag: "wx" }),

  append(path, text) {
    const { O_WRONLY, O_APPEND, O_CREAT } = fs.constants;
    withFile(path, O_WRONLY | O_APPEND | O_CREAT, (fd) => fs.writeFileSync(fd, text));
  },

  overwrite(path, text) {
    const { O_RDWR, O_CREAT } = fs.constants;
    withFile(path, O_RDWR | O_CREAT, (fd) => fs.writeSync(fd, text, 0));
  },

  rename: (from, to) => patiently(REPLACE_MS, () => fs.renameSync(from, to)),

  remove: (path) => patiently(OPEN_MS, () => fs.rmSync(path, { force: true })),

  touch: (path, ms) => fs.utimesSync(path, ms / 1000, ms / 1000),

  makeFolder,
};

export const isTemporary = (name: string): boolean => name.startsWith(".tmp-");

/** Writes a temporary file into a folder, which is created if it is missing. Returns its path. */
export function writeTemporary(files: Files, folder: string, text: string): string {
  files.makeFolder(folder);
  const path = join(folder, `.tmp-${process.pid}-${randomUUID()}`);
  try {
    files.create(path, text);
    return path;
  } catch (error) {
    tryRemove(files, path);
    throw error;
  }
}

/** Readers see either the old content or the new one. A link at this path is replaced. */
export function writeFileAtomic(files: Files, path: string, text: string): void {
  // A rename is atomic only within one file system, so the temporary file lies in the same folder.
  const temporary = writeTemporary(files, dirname(path), text);
  try {
    files.rename(temporary, path);
  } catch (error) {
    tryRemove(files, temporary);
    throw error;
  }
}

/** For cleaning up after an error, which must not be hidden by a second one. */
export function tryRemove(files: Files, path: string): void {
  try {
    files.remove(path);
  } catch {
    // The sweep removes old temporary files.
  }
}

/** Returns undefined if the file is missing or cannot be examined. */
export function tryStat(files: Files, path: string): FileStat | undefined {
  try {
    return files.stat(path);
  } catch {
    return undefined;
  }
}

/** Returns an empty list if the folder is missing. */
export function listIfThere(files: Files, folder: string): string[] {
  try {
    return files.list(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Caches what `parse` makes of a file's text, and reads the file again only after a change. */
export class CachedFile<T> {
  #cached: { readonly version: string; readonly value: T } | undefined;

  /** @param parse parses the file's text, or undefined if the file is missing */
  constructor(
    private readonly files: Files,
    private readonly path: string,
    private readonly maxBytes: number,
    private readonly parse: (text: string | undefined) => T,
  ) {}

  /** Throws if the file cannot be read or parsed; the next call tries again. */
  read(): T {
    const version = this.files.stat(this.path)?.version ?? "missing";
    // Noted after the file was read: a failed read is not taken for an unchanged file.
    if (this.#cached?.version !== version) {
      this.#cached = { version, value: this.parse(this.#text()) };
    }
    return this.#cached.value;
  }

  /** Reads the file whatever its version says, for a change that is made under a lock. */
  readAgain(): T {
    this.#cached = undefined;
    return this.read();
  }

  #text(): string | undefined {
    try {
      return this.files.read(this.path, this.maxBytes).text;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}
