import { join } from "node:path";
import type { Config } from "../../config.ts";
import { type Finding, ok, warning } from "../finding.ts";
import type { Print } from "../print.ts";
import { readJsonBackup, readJsonFile, restoreValue, setValue } from "./json-file.ts";
import { settingsLayers, toolsAllowed } from "./settings.ts";

/** The rule for the tools of the server that `setup` registers, and the one for the plugin's. */
export const SERVER_RULE = "mcp__t9-ipc";
export const PLUGIN_RULE = "mcp__plugin_t9-ipc_t9-ipc";

const TOOL_NAMES = ["who", "send", "broadcast", "unread", "set_name"].map(
  (name) => `t9_ipc_${name}`,
);

export interface UserSettings {
  readonly permissions: { readonly allow?: readonly string[] };
  readonly statusLine: { readonly command?: unknown };
  readonly enabledPlugins: Readonly<Record<string, boolean>>;
  readonly extraKnownMarketplaces: Readonly<Record<string, { source?: { path?: string } }>>;
}

/** The user's own settings. Throws if Claude Code could not use them either. */
export function readSettings({ claudeDir }: Config) {
  const file = readJsonFile<UserSettings>(join(claudeDir, "settings.json"));
  const { allow = [] } = file.json.permissions ?? {};
  if (!Array.isArray(allow)) {
    throw new Error(`${file.path}: "allow" is not a list. Nothing was changed: fix it first.`);
  }
  return { ...file, allow: allow as readonly string[] };
}

/**
 * Whether Claude may use the tools of this rule's server without asking, in the current project.
 */
export function checkPermission(rule: string, { claudeDir, folder }: Config): Finding {
  const what = `Claude may use the tools of ${rule} without asking`;
  const decisive = toolsAllowed(settingsLayers(claudeDir, folder), rule, TOOL_NAMES);
  if (!decisive) {
    const words = JSON.stringify({ permissions: { allow: [rule] } });
    const command = `setup --allow${rule === PLUGIN_RULE ? " --plugin" : ""}`;
    return warning(
      what,
      "no rule allows it: a session that mail wakes while you are away stops at the question",
      `run ${command}, or add to ${join(claudeDir, "settings.json")}: ${words}`,
    );
  }

  const { list, rule: decisiveRule, path } = decisive;
  const source = `"${decisiveRule}" under "${list}" in ${path}`;
  if (list === "allow") return ok(`${what}: ${source}`);
  return warning(what, `${source} wins over what is allowed`, "remove that rule, or narrow it");
}

/** Lets Claude use our tools without asking, if `isAllowed` says so, and prints what holds then. */
export async function allowTools(
  rule: string,
  isAllowed: () => Promise<boolean>,
  config: Config,
  print: Print,
): Promise<void> {
  const { path, json, allow } = readSettings(config);
  const userLayer = { path, json: { ...json }, isManaged: false };
  const isUndecided = toolsAllowed([userLayer], rule, TOOL_NAMES) === undefined;
  if (isUndecided && (await isAllowed())) {
    const place = ["permissions", "allow"];
    if (json.permissions?.allow) await setValue(path, [...place, allow.length], rule);
    else await setValue(path, place, [rule]);
  }

  const { what, problem, remedy } = checkPermission(rule, config);
  print(problem ? `${what}: ${problem}\n→ ${remedy}` : what);
}

/**
 * Removes the rules that `allowTools` added. The user's own rules stay. Resolves to false if we
 * have never changed the settings.
 */
export async function disallowTools(config: Config, print: Print): Promise<boolean> {
  const { path, allow } = readSettings(config);
  const before = readJsonBackup<UserSettings>(path);
  if (!before) return false;

  const allowedBefore = before.permissions?.allow;
  const isAdded = (rule: string): boolean =>
    [SERVER_RULE, PLUGIN_RULE].includes(rule) && !allowedBefore?.includes(rule);
  const kept = allow.filter((rule) => !isAdded(rule));
  const isListNeeded = kept.length > 0 || allowedBefore !== undefined;
  await restoreValue(path, ["permissions", "allow"], isListNeeded ? kept : undefined);

  print(`Removed from ${path}.`);
  return true;
}
