import { homedir } from "node:os";
import { join } from "node:path";
import { type Config, PACKAGE_ROOT, SERVER } from "../config.ts";
import { demo } from "./demo.ts";
import { keepBackup, readBackup, readJson, restore, setValue, withValue } from "./json-file.ts";
import {
  allowTools,
  disallowTools,
  PLUGIN_RULE,
  QUESTION,
  readSettings,
  SERVER_RULE,
} from "./permissions.ts";
import { ask, type Options, type Print, run } from "./print.ts";

export type McpEntry = {
  command?: string;
  args?: string[];
  cwd?: string;
  env?: Record<string, string>;
};
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
  const { undo, plugin, allow, codex } = options;
  if (codex) {
    const { setupCodex } = await import("./codex.ts");
    return setupCodex(
      nodeProgram(),
      allow === true || (!undo && (await ask(QUESTION))),
      undo === true,
      print,
    );
  }
  readSettings(config); // before anything is changed: where it is no JSON, nothing is
  const { path } = readClaudeJson();
  // One of the two: beside the entry, Claude Code leaves the plugin's server out, and the tools have other names.
  const hadEntry = (undo || plugin) && (await removeEntry(print));
  const hadPlugin = (undo || !plugin) && removePlugin(config, print);
  if (undo) {
    const hadRule = await disallowTools(config, print);
    return hadEntry || hadPlugin || hadRule
      ? 0
      : print(`${path} has no entry for ${SERVER}: nothing was changed.`);
  }
  await (plugin ? addPlugin(config, print) : addEntry(print));
  await allowTools(plugin ? PLUGIN_RULE : SERVER_RULE, allow === true, config, print);
  print(`It works: two servers, and a message across in ${(await demo(() => 0)).toFixed(1)} ms.`);
  return print("Claude Code sessions started from now on have it.");
}

/** Where `node` is this version, its name outlives the next upgrade; a path of nvm or Homebrew does not. */
const nodeProgram = (): string =>
  run("node", "--version").said === process.version ? "node" : process.execPath;

/** The entry for all projects, and whether it is what `setup` writes. */
function findEntry() {
  const { path, json } = readClaudeJson();
  const { cwd, ...found } = json.mcpServers?.["t9-ipc"] ?? {};
  return { path, found, isOurs: found.args?.[0] === SERVER && cwd === undefined };
}

async function addEntry(print: Print): Promise<number> {
  const { path, found, isOurs } = findEntry();
  const command = nodeProgram();
  if (isOurs && found.command === command)
    return print(`${path} has the entry already: nothing was changed.`);
  const add = ["mcp", "add", "--scope", "user", "t9-ipc", "--", command, SERVER];
  keepBackup(path);
  const claude = found.args ? { code: null, said: "" } : run("claude", ...add);
  if (claude.code) throw new Error(`claude ${add.join(" ")}: ${claude.said}`);
  const entry = { type: "stdio", ...found, command, args: [SERVER], env: found.env ?? {} };
  if (claude.code === null) await setValue(path, PLACE, entry);
  return print(
    `${claude.said || `Added t9-ipc to ${path}: ${command} ${SERVER}`}\nAs it was: ${path}.t9-ipc-backup`,
  );
}

async function removeEntry(print: Print): Promise<boolean> {
  const { path, isOurs } = findEntry();
  if (!isOurs) return false;
  const former = readBackup<ClaudeJson>(path)?.mcpServers?.["t9-ipc"];
  await restore(path, (text) => withValue(text, PLACE, former));
  print(`Taken back in ${path}.`);
  return true;
}

/** The user's settings, whether our marketplace in them is this installation, and whether its plugin is on. */
function findPlugin(config: Config) {
  const { path, json } = readSettings(config);
  const isOurs = json.extraKnownMarketplaces?.["t9-ipc"]?.source?.path === PACKAGE_ROOT;
  return { path, isOurs, isOn: json.enabledPlugins?.[PLUGIN] };
}

function addPlugin(config: Config, print: Print): number {
  const { path, isOurs, isOn } = findPlugin(config);
  if (isOurs && isOn) return print(`${path} has the plugin already: nothing was changed.`);
  keepBackup(path);
  return (
    claudePlugin(print, "marketplace", "add", PACKAGE_ROOT) ||
    claudePlugin(print, "install", PLUGIN)
  );
}

function removePlugin(config: Config, print: Print): boolean {
  const { isOurs, isOn } = findPlugin(config);
  if (isOurs && isOn !== undefined) claudePlugin(print, "uninstall", PLUGIN);
  if (isOurs) claudePlugin(print, "marketplace", "remove", "t9-ipc");
  return isOurs;
}

function claudePlugin(print: Print, ...args: string[]): number {
  const { code, said } = run("claude", "plugin", ...args);
  if (code !== 0)
    throw new Error(
      `claude plugin ${args.join(" ")}: ${code === null ? "claude is not on PATH" : said}`,
    );
  return print(said);
}
