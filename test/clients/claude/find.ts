// The client itself: where the real Claude Code is, or how it is had.

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, dirname, join } from "node:path";

export type Found = { claude: string; reason?: undefined } | { claude?: undefined; reason: string };

/**
 * The real client: CLAUDE_BIN, else `claude` on PATH, else, with `fetch`, the newest from the npm registry
 * in a folder under the system's temporary one, kept for the next run (about 370 MB).
 */
export function findClaude({ fetch = false }: { fetch?: boolean } = {}): Found {
  const asked = process.env.CLAUDE_BIN;
  if (asked) return isProgram(asked) ? { claude: asked } : { reason: `CLAUDE_BIN is not a program: ${asked}` };
  const found = onPath("claude");
  if (found) return { claude: found };
  const folder = join(tmpdir(), `t9-ipc-claude-code-${userInfo().username}`);
  if (existsSync(folder) && statSync(folder).uid !== userInfo().uid) return { reason: `${folder} is not ours` };
  const kept = binaryIn(folder);
  if (kept) return { claude: kept };
  if (!fetch) return { reason: "no claude: set CLAUDE_BIN, put it on PATH, or run `npm run test:clients`" };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", "@anthropic-ai/claude-code@latest"];
    execFileSync("npm", args, { stdio: "pipe", timeout: 300_000 });
  } catch (error) {
    return { reason: `npm could not fetch @anthropic-ai/claude-code: ${(error as Error).message.split("\n")[0]}` };
  }
  const fetched = binaryIn(folder);
  return fetched ? { claude: fetched } : { reason: "@anthropic-ai/claude-code was fetched, but does not run here" };
}

/** The package's own link, or, where npm skipped the install script that makes it, the platform's binary. */
function binaryIn(folder: string): string | undefined {
  const scope = join(folder, "node_modules", "@anthropic-ai");
  const platform = `claude-code-${process.platform}-${process.arch}`;
  const places = [
    join(folder, "node_modules", ".bin", "claude"),
    join(scope, platform, "claude"),
    join(scope, `${platform}-musl`, "claude"),
  ];
  return places.find((path) => isProgram(path) && answers(path));
}

function answers(path: string): boolean {
  try {
    const env = { PATH: dirname(process.execPath), HOME: tmpdir() };
    return execFileSync(path, ["--version"], { encoding: "utf8", stdio: "pipe", env }).includes("Claude Code");
  } catch {
    return false;
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function onPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

/** Why an interactive session cannot be had here, or false: node:test's `skip`. */
export const noTerminal: string | false = !onPath("tmux") && "no tmux on PATH to run an interactive session in";
