import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import packageJson from "../../../package.json" with { type: "json" };
import { checkPermission, SERVER_RULE } from "../../../src/agents/claude/permissions.ts";
import { addPlugin } from "../../../src/agents/claude/plugin.ts";
import type { Finding } from "../../../src/agents/finding.ts";
import { nodeCommand } from "../../../src/agents/node.ts";
import { adviseUnwritable } from "../../../src/cli/checks/folder.ts";
import { checkInstallation } from "../../../src/cli/checks/installation.ts";
import { checkSessions } from "../../../src/cli/checks/sessions.ts";
import { CHECKS, runChecks } from "../../../src/cli/doctor.ts";
import { PACKAGE_ROOT } from "../../../src/config.ts";
import { configOf, run } from "../../support/command.ts";
import { binOf, envOf, homeOf, putProgram, tempDir } from "../../support/folder.ts";
import { heartbeats, mail, stamp, writeMail } from "../../support/mail.ts";
import { isRoot, noPermissions, Process, SERVER, withoutRoot } from "../../support/process.ts";
import { startSession } from "../../support/session.ts";

/** The entry that setup would write here. */
const entryFor = (dir: string) => ({
  type: "stdio",
  command: nodeCommand(configOf(dir)),
  args: [SERVER],
  env: {},
});

/** Answers as the real one does. */
const claudeOf = (version: string, status = "✔ Connected"): string => `
const [first, second] = process.argv.slice(2);
if (first === "--version") console.log("${version} (Claude Code)");
if (second === "get") console.log("t9-ipc:\\n  Scope: User config\\n  Status: ${status}\\n  Type: stdio");`;

function register(dir: string, json: object): void {
  writeFileSync(join(homeOf(dir), ".claude.json"), JSON.stringify(json));
}

/**
 * Claude Code's settings in that folder: a project's, or the home folder's, which are the user's.
 */
function writeSettings(folder: string, json: object, file = "settings.json"): string {
  mkdirSync(join(folder, ".claude"), { recursive: true });
  writeFileSync(join(folder, ".claude", file), JSON.stringify(json));
  return join(folder, ".claude", file);
}

/** What doctor finds wrong, in this process, without its proof with two servers. */
async function examine(dir: string, project = homeOf(dir)) {
  const checks = CHECKS.filter((check) => check !== checkInstallation);
  const all: Finding[] = [];
  for await (const finding of runChecks(configOf(dir, {}, project), checks)) all.push(finding);

  const wrong = all.filter(({ state }) => state !== "ok");
  for (const { what, problem, remedy } of wrong)
    assert.ok(problem && (remedy || /PATH/.test(problem)), `${what}: ${problem}`);
  const find = (words: RegExp): string => {
    const found = wrong.find(({ what, problem }) => words.test(`${what}: ${problem}`));
    return found?.state ?? assert.fail(`${words} in ${JSON.stringify(all)}`);
  };
  return { all, wrong, find };
}

/** What doctor and setup find about the rule for our tools, in this process. */
function mayUseTools(dir: string, project = homeOf(dir)): boolean {
  return checkPermission(SERVER_RULE, configOf(dir, {}, project)).state === "ok";
}

test("doctor says ok to everything that is well, and its exit code is 0", async (t) => {
  const dir = tempDir(t);
  register(dir, { mcpServers: { "t9-ipc": entryFor(dir) } });
  const permissions = { allow: ["mcp__t9-ipc"] };
  const settings = writeSettings(homeOf(dir), { permissions, crossSessionInbound: "accept" });
  putProgram(dir, "claude", claudeOf("2.1.330"));
  await startSession("alpha", { dir, env: { IPC_PUSH: "channel" } });
  const { code, stdout } = await run(dir, ["doctor"]);
  assert.equal(code, 0, stdout);
  // A test cannot know what this machine has left, nor whether it has an optional dependency.
  const lines = stdout.split("\n").filter((line) => line && !/MB free|better-sqlite3|→/.test(line));
  for (const line of lines) assert.match(line, /^ok {7}/);
  for (const what of [
    /Node \d+/,
    /server\.js: a message from server to server takes [\d.]+ ms/,
    /better-sqlite3/,
    /Claude Code 2\.1\.330/,
    /Claude Code starts it/,
    `Claude may use the tools of mcp__t9-ipc without asking: "mcp__t9-ipc" under "allow" in ${settings}`,
    /alpha: mail reaches it: channel/,
    /MB free/,
    /0 messages in the inbox/,
  ]) {
    assert.ok(
      typeof what === "string" ? stdout.includes(what) : what.test(stdout),
      `${what} in ${stdout}`,
    );
  }

  const json = await run(dir, ["doctor", "--json"]);
  assert.equal(json.code, 0);
  const findings = json.stdout
    .trim()
    .split("\n")
    .map((line): Finding => JSON.parse(line));
  assert.ok(
    findings.some(({ state, what }) => state === "ok" && what === `Node ${process.versions.node}`),
  );
});

