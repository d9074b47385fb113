// The package as a user has it: installed globally, from its file, into an empty prefix.

import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { homeOf, tempDir } from "../support/folder.ts";
import { npm, pack } from "./npm.ts";

export const ROOT = resolve(import.meta.dirname, "../..");

export interface InstalledPackage {
  /** The data folder that sessions are given; `root` is above it, with everything else in it. */
  readonly dir: string;
  readonly root: string;
  readonly home: string;
  /** The package's file. */
  readonly file: string;
  /** `t9-ipc` in the prefix. */
  readonly program: string;
  readonly server: string;
  /** Installs another file over it. */
  install(file: string): Promise<string>;
}

/** Packs this checkout and installs it, without better-sqlite3. */
export async function installPackage(t: TestContext): Promise<InstalledPackage> {
  const dir = tempDir(t);
  const root = dirname(dir);
  const home = homeOf(dir);
  const prefix = join(root, "prefix");
  mkdirSync(prefix);
  const install = (file: string) => {
    const args = ["install", "--global", file, "--prefix", prefix, "--omit=optional"];
    return npm(args, { cwd: root, home });
  };
  const file = await pack(ROOT, root, home);
  await install(file);
  const program = join(prefix, "bin/t9-ipc");
  const server = join(prefix, "lib/node_modules/t9-ipc/dist/server.js");
  return { dir, root, home, file, program, server, install };
}
