import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type Config, readConfig, SERVER } from "../../config.ts";
import { isFrom, run } from "../programs.ts";
import type { Report } from "../report.ts";
import { readClaudeJson, type Servers } from "./claude-json.ts";
import { PLUGIN_RULE, permission, SERVER_RULE } from "./permissions.ts";
import { crossSessionInbound, settingsLayers } from "./settings.ts";

export async function checkClaude(
  report: Report,
  config: Config,
  toolPrefixes: readonly string[],
): Promise<void> {
  const version = /^[\d.]+/.exec(run("claude", "--version").said)?.[0] ?? "";
  const lacks = ["2.1.80, no channels", "2.1.224, no inbox socket"].find(
    (least) => !isFrom(version, least),
  );
  const problem = version ? lacks && `older than ${lacks}` : "claude is not on PATH";
  report(`Claude Code ${version}`.trim(), problem, version && "claude update", "warning");
  const { path, json } = readClaudeJson();
  const all: [string, Servers][] = [["", json], ...Object.entries(json.projects ?? {})];
  const found = all.filter(([, { mcpServers }]) => mcpServers?.["t9-ipc"]);
  const layers = settingsLayers(config.claudeDir, config.folder);
  const plugins = layers.flatMap(({ json }) =>
    Object.entries({ ...(json.enabledPlugins as object) }),
  );
  const isPlugin =
    plugins.some(([name, isOn]) => isOn && name.startsWith("t9-ipc@")) ||
    toolPrefixes.some((prefix) => prefix.startsWith(PLUGIN_RULE)); // by --plugin-dir
  report(path, found.length === 0 && !isPlugin && "no t9-ipc entry, nor the plugin", "run setup");
  for (const [project, { mcpServers }] of found) {
    const { command, args = [], cwd, env } = mcpServers?.["t9-ipc"] ?? {};
    const what = [command, ...args, project && `(in ${project})`].join(" ").trim();
    const remedy = project ? `claude mcp remove --scope local t9-ipc, in ${project}` : "run setup";
    const script = args.find((arg) => /\.(\w?js|py)$/.test(arg)) ?? SERVER; // else it is npx or the like
    if (!isAbsolute(script))
      report(what, 'the path must be absolute: Claude Code ignores "cwd"', remedy);
    else if (!existsSync(script)) report(what, "there is no such file", remedy);
    else report(what, script !== SERVER && `not this installation, ${SERVER}`, remedy, "warning");
    if (cwd !== undefined) report(what, 'Claude Code ignores "cwd"', remedy, "warning");
    const { dir } = readConfig({ ...process.env, ...env }, process.cwd(), () => {});
    if (dir !== config.dir)
      report(what, `its mail is in ${dir}, not ${config.dir}`, `export IPC_DIR=${dir}`, "warning");
  }
  const servers = [
    found.length > 0 && ["t9-ipc", SERVER_RULE],
    isPlugin && ["plugin:t9-ipc:t9-ipc", PLUGIN_RULE],
  ];
  for (const [name = "", rule = ""] of servers.filter((each) => each !== false)) {
    const status = /Status: (.*)/.exec(run("claude", "mcp", "get", name).said)?.[1];
    if (status)
      report("Claude Code starts it", !status.includes("Connected") && status, "claude --debug");
    report(...permission(rule, config), "warning");
  }
}

export function checkInboxSocket(report: Report, config: Config): void {
  const layers = settingsLayers(config.claudeDir, config.folder);
  const inbound = crossSessionInbound(layers);
  const by = layers.find(
    ({ json }) => json.crossSessionInbound !== undefined && json.crossSessionInbound !== "accept",
  );
  const shut =
    by &&
    inbound !== "accept" &&
    `"${inbound}" in ${by.path}: no session is woken by its inbox socket`;
  if (shut)
    report(
      "crossSessionInbound",
      shut,
      "take it out there, or setup --plugin: its hook wakes instead",
      "warning",
    );
}