test("doctor says whether Claude may use the entry's or plugin's tools, and which file decides", async (t) => {
  const dir = tempDir(t);
  const project = join(dir, "..", "project");
  mkdirSync(project);
  register(dir, { mcpServers: { "t9-ipc": entryFor(dir) } });
  const none = await examine(dir);
  assert.equal(none.find(/tools of mcp__t9-ipc without asking: no rule allows it/), "warning");
  const { remedy = "" } = none.wrong.find(({ what }) => what.includes("tools of")) ?? {};
  const [, path = "", words = ""] =
    /^run setup --allow, or add to (.+?): (.+)$/.exec(remedy) ?? assert.fail(remedy);

  // The remedy, word for word.
  assert.equal(writeSettings(homeOf(dir), JSON.parse(words)), path);
  assert.equal(mayUseTools(dir, project), true);

  const local = writeSettings(project, { permissions: { ask: ["mcp__*"] } }, "settings.local.json");
  const asked = await examine(dir, project);
  assert.equal(
    asked.find(/tools of mcp__t9-ipc without asking: "mcp__\*" under "ask" in /),
    "warning",
  );
  assert.ok(
    asked.wrong.some(({ problem }) => problem?.includes(local)),
    "the project's file is named",
  );
  assert.equal(mayUseTools(dir), true, "it does not count elsewhere");

  // The plugin's tools have names of their own.
  writeSettings(homeOf(dir), { ...JSON.parse(words), enabledPlugins: { "t9-ipc@t9-ipc": true } });
  const both = await examine(dir);
  assert.equal(
    both.find(/tools of mcp__plugin_t9-ipc_t9-ipc without asking: no rule allows it/),
    "warning",
  );
  assert.equal(both.wrong.filter(({ what }) => what.includes("tools of")).length, 1);
  assert.match(
    both.wrong.find(({ what }) => what.includes("plugin"))?.remedy ?? "",
    /^run setup --allow --plugin, or add/,
  );
  register(dir, {});
  assert.ok(!(await examine(dir)).wrong.some(({ problem }) => problem?.includes("nor the plugin")));
  writeSettings(homeOf(dir), { enabledPlugins: { "t9-ipc@t9-ipc": false, "other@t9-ipc": true } });
  assert.equal((await examine(dir)).find(/no t9-ipc entry, nor the plugin/), "broken");
});

test("the five tools that doctor and setup mean are those of the server", async (t) => {
  const dir = tempDir(t);
  const session = await startSession("alpha", { dir });
  const names = (await session.client.listTools()).tools.map(({ name }) => `mcp__t9-ipc__${name}`);
  await session.close();
  const isAllowed = (allow: readonly string[]): boolean => {
    writeSettings(homeOf(dir), { permissions: { allow } });
    return mayUseTools(dir);
  };
  assert.ok(isAllowed(names));
  for (const name of names) assert.ok(!isAllowed(names.filter((each) => each !== name)), name);
});

test("doctor names the settings file that shuts the inbox socket", async (t) => {
  const dir = tempDir(t);
  for (const value of ["hold", "refuse"]) {
    const path = writeSettings(homeOf(dir), { crossSessionInbound: value });
    const { wrong } = await examine(dir);
    const found = wrong.find(({ what }) => what === "crossSessionInbound");
    assert.ok(found?.problem?.startsWith(`"${value}" in ${path}: `), JSON.stringify(wrong));
  }
});

