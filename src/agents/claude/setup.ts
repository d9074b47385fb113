import { type Config, SERVER } from "../../config.ts";
import { isSamePath } from "../../core/paths.ts";
import { nodeCommand, updateNote } from "../node.ts";
import type { Print } from "../print.ts";
import { runProgram } from "../programs.ts";
import { backupNote, keepBackup } from "../user-file.ts";
import { type ClaudeJson, readClaudeJson } from "./claude-json.ts";
import { readJsonBackup, restoreValue, setValue } from "./json-file.ts";
import {
  allowTools,
  disallowTools,
  PLUGIN_RULE,
  readSettings,
  SERVER_RULE,
} from "./permissions.ts";
import { addPlugin, removePlugin } from "./plugin.ts";
import { addStatusLine, removeStatusLine } from "./status-line.ts";

const PLACE = ["mcpServers", "t9-ipc"];

export interface ClaudeSetup {
  /** Install the plugin instead of the entry. */
  readonly plugin: boolean;
  /** Whether Claude may use the tools without asking. Called only if no rule decides it yet. */
  readonly isAllowed: () => Promise<boolean>;
  /** Whether our status line is to be shown, below the one that the user has. */
  readonly isStatusLineWanted: (theirs: string | undefined) => Promise<boolean>;
}

/** Registers this installation with Claude Code for all projects. */
export async function setupClaude(
  config: Config,
  { plugin, isAllowed, isStatusLineWanted }: ClaudeSetup,
  print: Print,
): Promise<void> {
  checkFiles(config);

  // Never both: beside the entry, Claude Code does not start the plugin's server, and the tools of
  // the two have different names.
  if (plugin) {
    await removeEntry(config, print);
    addPlugin(config, print);
  } else {
    removePlugin(config, print);
    await addEntry(config, print);
  }
  await allowTools(plugin ? PLUGIN_RULE : SERVER_RULE, isAllowed, config, print);
  await addStatusLine(config, isStatusLineWanted, print);
}

/** Removes everything that `setupClaude` added. */
export async function undoClaude(config: Config, print: Print): Promise<void> {
  checkFiles(config);

  const hadEntry = await removeEntry(config, print);
  const hadPlugin = removePlugin(config, print);
  // Before the rule, whose removal removes the backup.
  const hadStatusLine = await removeStatusLine(config, print);
  const hadRule = await disallowTools(config, print);
  if (hadEntry || hadPlugin || hadStatusLine || hadRule) return;
  print(`${config.claudeJson} has no entry for ${SERVER}: nothing was changed.`);
}

/** Throws before anything is changed if one of the files is not JSON. */
function checkFiles(config: Config): void {
  readSettings(config);
  readClaudeJson(config);
}

async function addEntry(config: Config, print: Print): Promise<void> {
  const { path, entry, isOurs } = findEntry(config);
  const command = nodeCommand(config);
  if (isOurs && entry?.command === command) {
    print(`${path} has the entry already: nothing was changed.`);
    return;
  }

  keepBackup(path);
  // `claude mcp add` refuses to replace an entry.
  const added = entry ? undefined : addByClaude(config, command);
  if (added === undefined) {
    const { cwd: _ignoredByClaude, ...kept } = entry ?? {};
    const env = entry?.env ?? {};
    await setValue(path, PLACE, { type: "stdio", ...kept, command, args: [SERVER], env });
  }

  print(added ?? `Added t9-ipc to ${path}: ${command} ${SERVER}`);
  print(backupNote(path));
  const note = updateNote(command);
  if (note) print(note);
}

/** Claude Code's own words; undefined if `claude` is not found. Throws if it refuses. */
function addByClaude({ env }: Config, command: string): string | undefined {
  const args = ["mcp", "add", "--scope", "user", "t9-ipc", "--", command, SERVER];
  const { hasSucceeded, isMissing, output } = runProgram(env, "claude", ...args);
  if (isMissing) return undefined;
  if (!hasSucceeded) throw new Error(`claude ${args.join(" ")}: ${output}`);
  return output;
}

/** Resolves to false if this installation's entry was not there. */
async function removeEntry(config: Config, print: Print): Promise<boolean> {
  const { path, isOurs } = findEntry(config);
  if (!isOurs) return false;

  const before = readJsonBackup<ClaudeJson>(path);
  await restoreValue(path, PLACE, before?.mcpServers?.["t9-ipc"]);
  print(`Removed from ${path}.`);
  return true;
}

/** The entry for all projects, and whether it is one that `setup` writes for this installation. */
function findEntry(config: Config) {
  const { path, json } = readClaudeJson(config);
  const entry = json.mcpServers?.["t9-ipc"];
  const isOurs = isSamePath(entry?.args?.[0] ?? "", SERVER) && entry?.cwd === undefined;
  return { path, entry, isOurs };
}
