import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type Config, readConfig, SERVER } from "../../config.ts";
import { isInConversation, type Session } from "../../core/heartbeats.ts";
import { isSamePath } from "../../core/paths.ts";
import { broken, type Finding, ok, warning } from "../finding.ts";
import { isAtLeast, runProgram } from "../programs.ts";
import { checkStart } from "../try-server.ts";
import { backupTime } from "../user-file.ts";
import {
  type ClaudeJson,
  findRegistrations,
  type McpEntry,
  type Registration,
  readClaudeJson,
} from "./claude-json.ts";
import { type ClaudeHome, otherHomes } from "./homes.ts";
import { checkPermission, PLUGIN_RULE, SERVER_RULE } from "./permissions.ts";
import { checkHook, claudeVersion } from "./plugin.ts";
import { type RunningSession, runningSessions } from "./running-sessions.ts";
import { crossSessionInbound, settingsLayers } from "./settings.ts";

/**
 * Everything that Claude Code needs for its sessions to get mail.
 *
 * @param served the sessions on this machine that have a server of ours
 */
export async function* checkClaude(
  config: Config,
  served: readonly Session[],
): AsyncGenerator<Finding> {
  const version = claudeVersion(config);
  yield checkVersion(version);

  const { path, json } = readClaudeJson(config);
  const registrations = findRegistrations(json);
  const isPlugin = hasPlugin(config, served);
  if (registrations.length > 0 || isPlugin) yield ok(path);
  else yield broken(path, "no t9-ipc entry, nor the plugin", "run setup");

  for (const registration of registrations) yield* checkEntry(config, registration);
  yield* checkNameForAll(config, json);
  for (const home of otherHomes(config)) yield* checkOtherHome(config, home);

  if (registrations.length > 0) yield* checkServer(config, "t9-ipc", SERVER_RULE);
  if (isPlugin) {
    const remedy = "run setup, whose entry has the path of Node, instead of the plugin";
    yield* checkHook(version);
    yield await checkStart(config, { command: "node", args: [SERVER] }, remedy);
    yield* checkServer(config, "plugin:t9-ipc:t9-ipc", PLUGIN_RULE);
  }
  yield* checkInboxSocket(config);

  yield* checkRunningSessions(config, isPlugin, served);
  for (const home of otherHomes(config)) yield* checkRunningSessions(home, false, served);
}

