import { join } from "node:path";
import type { Config } from "../../config.ts";
import type { Print } from "../report.ts";
import { readBackup, readJson, restore, setValue, withValue } from "./json-file.ts";
import { settingsLayers, toolsAllowed } from "./settings.ts";

/** The rule for the tools of the server that `setup` registers, and the one for those of the plugin. */
export const SERVER_RULE = "mcp__t9-ipc";
export const PLUGIN_RULE = "mcp__plugin_t9-ipc_t9-ipc";
const TOOL_NAMES = ["who", "send", "broadcast", "unread", "set_name"].map(
  (name) => `t9_ipc_${name}`,
);
/** What `setup` asks once, and why. */
export const QUESTION = `A session that mail wakes while you are away stops where it has to ask you before it uses a tool.
May it use the five tools of t9-ipc, and nothing else, without asking?`;

export interface Settings {
  permissions: { allow?: string[] };
  enabledPlugins: Record<string, boolean>;
  extraKnownMarketplaces: Record<string, { source?: { path?: string } }>;
}

/** The user's own settings. Throws where they are not what Claude Code takes. */
export function readSettings({ claudeDir }: Config) {
  const file = readJson<Settings>(join(claudeDir, "settings.json"));
  const { allow = [] } = file.json.permissions ?? {};
  if (!Array.isArray(allow))
    throw new Error(`${file.path}: "allow" is no list. Nothing was changed: mend it first.`);
  return { ...file, allow };
}

/** May Claude use our tools without asking, where we run? A finding, in the order in which `doctor` reports one. */
export function permission(
  rule: string,
  { claudeDir, folder }: Config,
): [what: string, problem: string, remedy: string] {
  const ruling = toolsAllowed(settingsLayers(claudeDir, folder), rule, TOOL_NAMES);
  const by = ruling ? `"${ruling.rule}" under "${ruling.list}" in ${ruling.path}` : "no rule";
  const what = `Claude may use the tools of ${rule} without asking`;
  if (ruling?.list === "allow") return [`${what}: ${by}`, "", ""];
  if (ruling) return [what, `${by} wins over what is allowed`, "take that rule out, or narrow it"];
  const words = JSON.stringify({ permissions: { allow: [rule] } });
  const command = `setup --allow${rule === PLUGIN_RULE ? " --plugin" : ""}`;
  const remedy = `run ${command}, or add to ${join(claudeDir, "settings.json")}: ${words}`;
  return [
    what,
    "no rule allows it: a session that mail wakes while you are away stops at the question",
    remedy,
  ];
}

/** Lets Claude use our tools without asking, where `isWanted` or the user says so; says what holds then. */
export async function allowTools(
  rule: string,
  isWanted: () => Promise<boolean>,
  config: Config,
  print: Print,
): Promise<void> {
  const { path, json, allow } = readSettings(config);
  const isOpen =
    toolsAllowed([{ path, json: { ...json }, isManaged: false }], rule, TOOL_NAMES) === undefined;
  if (isOpen && (await isWanted())) {
    const [place, value] = json.permissions?.allow ? [[allow.length], rule] : [[], [rule]];
    await setValue(path, ["permissions", "allow", ...place], value);
  }
  const [what, problem, remedy] = permission(rule, config);
  print(`${what}${problem && `: ${problem}\n→ ${remedy}`}`);
}

/** Takes back the rules that `allowTools` added; gives whether we have been there. The user's own rules stay. */
export async function disallowTools(config: Config, print: Print): Promise<boolean> {
  const { path, allow } = readSettings(config);
  const before = readBackup<Settings>(path);
  if (!before) return false;
  const isOurs = (rule: string): boolean => rule === SERVER_RULE || rule === PLUGIN_RULE;
  const had = before.permissions?.allow ?? [];
  const kept = allow.filter((rule) => !isOurs(rule) || had.includes(rule));
  const isThere = kept.length < allow.length;
  await restore(path, (text) => (isThere ? withValue(text, ["permissions", "allow"], kept) : text));
  print(`Taken back in ${path}.`);
  return true;
}
