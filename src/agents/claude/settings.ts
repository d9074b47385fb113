import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One of Claude Code's settings files. No other file can override an administrator's. */
export interface Layer {
  readonly path: string;
  readonly json: Settings;
  readonly isManaged: boolean;
}

type Settings = Record<string, unknown> & {
  readonly permissions?: Readonly<Record<string, unknown>>;
};

/** The folder of an administrator's settings (Claude Code's documentation, "Settings files"). */
function managedFolder(platform: string): string {
  if (platform === "darwin") return "/Library/Application Support/ClaudeCode";
  if (platform === "win32") return "C:\\Program Files\\ClaudeCode";
  return "/etc/claude-code";
}

/**
 * The settings files that hold in a project, strongest first. Files that are missing or not JSON
 * are left out.
 */
export function settingsLayers(
  claudeDir: string,
  project: string,
  managed = managedFolder(process.platform),
): Layer[] {
  const managedPaths = [...managedParts(managed), join(managed, "managed-settings.json")];
  // In the home folder, the project's settings are the user's.
  const paths = new Set([
    join(project, ".claude", "settings.local.json"),
    join(project, ".claude", "settings.json"),
    join(claudeDir, "settings.json"),
  ]);
  return [
    ...managedPaths.flatMap((path) => readLayer(path, true)),
    ...[...paths].flatMap((path) => readLayer(path, false)),
  ];
}

/** An administrator's further files. Those that come later in the alphabet are stronger. */
function managedParts(managed: string): string[] {
  const folder = join(managed, "managed-settings.d");
  return tryList(folder)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .reverse()
    .map((file) => join(folder, file));
}

/** Empty if the folder is missing, or if this user may not list it. */
export function tryList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readLayer(path: string, isManaged: boolean): Layer | [] {
  try {
    return { path, json: { ...JSON.parse(readFileSync(path, "utf8")) }, isManaged };
  } catch {
    return [];
  }
}

/**
 * What Claude Code does with text from outside a session, our notice included. Undefined if no
 * settings file says anything.
 */
export function crossSessionInbound(
  layers: readonly Layer[],
): "accept" | "hold" | "refuse" | undefined {
  const deciding = layers.filter(({ json }) => json.crossSessionInbound !== undefined);
  const [strongest] = deciding;
  if (!strongest) return undefined;

  // An administrator's word is final. Otherwise the strictest holds: a project is never laxer.
  const binding = strongest.isManaged ? [strongest] : deciding;
  const values = binding.map(({ json }) => json.crossSessionInbound);
  if (values.includes("refuse")) return "refuse";
  // Claude Code holds the text if it does not know a value.
  return values.every((value) => value === "accept") ? "accept" : "hold";
}

/** In the order in which Claude Code applies them. */
const LISTS = ["deny", "ask", "allow"] as const;

export interface Rule {
  readonly list: (typeof LISTS)[number];
  readonly rule: string;
  readonly path: string;
}

/**
 * The rule that decides whether Claude may use these tools of a server (`mcp__NAME`) without
 * asking: a rule that denies a tool or makes Claude ask, else one that allows. Undefined if a tool
 * has no rule, and then Claude asks as well.
 */
export function toolsAllowed(
  layers: readonly Layer[],
  server: string,
  tools: readonly string[],
): Rule | undefined {
  const isLocked = layers.some(
    ({ json, isManaged }) => isManaged && json.allowManagedPermissionRulesOnly === true,
  );
  const binding = layers.filter(({ isManaged }) => isManaged || !isLocked);
  const rules = LISTS.flatMap((list) => binding.flatMap((layer) => rulesIn(list, layer)));

  const decisive = tools.map((tool) =>
    rules.find((rule) => matches(rule, server, `${server}__${tool}`)),
  );
  const against = decisive.find((rule) => rule && rule.list !== "allow");
  if (against) return against;
  return decisive.includes(undefined) ? undefined : decisive[0];
}

function rulesIn(list: Rule["list"], { path, json }: Layer): Rule[] {
  const rules = [json.permissions?.[list] ?? []].flat();
  return rules.map((rule) => ({ list, rule: String(rule), path }));
}

/** A pattern may match the server's name too, but not in a rule that allows. */
function matches({ list, rule }: Rule, server: string, tool: string): boolean {
  if (rule === server) return true;
  if (list === "allow" && !rule.startsWith(server)) return false;
  const escaped = rule.replace(/[^\w*-]/g, "\\$&").replaceAll("*", ".*");
  return new RegExp(`^${escaped}$`).test(tool);
}
