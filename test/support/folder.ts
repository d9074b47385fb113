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
import { basename, dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { childEnv } from "./environment.ts";
import { endAllIn } from "./process.ts";
import { waitFor } from "./wait.ts";

const isWindows = process.platform === "win32";

/**
 * A path for a data folder, not made yet. When the test is over, what runs there is ended and all
 * is removed.
 */
export function tempDir(t: TestContext): string {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  return dir;
}

/** The same for a program that is not a test: it calls `removeDir` itself. */
export function makeDir(): string {
  // On Windows the name of the temporary folder may be a short one, like RUNNER~1.
  const root = realpathSync.native(mkdtempSync(join(tmpdir(), "t9-ipc-test-")));
  mkdirSync(join(root, "home"));
  return join(root, "ipc");
}

/** Ends what runs in the folder around this data folder, and removes all of it. */
export async function removeDir(dir: string): Promise<void> {
  const root = dirname(dir);
  await endAllIn(root);
  await removeFolder(root);
}

/**
 * Removes a folder in which a program may still write for a moment: one on a terminal ends only
 * after its parent was killed. All is removed again then. `maxRetries` of Node 20 is not enough,
 * since it does not list the folder again.
 */
export async function removeFolder(path: string): Promise<void> {
  let problem: unknown;
  const isRemoved = (): boolean => {
    try {
      rmSync(path, { recursive: true, force: true });
      return true;
    } catch (error) {
      problem = error;
      return false;
    }
  };
  await waitFor(isRemoved, () => `${path} to be removed: ${problem}`);
}

/** The home folder that belongs to a data folder of `tempDir`. */
export const homeOf = (dir: string): string => join(dir, "..", "home");

/** The environment of a child process with this data folder. */
export const envOf = (dir: string): Record<string, string> => ({
  ...childEnv(homeOf(dir)),
  IPC_DIR: dir,
});

/** A path for a socket of this name beside a data folder. On Windows that is a named pipe. */
export const socketOf = (dir: string, name: string): string =>
  isWindows ? `\\\\.\\pipe\\${basename(dirname(dir))}-${name}` : join(dirname(dir), name);

/**
 * A folder for PATH that belongs to it. It has `node` in it and nothing else, so that no `claude`
 * of this machine is found.
 */
export function binOf(dir: string): string {
  const bin = join(dir, "..", "bin");
  mkdirSync(bin, { recursive: true });
  putNode(bin);
  return bin;
}

/** Puts this Node into a folder for PATH. */
export function putNode(bin: string): void {
  if (isWindows) writeFileSync(join(bin, "node.cmd"), `@"${process.execPath}" %*\r\n`);
  else if (!existsSync(join(bin, "node"))) symlinkSync(process.execPath, join(bin, "node"));
}

/** Puts a program, given as JavaScript, into a data folder's folder for PATH. */
export const putProgram = (dir: string, name: string, script: string): void =>
  writeProgram(binOf(dir), name, script);

/** Writes a program, given as JavaScript. On Windows it is a .cmd file, as npm makes them. */
export function writeProgram(folder: string, name: string, script: string): void {
  if (isWindows) {
    writeFileSync(join(folder, `${name}.js`), script);
    writeFileSync(join(folder, `${name}.cmd`), `@"${process.execPath}" "%~dp0\\${name}.js" %*\r\n`);
  } else {
    writeFileSync(join(folder, name), `#!${process.execPath}\n${script}`, { mode: 0o755 });
  }
}
