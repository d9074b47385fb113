import fs from "node:fs";
import { isAbsolute, join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { crossSessionInbound, settingsLayers } from "../agents/claude/settings.ts";
import { type Config, readConfig, SERVER } from "../config.ts";
import { routeOf } from "../delivery/route.ts";
import { reasonOf } from "../files.ts";
import { openCache } from "../mail/cache.ts";
import { Inbox, readMessage } from "../mail/inbox.ts";
import { isMessageName } from "../mail/message.ts";
import { warnIfShared } from "../mcp/session.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { checkCodex } from "./codex.ts";
import { demo } from "./demo.ts";
import { network } from "./network.ts";
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
  const checks: Check[] = [program, registration, folder, network, receiving, checkCodex];
  for (const check of checks) {
    try {
      await check(report, config);
    } catch (error) {
      report("cannot look further", (error as Error).message, "mend that first");
    }
  }
  return code;
}

const isFrom = (version: string, least: string): boolean =>
  version.localeCompare(least, "en", { numeric: true }) >= 0;

async function program(report: Report, config: Config): Promise<void> {
  const { node } = process.versions;
  const least = packageJson.engines.node.slice(2);
  report(`Node ${node}`, !isFrom(node, least) && "too old", `install ${least} or newer`);
  await demo(() => 0).then(
    (ms) => report(`${SERVER}: a message from server to server takes ${ms.toFixed(1)} ms`),
    (error) =>
      report(
        SERVER,
        reasonOf(error),
        "npm install && npm run build in its folder, or install it anew",
      ),
  );
  const problems: string[] = [];
  openCache(config.db, (line) => problems.push(line))?.close();
  report(
    "better-sqlite3",
    problems[0],
    "only large inboxes need it: install or npm rebuild it",
    "warning",
  );
}

async function registration(report: Report, config: Config): Promise<void> {
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
    new Heartbeats(config).online().some(({ entry }) => entry.tool_prefix?.startsWith(PLUGIN_RULE)); // by --plugin-dir
  report(path, found.length === 0 && !isPlugin && "no t9-ipc entry, nor the plugin", "run setup");
  for (const [project, { mcpServers }] of found) {
    const { command, args = [], cwd, env } = mcpServers?.["t9-ipc"] ?? {};
    const what = [command, ...args, project && `(in ${project})`].join(" ").trim();
    const remedy = project ? `claude mcp remove --scope local t9-ipc, in ${project}` : "run setup";
    const script = args.find((arg) => /\.(\w?js|py)$/.test(arg)) ?? SERVER; // else it is npx or the like
    if (!isAbsolute(script))
      report(what, 'the path must be absolute: Claude Code ignores "cwd"', remedy);
    else if (!fs.existsSync(script)) report(what, "there is no such file", remedy);
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

async function folder(report: Report, config: Config): Promise<void> {
  const { dir, inbox, archive, read, heartbeats } = config;
  for (const path of [dir, inbox, archive, read].filter(fs.existsSync))
    fs.accessSync(path, fs.constants.W_OK);
  const mail = new Inbox(config); // makes the folder
  await mail.reconcile();
  const stat = (path: string) => fs.lstatSync(path, { throwIfNoEntry: false });
  const uid = process.getuid?.();
  const files = ["", ...fs.readdirSync(dir, { recursive: true, encoding: "utf8" })];
  const foreign = files.find(
    (file) => uid !== undefined && (stat(join(dir, file))?.uid ?? uid) !== uid,
  );
  const chown = `sudo chown -R "$(id -un)" '${dir}'`;
  report(
    dir,
    foreign !== undefined && `another user owns ${foreign || "it"}, and maybe more`,
    chown,
  );
  warnIfShared({ ...config, log: (line) => report(dir, line, `chmod -R go= '${dir}'`, "warning") });
  const { bavail, bsize } = fs.statfsSync(dir);
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  report(
    `${free} MB free`,
    free < 100 && "too little",
    "make room",
    free < 1 ? "broken" : "warning",
  );
  for (const lock of [`${inbox}.lock`, `${heartbeats}.lock`]) {
    const age = Date.now() - (stat(lock)?.mtimeMs ?? Date.now()); // a living holder touches it every 2.5 s
    if (age > 10_000)
      report(
        lock,
        "its holder was killed",
        "the next writer takes it over; else: rmdir",
        "warning",
      );
  }
  report(`${mail.files.size} messages in the inbox`);
  for (const file of fs.readdirSync(inbox).filter(isMessageName)) {
    try {
      readMessage(join(inbox, file), file);
    } catch (error) {
      report(
        `inbox/${file}`,
        reasonOf(error),
        "nobody gets it: mend it, or move it away",
        "warning",
      );
    }
  }
  await mail.close();
}

async function receiving(report: Report, config: Config): Promise<void> {
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
  for (const { name, entry } of new Heartbeats(config).online()) {
    const sleeps = routeOf(entry).startsWith("on its") && "an idle session is not woken";
    report(
      `${name}: mail reaches it: ${routeOf(entry)}`,
      sleeps,
      "install the plugin: its hook wakes it",
      "warning",
    );
  }
}
