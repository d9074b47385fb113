import { dirname } from "node:path";
import { type Config, SERVER } from "../../config.ts";
import { isSamePath } from "../../core/paths.ts";
import { type Finding, warning } from "../finding.ts";
import type { Print } from "../print.ts";
import { isAtLeast, runProgram } from "../programs.ts";
import { keepBackup } from "../user-file.ts";
import { readSettings } from "./permissions.ts";

const PLUGIN = "t9-ipc@t9-ipc";
const MARKETPLACE = "t9-ipc";
/** The built folder is a marketplace with one plugin, which runs in place. */
const MARKETPLACE_PATH = dirname(SERVER);

/** Older versions do not watch files for a hook. */
const LEAST_FOR_HOOK = "2.1.160";

/** The version of `claude` on PATH; undefined if it is not found. */
export const claudeVersion = ({ env }: Config): string | undefined =>
  /^[\d.]+/.exec(runProgram(env, "claude", "--version").output)?.[0];

/** Nothing if the plugin's hook works in this version. */
export function checkHook(version: string | undefined): Finding[] {
  if (version === undefined || isAtLeast(version, LEAST_FOR_HOOK)) return [];
  const problem = `it needs Claude Code ${LEAST_FOR_HOOK}, and this is ${version}: it wakes no session`;
  const remedy = "claude update, or run setup without --plugin: the entry works in this version";
  return [warning("the plugin's hook", problem, remedy)];
}

/** Installs the plugin from this installation. Throws with the words of `claude` if it refuses. */
export function addPlugin(config: Config, print: Print): void {
  for (const { what, problem, remedy } of checkHook(claudeVersion(config))) {
    print(`${what}: ${problem}\n→ ${remedy}`);
  }
  const { path, isOurs, isEnabled } = findPlugin(config);
  if (isOurs && isEnabled) {
    print(`${path} has the plugin already: nothing was changed.`);
    return;
  }

  keepBackup(path);
  runClaudePlugin(config, print, "marketplace", "add", MARKETPLACE_PATH);
  runClaudePlugin(config, print, "install", PLUGIN);
}

/** Returns false if this installation's plugin was not there. */
export function removePlugin(config: Config, print: Print): boolean {
  const { isOurs, isEnabled } = findPlugin(config);
  if (!isOurs) return false;

  if (isEnabled !== undefined) runClaudePlugin(config, print, "uninstall", PLUGIN);
  runClaudePlugin(config, print, "marketplace", "remove", MARKETPLACE);
  return true;
}

/** Whether the user's settings know this installation as a marketplace, and its plugin. */
function findPlugin(config: Config) {
  const { path, json } = readSettings(config);
  const { source } = json.extraKnownMarketplaces?.[MARKETPLACE] ?? {};
  return {
    path,
    isOurs: isSamePath(source?.path ?? "", MARKETPLACE_PATH),
    /** Undefined if the plugin is not installed. */
    isEnabled: json.enabledPlugins?.[PLUGIN],
  };
}

function runClaudePlugin({ env }: Config, print: Print, ...args: string[]): void {
  const { hasSucceeded, isMissing, output } = runProgram(env, "claude", "plugin", ...args);
  if (!hasSucceeded) {
    const reason = isMissing ? "claude is not on PATH" : output;
    throw new Error(`claude plugin ${args.join(" ")}: ${reason}`);
  }
  print(output);
}
