// Node in other versions, from npm.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { KEPT, npm } from "./npm.ts";

const SYSTEM = process.platform === "win32" ? "win" : process.platform;
const PACKAGE = `node-${SYSTEM}-${process.arch}`;

/** The program of that Node, from npm; fetched once a day at most. Rejects if npm has none for this machine. */
export async function fetchNode(version: string, home: string): Promise<string> {
  const day = new Date().toISOString().slice(0, 10);
  const folder = join(KEPT, `${version}-${day}`);
  const bin = join(folder, "node_modules", PACKAGE, "bin");
  const program = join(bin, process.platform === "win32" ? "node.exe" : "node");
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    const spec = `${PACKAGE}@${version}`;
    const args = ["install", "--prefix", folder, "--ignore-scripts", "--no-save", spec];
    await npm(args, { cwd: home, home });
  }
  return program;
}
