// Temporary folders: a data folder with a home folder and a folder for PATH beside it.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { endAllIn } from "./process.ts";

/**
 * A path for a data folder, not made yet. When the test is over, what runs there is ended and all
 * is removed.
 */
export function tempDir(t: TestContext): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "t9-ipc-test-")));
  mkdirSync(join(root, "home"));
  t.after(async () => {
    await endAllIn(root);
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  });
  return join(root, "ipc");
}

/** The home folder that belongs to a data folder of `tempDir`. */
export const homeOf = (dir: string): string => join(dir, "..", "home");

/**
 * The environment of a child process. HOME is the home folder on Unix, USERPROFILE on Windows: with
 * both, no child sees the developer's own.
 */
export function envOf(dir: string): Record<string, string> {
  const home = homeOf(dir);
  const { PATH = "", SYSTEMROOT } = process.env;
  return {
    PATH,
    HOME: home,
    USERPROFILE: home,
    APPDATA: join(home, "AppData", "Roaming"),
    LOCALAPPDATA: join(home, "AppData", "Local"),
    IPC_DIR: dir,
    ...(SYSTEMROOT && { SYSTEMROOT }), // without it, no program starts on Windows
  };
}

/**
 * A folder for PATH that belongs to it. It has `node` in it and nothing else, so that no `claude`
 * of this machine is found.
 */
export function binOf(dir: string): string {
  const bin = join(dir, "..", "bin");
  mkdirSync(bin, { recursive: true });
  if (!existsSync(join(bin, "node"))) symlinkSync(process.execPath, join(bin, "node"));
  return bin;
}

/** Puts a program, given as JavaScript, into that folder for PATH. */
export function putProgram(dir: string, name: string, script: string): void {
  writeFileSync(join(binOf(dir), name), `#!${process.execPath}\n${script}`, { mode: 0o755 });
}
