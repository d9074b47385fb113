import { join } from "node:path";
import type { Config } from "../config.ts";
import { settingsLayers, toolsAllowed } from "../delivery/claude-settings.ts";
import { TOOLS } from "../mcp/tools.ts";
import { keepBackup, readBackup, readJson, setValue, undo, withValue } from "./json-file.ts";
import { ask, type Print } from "./print.ts";

/** The rule for the tools of the server that `setup` registers, and the one for those of the plugin. */
export const SERVER_RULE = "mcp__t9-ipc";
export const PLUGIN_RULE = "mcp__plugin_t9-ipc_t9-ipc";
const TOOL_NAMES = TOOLS.map(({ name }) => name);
const QUESTION = `Claude asks you before it uses a tool: a session that mail wakes while you are away stops there, and does
not read it. May Claude use the five tools of t9-ipc, and nothing else, without asking?`;

export interface Settings {
  permissions: { allow?: string[] };
  enabledPlugins: Record<string, boolean>;
  extraKnownMarketplaces: Record<string, { source?: { path?: string } }>;
}

/** The user's own settings. Throws where they are not what Claude Code would take. */
export function readSettings({ claudeDir }: Config) {
  const file = readJson<Settings>(join(claudeDir, "settings.json"));
  const { allow = [] } = file.json.permissions ?? {};
  if (!Array.isArray(allow)) throw new Error(`${file.path}: "allow" is no list. Nothing was changed: mend it first.`);
  return { ...file, allow };
}

/** Whether Claude may use our tools without asking, in the folder where we run: what holds, else what is wrong, and what to do. */
export function permission(rule: string, config: Config): { what: string; problem?: string; remedy?: string } {
  const ruling = toolsAllowed(settingsLayers(config.claudeDir, config.folder), rule, TOOL_NAMES);
  const by = ruling && `"${ruling.list}": "${ruling.rule}" in ${ruling.path}`;
  if (ruling?.list === "allow") return { what: `Claude may use the tools without asking, by ${by}` };
  const what = `Claude may use the tools without asking (${rule})`;
  if (by) return { what, problem: `${by} wins over what is allowed`, remedy: `take it out there, or narrow it` };
  const words = JSON.stringify({ permissions: { allow: [rule] } });
  const command = `setup --allow${rule === PLUGIN_RULE ? " --plugin" : ""}`;
  return {
    what,
    problem: "no: it asks, and a session that mail wakes while you are away stops there",
    remedy: `run ${command}, or add to ${join(config.claudeDir, "settings.json")}: ${words}`,
  };
}

/** Lets Claude use our tools without asking, where `isWanted` or the user says so; says what holds then. */
export async function allowTools(rule: string, isWanted: boolean, config: Config, print: Print): Promise<void> {
  const { path, json, allow } = readSettings(config);
  const isOpen = toolsAllowed([{ path, json: { ...json }, isManaged: false }], rule, TOOL_NAMES) === undefined;
  if (isOpen && (isWanted || (await ask(QUESTION)))) {
    keepBackup(path, JSON.stringify(json).includes("t9-ipc"));
    const place = ["permissions", "allow"];
    await (json.permissions?.allow ? setValue(path, [...place, allow.length], rule) : setValue(path, place, [rule]));
    print(`Allowed ${rule} in ${path}`);
  }
  const { what, problem, remedy } = permission(rule, config);
  print(problem ? `${what}: ${problem}.\n→ ${remedy}` : `${what}.`);
}

/** Takes back the rules that `allowTools` added; gives whether there was one. The user's own stay. */
export async function disallowTools(config: Config, print: Print): Promise<boolean> {
  const { path } = readSettings(config);
  const before = readBackup<Settings>(path);
  if (!before) return false;
  await undo(path, (text) =>
    [SERVER_RULE, PLUGIN_RULE].reduce((rest, rule) => {
      const index = JSON.parse(rest.trim() || "{}").permissions?.allow?.indexOf(rule) ?? -1;
      const isOurs = index >= 0 && !before.permissions?.allow?.includes(rule);
      return isOurs ? withValue(rest, ["permissions", "allow", index], undefined) : rest;
    }, text),
  );
  print(`Taken back in ${path}.`);
  return true;
}
