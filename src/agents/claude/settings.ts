import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One of Claude Code's settings files. What an administrator wrote cannot be changed by the others. */
export type Layer = { readonly path: string; readonly json: Settings; readonly isManaged: boolean };
type Settings = Record<string, unknown> & {
  readonly permissions?: Partial<Record<string, string[]>>;
};

/** Where an administrator's settings are (Claude Code's documentation, "Settings files"). */
const MANAGED =
  process.platform === "darwin" ? "/Library/Application Support/ClaudeCode" : "/etc/claude-code";

/** The settings files that count in a project, strongest first. Those that are missing or no JSON are left out. */
export function settingsLayers(claudeDir: string, project: string, managed = MANAGED): Layer[] {
  const parts = join(managed, "managed-settings.d");
  const added = existsSync(parts)
    ? readdirSync(parts).filter((file) => file.endsWith(".json"))
    : [];
  const ofManaged = [
    ...added
      .sort()
      .reverse()
      .map((file) => join(parts, file)),
    join(managed, "managed-settings.json"),
  ];
  const ofProject = ["settings.local.json", "settings.json"].map((file) =>
    join(project, ".claude", file),
  );
  return [...ofManaged, ...ofProject, join(claudeDir, "settings.json")].flatMap((path, index) => {
    try {
      return [
        {
          path,
          json: { ...JSON.parse(readFileSync(path, "utf8")) },
          isManaged: index < ofManaged.length,
        },
      ];
    } catch {
      return [];
    }
  });
}

/** What the settings say about text from outside a session, our pointer included; undefined: nothing. */
export function crossSessionInbound(
  layers: readonly Layer[],
): "accept" | "hold" | "refuse" | undefined {
  const telling = layers.filter(({ json }) => json.crossSessionInbound !== undefined);
  // An administrator's word is final. Otherwise the strictest counts, since a project can only be stricter.
  const values = (telling[0]?.isManaged ? telling.slice(0, 1) : telling).map(
    ({ json }) => json.crossSessionInbound,
  );
  // Where Claude Code does not know a value, it holds the text.
  const isAccepted = values.every((value) => value === "accept") && "accept";
  return values.length === 0
    ? undefined
    : values.includes("refuse")
      ? "refuse"
      : isAccepted || "hold";
}

const LISTS = ["deny", "ask", "allow"] as const; // in the order in which Claude Code looks at them
export type Rule = {
  readonly list: (typeof LISTS)[number];
  readonly rule: string;
  readonly path: string;
};

/**
 * May Claude use these tools of a server (`mcp__NAME`) without asking? Gives the rule that decides: one that forbids
 * a tool or makes Claude ask, else one that allows. Undefined where a tool has no rule: then Claude asks as well.
 */
export function toolsAllowed(
  layers: readonly Layer[],
  server: string,
  tools: readonly string[],
): Rule | undefined {
  const isLocked = layers.some(
    ({ json, isManaged }) => isManaged && json.allowManagedPermissionRulesOnly === true,
  );
  const counting = layers.filter(({ isManaged }) => isManaged || !isLocked);
  const rulesIn = (list: Rule["list"], { path, json }: Layer): Rule[] =>
    [json.permissions?.[list] ?? []].flat().map((rule) => ({ list, rule: String(rule), path }));
  const rules = LISTS.flatMap((list) => counting.flatMap((layer) => rulesIn(list, layer)));
  const deciding = tools.map((tool) =>
    rules.find((rule) => covers(rule, server, `${server}__${tool}`)),
  );
  const against = deciding.find((rule) => rule && rule.list !== "allow");
  return against ?? (deciding.includes(undefined) ? undefined : deciding[0]);
}

/** A pattern may stand for the server's name as well, but not in a rule that allows. */
function covers({ list, rule }: Rule, server: string, tool: string): boolean {
  const pattern = new RegExp(`^${rule.replace(/[^\w*-]/g, "\\$&").replaceAll("*", ".*")}$`);
  return rule === server || (pattern.test(tool) && (list !== "allow" || rule.startsWith(server)));
}
