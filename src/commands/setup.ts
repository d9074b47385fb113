import { homedir } from "node:os";
import { join } from "node:path";
import { type Config, PACKAGE_ROOT, SERVER } from "../config.ts";
import { demo } from "./demo.ts";
import { keepBackup, readBackup, readJson, setValue, undo, withValue } from "./json-file.ts";
import { allowTools, disallowTools, PLUGIN_RULE, readSettings, SERVER_RULE } from "./permissions.ts";
import { type Options, type Print, run } from "./print.ts";

export type McpEntry = { command?: string; args?: string[]; cwd?: string; env?: Record<string, string> };
/** MCP servers by name, as Claude Code keeps them for all projects and for each. */
export type Servers = { mcpServers?: Record<string, McpEntry> };
type ClaudeJson = Servers & { projects: Record<string, Servers> };

const PLUGIN = "t9-ipc@t9-ipc";
const PLACE = ["mcpServers", "t9-ipc"];

/** Claude Code's own file. Throws where it is no JSON. */
export const readClaudeJson = () =>
  readJson<ClaudeJson>(join(process.env.CLAUDE_CONFIG_DIR || homedir(), ".claude.json"));

/** Registers this installation with Claude Code for all projects, or takes that back; gives the exit code. */
export async function setup(config: Config, options: Options, print: Print): Promise<number> {
  // Both are read before anything is changed: where one is no JSON, nothing is.
  readSettings(config);
  const { path } = readClaudeJson();
  const isPlugin = options.plugin === true;
  // One of the two: where both are, Claude Code leaves out the plugin's server, and its tools have other names.
  const hadEntry = (options.undo || isPlugin) && (await removeEntry(print));
  const hadPlugin = (options.undo || !isPlugin) && removePlugin(config, print);
  if (options.undo) {
    const hadRule = await disallowTools(config, print);
    if (!hadEntry && !hadPlugin && !hadRule) print(`${path} has no entry for ${SERVER}: nothing was changed.`);
    return 0;
  }
  await (isPlugin ? addPlugin(config, print) : addEntry(print));
  await allowTools(isPlugin ? PLUGIN_RULE : SERVER_RULE, options.allow === true, config, print);
  print(`It works: two servers, and a message across in ${(await demo(() => 0)).toFixed(1)} ms.`);
  return print("Claude Code sessions started from now on have it.");
}

/** The entry for all projects, and whether it is what `setup` has written. */
function findEntry() {
  const { path, json } = readClaudeJson();
  const { cwd, ...found } = json.mcpServers?.["t9-ipc"] ?? {};
  return { path, found, isOurs: found.args?.[0] === SERVER && cwd === undefined };
}

async function addEntry(print: Print): Promise<void> {
  const { path, found, isOurs } = findEntry();
  // Where `node` is this version, its name outlives the next upgrade; a path of nvm or Homebrew does not.
  const command = run("node", "--version").said === process.version ? "node" : process.execPath;
  if (isOurs && found.command === command) {
    print(`${path} has the entry already: nothing was changed.`);
    return;
  }
  keepBackup(path, isOurs);
  const add = ["mcp", "add", "--scope", "user", "t9-ipc", "--", command, SERVER];
  const claude = found.args ? { code: null, said: "" } : run("claude", ...add);
  if (claude.code) throw new Error(`claude ${add.join(" ")}: ${claude.said}`);
  const entry = { type: "stdio", ...found, command, args: [SERVER], env: found.env ?? {} };
  if (claude.code === null) await setValue(path, PLACE, entry);
  print(`${claude.said || `Added t9-ipc to ${path}: ${command} ${SERVER}`}\nAs it was: ${path}.t9-ipc-backup`);
}

async function removeEntry(print: Print): Promise<boolean> {
  const { path, isOurs } = findEntry();
  if (!isOurs) return false;
  const former = readBackup<ClaudeJson>(path)?.mcpServers?.["t9-ipc"];
  await undo(path, (text) => withValue(text, PLACE, former));
  print(`Taken back in ${path}.`);
  return true;
}

/** Is the plugin of this installation there? */
function hasPlugin(config: Config): boolean {
  const { enabledPlugins, extraKnownMarketplaces } = readSettings(config).json;
  return PLUGIN in { ...enabledPlugins } && extraKnownMarketplaces?.["t9-ipc"]?.source?.path === PACKAGE_ROOT;
}

function addPlugin(config: Config, print: Print): void {
  const { path, json } = readSettings(config);
  if (hasPlugin(config) && json.enabledPlugins?.[PLUGIN]) {
    print("The plugin is there already: nothing was changed.");
    return;
  }
  keepBackup(path, JSON.stringify(json).includes("t9-ipc"));
  print(claudePlugin("marketplace", "add", PACKAGE_ROOT));
  print(claudePlugin("install", PLUGIN));
}

function removePlugin(config: Config, print: Print): boolean {
  if (!hasPlugin(config)) return false;
  print(claudePlugin("uninstall", PLUGIN));
  print(claudePlugin("marketplace", "remove", "t9-ipc"));
  return true;
}

function claudePlugin(...args: string[]): string {
  const { code, said } = run("claude", "plugin", ...args);
  if (code === null) throw new Error("claude is not on PATH, and only it can install a plugin.");
  if (code !== 0) throw new Error(`claude plugin ${args.join(" ")}: ${said}`);
  return said;
}
