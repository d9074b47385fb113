// Node in other versions, from npm.

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { KEPT, npm } from "./npm.ts";

const IS_WINDOWS = process.platform === "win32";
const PACKAGE = `node-${IS_WINDOWS ? "win" : process.platform}-${process.arch}`;

/** The program of that Node, fetched once. Rejects if npm has none for this machine. */
export async function fetchNode(version: string, home: string): Promise<string> {
  const kept = join(KEPT, `node-${version}`);
  const program = join(kept, "node_modules", PACKAGE, "bin", IS_WINDOWS ? "node.exe" : "node");
  if (existsSync(program)) return program;
  mkdirSync(KEPT, { recursive: true, mode: 0o700 });
  // Another test file may fetch the same one at the same time.
  const own = mkdtempSync(`${kept}-`);
  const args = ["install", "--prefix", own, "--ignore-scripts", `${PACKAGE}@${version}`];
  await npm(args, { cwd: home, home });
  try {
    renameSync(own, kept);
  } catch (error) {
    if (!existsSync(program)) throw error;
    rmSync(own, { recursive: true });
  }
  return program;
}