test("doctor finds what keeps Claude Code from starting the server, with its remedy", async (t) => {
  const dir = tempDir(t);
  const none = await examine(dir);
  assert.equal(none.find(/no t9-ipc entry/), "broken");
  const env = { CLAUDE_PLUGIN_ROOT: "/plugin" };
  const session = await startSession("alpha", { dir, env, client: "claude-code" });
  const plugin = await examine(dir);
  assert.ok(!plugin.wrong.some(({ state }) => state === "broken"), "a plugin needs no entry");
  await session.close();
  assert.equal(none.find(/claude is not on PATH/), "warning");

  const gone = join(dir, "gone", "server.js");
  register(dir, {
    mcpServers: { "t9-ipc": { command: "python3", args: ["mcp/server.py"], cwd: "/src/t9-ipc" } },
    projects: {
      "/one": { mcpServers: { "t9-ipc": { command: "node", args: [gone] } } },
      "/two": { mcpServers: { "t9-ipc": { ...entryFor(dir), env: { IPC_DIR: "/elsewhere" } } } },
      "/three": {
        mcpServers: {
          "t9-ipc": { command: "node", args: [process.argv[1]?.replace(/\.ts$/, ".js")] },
        },
      },
      "/four": {},
    },
  });
  putProgram(dir, "claude", claudeOf("2.1.79", "✘ Failed to connect"));
  const { find, wrong } = await examine(dir);
  assert.equal(find(/server\.py: the path must be absolute/), "broken");
  assert.equal(find(/server\.py: Claude Code ignores "cwd"$/), "warning");
  assert.equal(find(/gone\/server\.js \(in \/one\): there is no such file/), "broken");
  assert.match(
    wrong.find(({ what }) => what.includes("/one"))?.remedy ?? "",
    /claude mcp remove --scope local t9-ipc/,
  );
  assert.equal(find(/\(in \/two\): its mail is in \/elsewhere/), "warning");
  assert.equal(find(/Claude Code 2\.1\.79: older than 2\.1\.80, no channels/), "warning");
  assert.equal(find(/Claude Code starts it: ✘ Failed to connect/), "broken");

  putProgram(dir, "claude", claudeOf("2.1.200"));
  writeFileSync(join(homeOf(dir), ".claude.json"), "{");
  const later = await examine(dir);
  assert.equal(later.find(/older than 2\.1\.224, no inbox socket/), "warning");
  assert.equal(later.find(/not valid JSON/), "broken");
});

test("doctor finds what is wrong with the folder and the mail in it", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  writeMail(dir, "no-header.md", "hello\n");
  writeMail(dir, `${stamp()}-0a1b2c3d-hand-all-good.md`, mail({ from: "hand", to: "all" }));
  symlinkSync("/etc/passwd", join(dir, "inbox", "link.md"));
  for (const lock of ["inbox.lock", "heartbeats.json.lock"]) {
    mkdirSync(join(dir, lock));
    utimesSync(join(dir, lock), new Date(), new Date(Date.now() - 60_000));
  }
  chmodSync(dir, 0o777);
  const { find, all } = await examine(dir);
  assert.equal(find(/inbox\/no-header\.md: it does not start with ---/), "warning");
  assert.equal(find(/inbox\/link\.md: it is a symbolic link/), "warning");
  assert.equal(find(/others can write to/), "warning");
  assert.equal(find(/inbox\.lock: its holder was killed/), "warning");
  assert.equal(
    find(/alpha: mail reaches it: on its next tool call: an idle session is not woken/),
    "warning",
  );
  assert.ok(
    all.some(({ state, what }) => state === "ok" && what === "1 messages in the inbox"),
    JSON.stringify(all),
  );
  await alpha.close();
});

test("a server of another version or installation among the live ones is found", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const check = (fields: object): string[] => {
    const entries = heartbeats(dir);
    const changed = { alpha: { ...entries.alpha, ...fields } };
    writeFileSync(join(dir, "heartbeats.json"), JSON.stringify(changed));
    const findings = [...checkSessions(configOf(dir))].filter(({ what }) => what === "alpha");
    return findings.map(({ state, problem }) => `${state}: ${problem}`);
  };
  const { version } = packageJson;
  assert.deepEqual(check({}), []);
  assert.deepEqual(check({ version: "0.0.9" }), [
    `warning: it runs t9-ipc 0.0.9, this is ${version}`,
  ]);
  assert.deepEqual(check({ version, server: "/opt/t9-ipc" }), [
    `warning: it runs /opt/t9-ipc, this is ${PACKAGE_ROOT}`,
  ]);
  await alpha.close();
});

