// Settings files that belong to the user: each is backed up before our first change.

import {
  chmodSync,
  existsSync,
  lstatSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from "node:fs";
import { SERVER } from "../config.ts";
import { diskFiles, writeFileAtomic } from "../core/files.ts";

/** The user only, for a file that was not there before. */
const DEFAULT_MODE = 0o600;

const backupPath = (path: string): string => `${path}.t9-ipc-backup`;

/** The file behind a link, which often leads to the user's dotfiles. Throws if it leads nowhere. */
export function resolveLink(path: string): string {
  return lstatSync(path, { throwIfNoEntry: false }) ? realpathSync(path) : path;
}

/** The file's text; empty if the file is missing. */
export function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** Replaces the text of a file and keeps its mode. */
export function replaceText(path: string, text: string): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? DEFAULT_MODE;
  writeFileAtomic(diskFiles, path, text);
  chmodSync(path, mode);
}

/**
 * Copies the file before we change it. A copy from an earlier setup is kept while
 * our entry is still in the file. A missing file is kept as an empty copy.
 */
export function keepBackup(path: string): void {
  const text = readText(path);
  const isOurs = text.includes("t9-ipc") || text.includes(JSON.stringify(SERVER).slice(1, -1));
  if (isOurs && existsSync(backupPath(path))) return;
  writeFileAtomic(diskFiles, backupPath(path), text);
}

/** The text before our first change; undefined if we have not changed the file. */
export function readBackup(path: string): string | undefined {
  return existsSync(backupPath(path)) ? readText(backupPath(path)) : undefined;
}

/** The time of our first change, in milliseconds since 1970; undefined if there was none. */
export function backupTime(path: string): number | undefined {
  return statSync(backupPath(resolveLink(path)), { throwIfNoEntry: false })?.mtimeMs;
}

export function removeBackup(path: string): void {
  rmSync(backupPath(path), { force: true });
}

/** A line for the user about the copy. */
export const backupNote = (path: string): string => `As it was: ${backupPath(path)}`;
