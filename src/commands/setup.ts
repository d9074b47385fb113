import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { reasonOf, withLock, writeWhole } from "../files.ts";
import type { Print } from "./cli.ts";
import { demo, SERVER } from "./demo.ts";

export type McpEntry = { command?: string; args?: string[]; cwd?: string; env?: Record<string, string> };
/** MCP servers by name, as Claude Code keeps them for all projects and for each. */
export type Servers = { mcpServers?: Record<string, McpEntry> };
type ClaudeJson = Servers & { projects?: Record<string, Servers> };

/** Runs a program to its end; `code` is null where there is no such program. */
export function run(program: string, ...args: string[]): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 30_000 });
  return { code: status, said: `${stdout ?? ""}${stderr ?? ""}`.trim() };
}

const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

/** Rewrites a file, under the lock that Claude Code takes too. */
const edit = ({ log }: Config, path: string, change: (text: string) => string): Promise<void> =>
  withLock(path, log, () => writeWhole(path, change(read(path))));

/** Claude Code's own file; `text` is "" where there is none. Throws where it is not JSON. */
export function readClaudeJson() {
  const named = join(process.env.CLAUDE_CONFIG_DIR || homedir(), ".claude.json");
  const path = existsSync(named) ? realpathSync(named) : named; // it may be a link to somebody's dotfiles
  const text = read(path);
  try {
    return { path, text, json: JSON.parse(text || "{}") as ClaudeJson };
  } catch (error) {
    throw new Error(`${path} is not valid JSON (${reasonOf(error)}). Nothing was changed: mend it first.`);
  }
}

/** Registers this installation with Claude Code for all projects, or takes that back; gives the exit code. */
export async function setup(config: Config, undo: boolean, print: Print): Promise<number> {
  const { path, text, json } = readClaudeJson();
  const backup = `${path}.t9-ipc-backup`;
  const { cwd, ...found } = json.mcpServers?.["t9-ipc"] ?? {};
  const isOurs = found.args?.[0] === SERVER && cwd === undefined;
  if (undo) {
    if (!isOurs) return print(`${path} has no entry for ${SERVER}: nothing was changed.`);
    const before = read(backup);
    const former = JSON.parse(before || "{}").mcpServers?.["t9-ipc"];
    // Where nothing else has changed since, it is as it was to the byte.
    await edit(config, path, (now) => (before && withEntry(before, found) === now ? before : withEntry(now, former)));
    return print(`Taken back in ${path}.`);
  }
  // Where `node` is this version, its name outlives the next upgrade; a path of nvm or Homebrew does not.
  const command = run("node", "--version").said === process.version ? "node" : process.execPath;
  if (isOurs && found.command === command) {
    print(`${path} has the entry already: nothing was changed.`);
  } else {
    writeWhole(backup, text);
    const add = ["mcp", "add", "--scope", "user", "t9-ipc", "--", command, SERVER];
    const claude = found.args ? { code: null, said: "" } : run("claude", ...add);
    if (claude.code) throw new Error(`claude ${add.join(" ")}: ${claude.said}`);
    const entry = { type: "stdio", ...found, command, args: [SERVER], env: found.env ?? {} };
    if (claude.code === null) await edit(config, path, (now) => withEntry(now, entry));
    print(`${claude.said || `Added t9-ipc to ${path}: ${command} ${SERVER}`}\nAs it was: ${backup}`);
  }
  print(`It works: two servers, and a message across in ${(await demo(() => 0)).toFixed(1)} ms.`);
  return print("Claude Code sessions started from now on have it.");
}

/** The text with that entry, or without one; indentation and what follows the JSON stay. */
function withEntry(text: string, entry: McpEntry | undefined): string {
  const json: ClaudeJson = JSON.parse(text || "{}");
  const mcpServers = { ...json.mcpServers, "t9-ipc": entry }; // JSON leaves undefined out
  const indent = text.includes("\n") ? /^[ \t]+(?=")/m.exec(text)?.[0] : text ? "" : "  ";
  return JSON.stringify({ ...json, mcpServers }, null, indent) + (/\s*$/.exec(text)?.[0] ?? "");
}