const UNWRITABLE: readonly [string, string, RegExp, RegExp][] = [
  [
    "a read-only mount",
    "EROFS",
    /it is read-only here, as in a sandbox/,
    /sandbox's settings.+IPC_DIR/,
  ],
  ["a folder without write permission", "EACCES", /it cannot be written/, /^chmod u\+rwx '/],
];

for (const [what, code, problem, remedy] of UNWRITABLE) {
  test(`doctor gives advice that helps for ${what}`, (t) => {
    const dir = dirname(tempDir(t));
    const finding = adviseUnwritable(dir, Object.assign(new Error(`${code}: no`), { code }));
    assert.equal(finding.state, "broken");
    assert.match(finding.problem ?? "", problem);
    assert.match(finding.remedy ?? "", remedy);
  });
}

test("doctor says that it may not write to the data folder, and checks the rest all the same", {
  skip: noPermissions,
}, async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, "inbox"), { recursive: true });
  chmodSync(dir, 0o500);
  const doctor = new Process([...withoutRoot, process.execPath, SERVER, "doctor"], {
    cwd: homeOf(dir),
    env: { ...envOf(dir), PATH: `${binOf(dir)}:/usr/bin:/bin` },
  });
  assert.equal(await doctor.ended, 1);
  assert.ok(doctor.stdout.includes(`broken   ${dir}: it cannot be written: EACCES`), doctor.stdout);
  assert.ok(doctor.stdout.includes(`→ chmod u+rwx '${dir}'`));
  assert.match(doctor.stdout, /^ok {7}0 messages in the inbox$/m);
  chmodSync(dir, 0o700);
});

test("the plugin's hook needs Claude Code 2.1.160: doctor and setup name the entry below that", async (t) => {
  const dir = tempDir(t);
  register(dir, {});
  writeSettings(homeOf(dir), { enabledPlugins: { "t9-ipc@t9-ipc": true } });
  putProgram(dir, "claude", claudeOf("2.1.159"));
  const old = await examine(dir);
  assert.equal(old.find(/the plugin's hook: it needs Claude Code 2\.1\.160.+2\.1\.159/), "warning");
  const { remedy } = old.wrong.find(({ what }) => what === "the plugin's hook") ?? {};
  assert.match(remedy ?? "", /run setup without --plugin: the entry works/);
  const lines: string[] = [];
  addPlugin(configOf(dir), (line) => lines.push(line));
  assert.match(lines.join("\n"), /hook: it needs Claude Code 2\.1\.160.+\n→ .+ the entry works/);

  putProgram(dir, "claude", claudeOf("2.1.160"));
  const { wrong } = await examine(dir);
  assert.ok(!wrong.some(({ what }) => what === "the plugin's hook"));
});

test("another user's files are found", { skip: !isRoot && "needs root" }, async (t) => {
  const dir = tempDir(t);
  writeMail(dir, "theirs.md", mail({ from: "hand", to: "all" }));
  chownSync(join(dir, "inbox", "theirs.md"), 12_345, 12_345);
  const { find } = await examine(dir);
  assert.equal(find(/another user owns inbox\/theirs\.md/), "broken");
  assert.equal(find(/inbox\/theirs\.md: it belongs to another user \(12345\)/), "warning");
});

test("a build that does not run is found, and so is a better-sqlite3 that does not load", async (t) => {
  const dir = tempDir(t);
  const copy = join(dir, "..", "copy", "dist");
  cpSync(dirname(SERVER), copy, { recursive: true });
  const script = join(copy, "main.js");
  writeFileSync(join(copy, "server.js"), "process.exit(3)");
  const { stdout, stderr, code } = await run(dir, ["doctor"], { script });
  assert.equal(code, 1);
  assert.equal(stderr, "");
  assert.match(stdout, /^broken {3}.+server\.js: .+\n +→ npm install && npm run build/m);
  assert.match(stdout, /^warning {2}better-sqlite3: .+\n +→ .+npm rebuild it$/m);
});
