import fs from "node:fs";
import type { Log } from "../core/log.ts";
import type { DataFolder } from "../core/system.ts";

/** Logs if other users can write to the folder: then mail may come from them, whoever it names. */
export function warnIfShared({ dir, inbox }: DataFolder, log: Log): void {
  if (process.platform === "win32") return;
  const isEntered = (modeOf(dir) & 0o011) !== 0;
  const open = isWritableByOthers(dir) ? dir : isEntered && isWritableByOthers(inbox) && inbox;
  if (open) log(`others can write to ${open}: mail in it may be forged; chmod 700 it`);
}

const isWritableByOthers = (path: string): boolean => (modeOf(path) & 0o022) !== 0;

function modeOf(path: string): number {
  try {
    return fs.statSync(path).mode;
  } catch {
    return 0;
  }
}
