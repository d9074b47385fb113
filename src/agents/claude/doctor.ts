import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type Config, readConfig, SERVER } from "../../config.ts";
import { broken, type Finding, ok, warning } from "../finding.ts";
import type { LiveServer } from "../live-server.ts";
import { isAtLeast, runProgram } from "../programs.ts";
import { checkStart } from "../try-server.ts";
import { findRegistrations, type McpEntry, readClaudeJson } from "./claude-json.ts";
import { checkPermission, PLUGIN_RULE, SERVER_RULE } from "./permissions.ts";
import { crossSessionInbound, settingsLayers } from "./settings.ts";

/** Everything that Claude Code needs for its sessions to get mail. */
export async function* checkClaude(
  config: Config,
  servers: readonly LiveServer[],
): AsyncGenerator<Finding> {
  yield checkVersion(config);

  const { path, json } = readClaudeJson(config);
  const registrations = findRegistrations(json);
  const isPlugin = hasPlugin(config, servers);
  if (registrations.length > 0 || isPlugin) yield ok(path);
  else yield broken(path, "no t9-ipc entry, nor the plugin", "run setup");

  for (const { entry, project } of registrations) yield* checkEntry(config, entry, project);

  if (registrations.length > 0) yield* checkServer(config, "t9-ipc", SERVER_RULE);
  if (isPlugin) {
    const remedy = "run setup, whose entry has the path of Node, instead of the plugin";
    yield await checkStart(config, { command: "node", args: [SERVER] }, remedy);
    yield* checkServer(config, "plugin:t9-ipc:t9-ipc", PLUGIN_RULE);
  }
  yield* checkInboxSocket(config);
}

function checkVersion({ env }: Config): Finding {
  const version = /^[\d.]+/.exec(runProgram(env, "claude", "--version").output)?.[0];
  if (!version) return warning("Claude Code", "claude is not on PATH", "");

  const what = `Claude Code ${version}`;
  if (!isAtLeast(version, "2.1.80")) {
    return warning(what, "older than 2.1.80, no channels", "claude update");
  }
  if (!isAtLeast(version, "2.1.224")) {
    return warning(what, "older than 2.1.224, no inbox socket", "claude update");
  }
  return ok(what);
}

/** True if the plugin is switched on, or a session runs with it by `--plugin-dir`. */
function hasPlugin({ claudeDir, folder }: Config, servers: readonly LiveServer[]): boolean {
  const plugins = settingsLayers(claudeDir, folder).flatMap(({ json }) =>
    Object.entries({ ...(json.enabledPlugins as object) }),
  );
  return (
    plugins.some(([name, isEnabled]) => isEnabled && name.startsWith("t9-ipc@")) ||
    servers.some(({ toolPrefix }) => toolPrefix?.startsWith(PLUGIN_RULE))
  );
}

async function* checkEntry(
  config: Config,
  { command = "", args = [], cwd, env }: McpEntry,
  project: string | undefined,
): AsyncGenerator<Finding> {
  const what = [command, ...args, project && `(in ${project})`].filter(Boolean).join(" ");
  const remedy = project ? `claude mcp remove --scope local t9-ipc, in ${project}` : "run setup";

  if (cwd !== undefined) yield warning(what, 'Claude Code ignores "cwd"', remedy);
  const { dir } = readConfig({ ...config.env, ...env }, config.folder, () => {});
  if (dir !== config.dir) {
    yield warning(what, `its mail is in ${dir}, not ${config.dir}`, `export IPC_DIR=${dir}`);
  }

  // An entry without a script starts npx or the like.
  const script = args.find((arg) => /\.(\w?js|py)$/.test(arg)) ?? SERVER;
  if (!isAbsolute(script)) {
    yield broken(what, 'the path must be absolute: Claude Code ignores "cwd"', remedy);
    return;
  }
  if (!existsSync(script)) {
    yield broken(what, "there is no such file", remedy);
    return;
  }
  if (script === SERVER) yield ok(what);
  else yield warning(what, `not this installation, ${SERVER}`, remedy);

  yield await checkStart(config, { command, args, env }, remedy);
}

/** Whether Claude Code itself can start a server, and may use its tools. */
function* checkServer(config: Config, name: string, rule: string): Generator<Finding> {
  const { output } = runProgram(config.env, "claude", "mcp", "get", name);
  const status = /Status: (.*)/.exec(output)?.[1];
  if (status?.includes("Connected")) yield ok("Claude Code starts it");
  else if (status) yield broken("Claude Code starts it", status, "claude --debug");

  yield checkPermission(rule, config);
}

function* checkInboxSocket({ claudeDir, folder }: Config): Generator<Finding> {
  const layers = settingsLayers(claudeDir, folder);
  const inbound = crossSessionInbound(layers);
  const layer = layers.find(
    ({ json }) => json.crossSessionInbound !== undefined && json.crossSessionInbound !== "accept",
  );
  if (!layer || inbound === "accept") return;
  yield warning(
    "crossSessionInbound",
    `"${inbound}" in ${layer.path}: no session is woken by its inbox socket`,
    "remove it there, or run setup --plugin, whose hook wakes instead",
  );
}