function checkVersion(version: string | undefined): Finding {
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
function hasPlugin({ claudeDir, folder }: Config, served: readonly Session[]): boolean {
  const plugins = settingsLayers(claudeDir, folder).flatMap(({ json }) =>
    Object.entries({ ...(json.enabledPlugins as object) }),
  );
  return (
    plugins.some(([name, isEnabled]) => isEnabled && name.startsWith("t9-ipc@")) ||
    served.some(({ entry }) => entry.tool_prefix?.startsWith(PLUGIN_RULE))
  );
}

async function* checkEntry(config: Config, registration: Registration): AsyncGenerator<Finding> {
  const { entry, project } = registration;
  const { command = "", args = [], cwd, env } = entry;
  const what = commandLine(registration);
  const remedy = project ? `claude mcp remove --scope local t9-ipc, in ${project}` : "run setup";

  if (cwd !== undefined) yield warning(what, 'Claude Code ignores "cwd"', remedy);
  const { dir } = readConfig({ ...config.env, ...env }, config.folder, () => {});
  if (!isSamePath(dir, config.dir)) {
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
  if (isSamePath(script, SERVER)) yield ok(what);
  else yield warning(what, `not this installation, ${SERVER}`, remedy);

  yield await checkStart(config, { command, args, env }, remedy);
}

/** An entry in a line for the user. */
function commandLine({ entry: { command = "", args = [] }, project }: Registration): string {
  return [command, ...args, project && `(in ${project})`].filter(Boolean).join(" ");
}

/**
 * Only one session can have a name. An environment that all sessions share must not ask for one.
 */
function* checkNameForAll(config: Config, claudeJson: Partial<ClaudeJson>): Generator<Finding> {
  const entry = claudeJson.mcpServers?.["t9-ipc"];
  const layers = settingsLayers(config.claudeDir, config.folder);
  const sources = [
    { path: config.claudeJson, env: entry?.env },
    ...layers.map(({ path, json }) => ({ path, env: json.env as McpEntry["env"] })),
  ];
  for (const { path, env } of sources) {
    const name = env?.IPC_SESSION_ID;
    if (!name) continue;
    yield warning(
      `IPC_SESSION_ID=${name} in ${path}`,
      "every session asks for this name, and only one can have it",
      "remove it there",
    );
  }
}

/**
 * Sessions with another CLAUDE_CONFIG_DIR may start another installation, in another data folder.
 */
function* checkOtherHome(config: Config, { claudeJson }: ClaudeHome): Generator<Finding> {
  const { path, json } = readClaudeJson({ claudeJson });
  for (const registration of findRegistrations(json)) {
    const what = `${path}: ${commandLine(registration)}`;
    const env = { ...config.env, ...registration.entry.env };
    const { dir } = readConfig(env, config.folder, () => {});
    if (isSamePath(dir, config.dir)) {
      yield ok(what);
    } else {
      yield warning(what, `its mail is in ${dir}, not ${config.dir}`, "use one IPC_DIR in both");
    }
  }
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

/** The sessions of one configuration that run now, and have no server of ours. */
function* checkRunningSessions(
  home: ClaudeHome,
  isPlugin: boolean,
  served: readonly Session[],
): Generator<Finding> {
  const running = runningSessions(home.claudeDir);
  const without = running.filter((session) => !served.some((each) => isServerOf(each, session)));
  const count = running.length - without.length;
  if (count > 0) yield ok(`Claude Code sessions that run with t9-ipc: ${count}`);

  for (const session of without) {
    const { pid, name, folder } = session;
    const label = [name, `PID ${pid}`, folder && `in ${folder}`].filter(Boolean).join(", ");
    const { problem, remedy } = whyWithoutServer(session, home, isPlugin);
    yield warning(`a Claude Code session (${label}) has no t9-ipc`, problem, remedy);
  }
}

function isServerOf(served: Session, { pid, conversation }: RunningSession): boolean {
  const { claude_pid: agentPid } = served.entry;
  return agentPid === undefined ? isInConversation(served, conversation) : agentPid === pid;
}

function whyWithoutServer(
  { argv, folder = "", startedAt }: RunningSession,
  home: ClaudeHome,
  isPlugin: boolean,
): { problem: string; remedy: string } {
  if (argv.includes("--strict-mcp-config")) {
    return {
      problem: "it was started with --strict-mcp-config",
      remedy: "start it without, or add t9-ipc to its --mcp-config",
    };
  }

  const { path, json } = readClaudeJson(home);
  // On Windows, Claude Code writes a project's folder with slashes there.
  const projects = Object.entries(json.projects ?? {});
  const project = projects.find(([path]) => isSamePath(path, folder))?.[1];
  const disabled = project?.disabledMcpServers ?? [];
  const disabledName = disabled.find((name) => /^(plugin:t9-ipc:)?t9-ipc$/.test(name));
  if (disabledName) {
    const problem = `${disabledName} is disabled in ${folder}`;
    return { problem, remedy: `type /mcp enable ${disabledName} in it` };
  }

  const isRegistered =
    isPlugin ||
    findRegistrations(json).some(
      ({ project }) => project === undefined || isSamePath(project, folder),
    );
  if (!isRegistered) {
    const problem = `${path} has no t9-ipc entry for it`;
    return { problem, remedy: home.setup ?? "run setup" };
  }

  const setupAt = latestSetup(home);
  if (startedAt !== undefined && setupAt !== undefined && startedAt < setupAt) {
    return { problem: "it was started before setup", remedy: "restart it (claude --continue)" };
  }
  return { problem: "its server has ended, or was not started", remedy: "type /mcp in it to see" };
}

/** When `setup` changed the files last, in milliseconds since 1970: the backups are that old. */
function latestSetup({ claudeDir, claudeJson }: ClaudeHome): number | undefined {
  const paths = [claudeJson, join(claudeDir, "settings.json")];
  const times = paths.flatMap((path) => backupTime(path) ?? []);
  return times.length > 0 ? Math.max(...times) : undefined;
}
