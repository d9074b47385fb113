// A copy of what the build reads, so that a test can break it, build it and remove it.

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { childEnv } from "../support/environment.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const SOURCES = [
  ...[".build", ".claude-plugin", "src", ".npmrc", "package.json", "package-lock.json"],
  ...["LICENSE", "README.md"],
];

/**
 * Copies the sources to `folder`, with `dist` and the installed packages unless `isBuilt` is false.
 */
export function copySources(folder: string, { isBuilt = true } = {}): void {
  mkdirSync(folder, { recursive: true });
  for (const name of isBuilt ? [...SOURCES, "dist"] : SOURCES)
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  if (isBuilt) symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"), "junction");
}

/** Builds a copy. Rejects if the build fails. */
export async function buildCopy(folder: string): Promise<void> {
  const env = childEnv(folder);
  await promisify(execFile)(process.execPath, [join(folder, ".build/build.js")], { env });
}
