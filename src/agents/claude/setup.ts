import { type Config, SERVER } from "../../config.ts";
import { nodeProgram, run } from "../programs.ts";
import type { Print } from "../report.ts";
import { type ClaudeJson, readClaudeJson } from "./claude-json.ts";
import { keepBackup, readBackup, restore, setValue, withValue } from "./json-file.ts";
import {
  allowTools,
  disallowTools,
  PLUGIN_RULE,
  readSettings,
  SERVER_RULE,
} from "./permissions.ts";
import { addPlugin, removePlugin } from "./plugin.ts";

const PLACE = ["mcpServers", "t9-ipc"];

export interface ClaudeOptions {
  readonly plugin: boolean;
  /** May Claude use the tools without asking? Asked only when no rule says so yet. */
  readonly isAllowed: () => Promise<boolean>;
}

/** Registers this installation with Claude Code for all projects. */
export async function setupClaude(
  config: Config,
  { plugin, isAllowed }: ClaudeOptions,
  print: Print,
): Promise<void> {
  readSettings(config); // before anything is changed: where it is no JSON, nothing is
  readClaudeJson();
  // One of the two: beside the entry, Claude Code leaves the plugin's server out, and the tools have other names.
  if (plugin) await removeEntry(print);
  else removePlugin(config, print);
  await (plugin ? addPlugin(config, print) : addEntry(print));
  await allowTools(plugin ? PLUGIN_RULE : SERVER_RULE, isAllowed, config, print);
}

/** Takes back what `setupClaude` did. */
export async function undoClaude(config: Config, print: Print): Promise<void> {
  readSettings(config);
  const { path } = readClaudeJson();
  const hadEntry = await removeEntry(print);
  const hadPlugin = removePlugin(config, print);
  const hadRule = await disallowTools(config, print);
  if (!hadEntry && !hadPlugin && !hadRule)
    print(`${path} has no entry for ${SERVER}: nothing was changed.`);
}

/** The entry for all projects, and whether it is what `setup` writes. */
function findEntry() {
  const { path, json } = readClaudeJson();
  const { cwd, ...found } = json.mcpServers?.["t9-ipc"] ?? {};
  return { path, found, isOurs: found.args?.[0] === SERVER && cwd === undefined };
}

async function addEntry(print: Print): Promise<void> {
  const { path, found, isOurs } = findEntry();
  const command = nodeProgram();
  if (isOurs && found.command === command) {
    print(`${path} has the entry already: nothing was changed.`);
    return;
  }
  const add = ["mcp", "add", "--scope", "user", "t9-ipc", "--", command, SERVER];
  keepBackup(path);
  const claude = found.args ? { code: null, said: "" } : run("claude", ...add);
  if (claude.code) throw new Error(`claude ${add.join(" ")}: ${claude.said}`);
  const entry = { type: "stdio", ...found, command, args: [SERVER], env: found.env ?? {} };
  if (claude.code === null) await setValue(path, PLACE, entry);
  print(
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
