import fs from "node:fs";
import { isAbsolute, join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { type Config, readConfig, SERVER } from "../config.ts";
import { crossSessionInbound, settingsLayers } from "../delivery/claude-settings.ts";
import { routeOf } from "../delivery/route.ts";
import { reasonOf } from "../files.ts";
import { openCache } from "../mail/cache.ts";
import { Inbox, readMessage } from "../mail/inbox.ts";
import { isMessageName } from "../mail/message.ts";
import { warnIfShared } from "../mcp/session.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { demo } from "./demo.ts";
import { PLUGIN_RULE, permission, SERVER_RULE } from "./permissions.ts";
import { type Check, type Print, type Report, run } from "./print.ts";
import { readClaudeJson, type Servers } from "./setup.ts";

const COLOURS = { ok: "green", warning: "yellow", broken: "red" } as const;

/** Looks at all that must hold for mail to arrive and prints each finding; gives 1 where something is broken. */
export async function doctor(config: Config, json: boolean, print: Print): Promise<number> {
  let code = 0;
  const report: Report = (what, problem, remedy = "", bad = "broken") => {
    const state = problem ? bad : "ok";
    if (state === "broken") code = 1;
    const text = `${state.padEnd(8)} ${what}${problem ? `: ${problem}${remedy && `\n         → ${remedy}`}` : ""}`;
    print(json ? { state, what, ...(problem && { problem, remedy }) } : text, COLOURS[state]);
  };
  for (const check of CHECKS) {
    await check(report, config).catch((error) => report("cannot look further", error.message, "mend that first"));
  }
  return code;
}

/** In the order in which they are made. */
const CHECKS: readonly Check[] = [program, registration, folder, receiving];

const isFrom = (version: string, least: string): boolean => version.localeCompare(least, "en", { numeric: true }) >= 0;

async function program(report: Report, config: Config): Promise<void> {
  const { node } = process.versions;
  const least = packageJson.engines.node.slice(2);
  report(`Node ${node}`, !isFrom(node, least) && "too old", `install ${least} or newer`);
  await demo(() => 0).then(
    (ms) => report(`${SERVER}: a message from server to server takes ${ms.toFixed(1)} ms`),
    (error) => report(SERVER, reasonOf(error), "npm install && npm run build in its folder, or install it anew"),
  );
  const problems: string[] = [];
  openCache(config.db, (line) => problems.push(line))?.close();
  report("better-sqlite3", problems[0], "only large inboxes need it: install or npm rebuild it", "warning");
}

async function registration(report: Report, config: Config): Promise<void> {
  const version = /^[\d.]+/.exec(run("claude", "--version").said)?.[0] ?? "";
  const lacks = ["2.1.80, no channels", "2.1.224, no inbox socket"].find((least) => !isFrom(version, least));
  const problem = version ? lacks && `older than ${lacks}` : "claude is not on PATH";
  report(`Claude Code ${version}`.trim(), problem, version && "claude update", "warning");
  const { path, json } = readClaudeJson();
  const all: [string, Servers][] = [["", json], ...Object.entries(json.projects ?? {})];
  const found = all.filter(([, { mcpServers }]) => mcpServers?.["t9-ipc"]);
  const layers = settingsLayers(config.claudeDir, config.folder);
  const plugins = layers.flatMap(({ json }) => Object.entries({ ...(json.enabledPlugins as object) }));
  const hasPlugin =
    plugins.some(([name, isOn]) => isOn && name.startsWith("t9-ipc@")) ||
    new Heartbeats(config).online().some(({ entry }) => entry.tool_prefix?.startsWith(PLUGIN_RULE));
  report(path, !found.length && !hasPlugin && "no t9-ipc entry, nor the plugin", "run setup");
  for (const [project, { mcpServers }] of found) {
    const { command, args = [], cwd, env } = mcpServers?.["t9-ipc"] ?? {};
    const what = [command, ...args, project && `(in ${project})`].join(" ").trim();
    const remedy = project ? `claude mcp remove --scope local t9-ipc, in ${project}` : "run setup";
    const script = args.find((arg) => /\.(\w?js|py)$/.test(arg)) ?? SERVER; // else it is npx or the like
    if (!isAbsolute(script)) report(what, 'the path must be absolute: Claude Code ignores "cwd"', remedy);
    else if (!fs.existsSync(script)) report(what, "there is no such file", remedy);
    else report(what, script !== SERVER && `not this installation, ${SERVER}`, remedy, "warning");
    if (cwd !== undefined) report(what, 'Claude Code ignores "cwd"', remedy, "warning");
    const { dir } = readConfig({ ...process.env, ...env }, process.cwd(), () => {});
    if (dir !== config.dir)
      report(what, `its mail is in ${dir}, not ${config.dir}`, `export IPC_DIR=${dir}`, "warning");
  }
  for (const [isThere, name, rule] of [
    [found.length > 0, "t9-ipc", SERVER_RULE],
    [hasPlugin, "plugin:t9-ipc:t9-ipc", PLUGIN_RULE],
  ] as const) {
    if (!isThere) continue;
    const status = /Status: (.*)/.exec(run("claude", "mcp", "get", name).said)?.[1];
    if (status) report("Claude Code starts it", !status.includes("Connected") && status, "claude --debug");
    const { what, problem, remedy } = permission(rule, config);
    report(what, problem, remedy, "warning");
  }
  const inbound = crossSessionInbound(layers);
  const by = layers.find(({ json }) => (json.crossSessionInbound ?? "accept") !== "accept")?.path;
  const remedy = "take it out there, or install the plugin, whose hook wakes a session instead: setup --plugin";
  if (by)
    report(
      `crossSessionInbound is "${inbound}"`,
      inbound !== "accept" && `an idle session is not woken by its inbox socket: ${by}`,
      remedy,
      "warning",
    );
}

async function folder(report: Report, config: Config): Promise<void> {
  const { dir, inbox, archive, read, heartbeats } = config;
  for (const path of [dir, inbox, archive, read].filter(fs.existsSync)) fs.accessSync(path, fs.constants.W_OK);
  const mail = new Inbox(config); // makes the folder
  await mail.reconcile();
  const stat = (path: string) => fs.lstatSync(path, { throwIfNoEntry: false });
  const uid = process.getuid?.();
  const files = ["", ...fs.readdirSync(dir, { recursive: true, encoding: "utf8" })];
  const foreign = files.find((file) => uid !== undefined && (stat(join(dir, file))?.uid ?? uid) !== uid);
  const chown = `sudo chown -R "$(id -un)" '${dir}'`;
  report(dir, foreign !== undefined && `another user owns ${foreign || "it"}, and maybe more`, chown);
  warnIfShared({ ...config, log: (line) => report(dir, line, `chmod -R go= '${dir}'`, "warning") });
  const { bavail, bsize } = fs.statfsSync(dir);
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  report(`${free} MB free`, free < 100 && "too little", "make room", free < 1 ? "broken" : "warning");
  for (const lock of [`${inbox}.lock`, `${heartbeats}.lock`]) {
    const age = Date.now() - (stat(lock)?.mtimeMs ?? Date.now()); // a living holder touches it every 2.5 s
    if (age > 10_000) report(lock, "its holder was killed", "the next writer takes it over; else: rmdir", "warning");
  }
  report(`${mail.files.size} messages in the inbox`);
  for (const file of fs.readdirSync(inbox).filter(isMessageName)) {
    try {
      readMessage(join(inbox, file), file);
    } catch (error) {
      report(`inbox/${file}`, reasonOf(error), "nobody gets it: mend it, or move it away", "warning");
    }
  }
  await mail.close();
}

async function receiving(report: Report, config: Config): Promise<void> {
  for (const { name, entry } of new Heartbeats(config).online()) {
    const sleeps = routeOf(entry).startsWith("on its") && "an idle session is not woken";
    report(`${name}: mail reaches it: ${routeOf(entry)}`, sleeps, "install the plugin: its hook wakes it", "warning");
  }
  if (process.platform !== "linux") return;
  // Watches are limited, and editors and build tools use them up. A server takes one instance with one watch.
  const lines = run("sh", "-c", "grep -cs ^inotify /proc/[0-9]*/fdinfo/* | grep -v :0$").said.matchAll(/:(\d+)$/gm);
  const counts = [...lines].map(([, count]) => Number(count));
  const used = { instances: counts.length, watches: counts.reduce((sum, count) => sum + count, 0) };
  for (const [what, count] of Object.entries(used)) {
    const most = Number(fs.readFileSync(`/proc/sys/fs/inotify/max_user_${what}`, "utf8"));
    const few = count > 0.9 * most && "without one, mail is looked for every 2 s";
    const remedy = `sudo sysctl fs.inotify.max_user_${what}=${4 * most}`;
    report(`${count} of ${most} inotify ${what} used`, few, remedy, "warning");
  }
}
