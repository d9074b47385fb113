// `t9-ipc statusline`, and how `setup` puts it into Claude Code's settings.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readSessionMail } from "../../src/agents/claude/session-mail.ts";
import { undoClaude } from "../../src/agents/claude/setup.ts";
import { addStatusLine, removeStatusLine } from "../../src/agents/claude/status-line.ts";
import { shellFor } from "../../src/cli/statusline.ts";
import { diskFiles } from "../../src/core/files.ts";
import { createProcessTable } from "../../src/core/process.ts";
import { configOf, run } from "../support/command.ts";
import { binOf, envOf, homeOf, tempDir } from "../support/folder.ts";
import { mail, stamp, writeMail } from "../support/mail.ts";
import { systemError } from "../support/memory-files.ts";
import { SERVE, SERVER, works } from "../support/process.ts";
import { startSession } from "../support/session.ts";

const noShell = process.platform === "win32" && "the commands are for a POSIX shell";
const CONVERSATION = "0a1b2c3d-0000-4000-8000-000000000001";
const INPUT = JSON.stringify({ session_id: CONVERSATION, cwd: "/somewhere" });

/** An entry in heartbeats.json of a session that is online: this test's own process. */
function entry(fields: object = {}): object {
  const processes = createProcessTable();
  const { pid, host } = processes;
  const started = processes.startOf(pid);
  return {
    timestamp: "x",
    status: "active",
    pid,
    host,
    started,
    working_on: "",
    beat: Date.now(),
    ...fields,
  };
}

function writeFolder(dir: string, heartbeats: object, conversations: object = {}): void {
  mkdirSync(join(dir, "inbox"), { recursive: true });
  mkdirSync(join(dir, "read"), { recursive: true });
  writeFileSync(join(dir, "heartbeats.json"), JSON.stringify(heartbeats));
  writeFileSync(join(dir, "conversations.json"), JSON.stringify(conversations));
}

let count = 0;
function send(dir: string, to: string, from = "web"): string {
  const file = `${stamp(0, ++count)}-0a1b2c3d-${from}-${to.slice(0, 16)}-x.md`;
  writeMail(dir, file, mail({ from, to, subject: "x" }));
  return file;
}

const own = (dir: string, env: NodeJS.ProcessEnv = {}) =>
  readSessionMail(configOf(dir, env), CONVERSATION).own;

test("a session is found by its conversation, and its unread mail is counted for all its names", (t) => {
  const dir = tempDir(t);
  const since = stamp(1);
  writeFolder(dir, {
    api: entry({ claude_session: CONVERSATION, names: ["api-old"], since }),
    web: entry({ claude_session: "another" }),
  });
  assert.deepEqual(own(dir), { name: "api", isOnline: true, unread: 0 });
  const read = send(dir, "api");
  send(dir, "api-old");
  send(dir, "web");
  const toAll = send(dir, "all");
  const early = `${stamp(2)}-0a1b2c3d-web-all-x.md`;
  writeMail(dir, early, mail({ from: "web", to: "all", subject: "before it was here" }));
  writeMail(dir, `${stamp()}-0a1b2c3d-web-api-broken.md`, "no message");
  assert.equal(own(dir)?.unread, 3);
  writeFileSync(join(dir, "read", "api"), `${read}\n`);
  assert.equal(own(dir)?.unread, 2);
  writeFileSync(join(dir, "read", "api"), `${read}\n${toAll}\n`);
  assert.equal(own(dir)?.unread, 1, "read under one name is read");
});

test("a message that cannot be read just now is not passed over", (t) => {
  const dir = tempDir(t);
  writeFolder(dir, { api: entry({ claude_session: CONVERSATION }) });
  send(dir, "api");
  const { read } = diskFiles;
  t.mock.method(diskFiles, "read", (path: string, maxBytes: number) => {
    if (path.endsWith(".md")) throw systemError("EIO");
    return read(path, maxBytes);
  });
  assert.equal(own(dir)?.unread, 1);
});

test("a session without a server has the names of its conversation, unless somebody holds them", (t) => {
  const dir = tempDir(t);
  const record = { name: "api", names: ["api-old"], seen: Date.now() };
  writeFolder(dir, {}, { [CONVERSATION]: record });
  send(dir, "api");
  send(dir, "api-old");
  assert.deepEqual(own(dir), { name: "api", isOnline: false, unread: 2 });
  writeFolder(dir, { api: entry({ claude_session: "another" }) }, { [CONVERSATION]: record });
  assert.deepEqual(own(dir), { name: "api-old", isOnline: false, unread: 1 });
});

test("after /clear a session is found by its process, a resumed conversation by its own names", (t) => {
  const dir = tempDir(t);
  const env = { CLAUDE_PID: "4711" };
  const before = { api: entry({ claude_session: "before", claude_pid: 4711 }) };
  writeFolder(dir, before);
  assert.equal(own(dir, env)?.name, "api");
  assert.equal(own(dir, { CLAUDE_PID: "4712" }), undefined);
  writeFolder(dir, before, { [CONVERSATION]: { name: "docs", seen: Date.now() } });
  assert.equal(own(dir, env)?.name, "docs");
});

test("a new conversation has the name that IPC_SESSION_ID asks for, or none", (t) => {
  const dir = tempDir(t);
  writeFolder(dir, {});
  assert.equal(own(dir), undefined);
  assert.equal(own(dir, { IPC_SESSION_ID: "nightly" })?.name, "nightly");
});

test("statusline prints a session's name, its unread mail and who is online in one line", async (t) => {
  const dir = tempDir(t);
  const env = { CLAUDE_CODE_SESSION_ID: CONVERSATION };
  const api = await startSession("api", { dir, env, client: "claude-code" });
  const line = async (): Promise<string> => {
    const { code, stdout, stderr } = await run(dir, ["statusline"], { input: INPUT });
    assert.deepEqual([code, stderr], [0, ""]);
    return stdout;
  };
  assert.equal(await line(), "api · no mail · online: nobody else\n");
  const web = await startSession("web", { dir });
  await web.call("send", { to: "api", subject: "x" });
  await web.call("send", { to: "all", subject: "y" });
  assert.equal(await line(), "api · 2 messages unread · online: web\n");
  for (const name of ["docs", "jobs", "zoo"]) await startSession(name, { dir });
  assert.equal(await line(), "api · 2 messages unread · online: docs, jobs, web and 1 more\n");
  await api.call("unread");
  assert.match(await line(), /^api · no mail · /);
});

test("statusline creates no folder, and says that a session without t9-ipc is not connected", async (t) => {
  const dir = tempDir(t);
  for (const input of [INPUT, "", "no json"]) {
    const { code, stdout } = await run(dir, ["statusline"], { input });
    assert.equal(code, 0);
    assert.equal(stdout, "t9-ipc is not connected · online: nobody else\n");
  }
  assert.ok(!existsSync(dir));
});

test("the user's command is run with the shell that Claude Code names on Windows", () => {
  const env = { SHELL: "C:\\Program Files\\Git\\usr\\bin\\bash.exe" };
  assert.equal(shellFor(env, "win32"), env.SHELL);
  assert.equal(shellFor({}, "win32"), true);
  assert.equal(shellFor(env, "linux"), true);
});

const OTHERS: readonly [string, readonly string[], string][] = [
  ["a program and its arguments", ["/bin/sh", "-c", "cat"], `${INPUT}\n`],
  ["a command of the shell in one argument", ["tr a-z A-Z | tr -d :"], ""],
  ["a command that prints nothing and fails", ["exit 3"], ""],
  ["a program that is missing", ["/no/such/program", "x"], ""],
];

for (const [what, command, expected] of OTHERS) {
  test(`the line comes below the output of another status line: ${what}`, {
    skip: noShell,
  }, async (t) => {
    const dir = tempDir(t);
    const { PATH = "" } = process.env;
    const { code, stdout } = await run(dir, ["statusline", "--", ...command], {
      input: INPUT,
      env: { PATH },
    });
    assert.equal(code, 0);
    const theirs = command[0]?.startsWith("tr")
      ? `${INPUT.toUpperCase().replaceAll(":", "")}\n`
      : expected;
    assert.equal(stdout, `${theirs}t9-ipc is not connected · online: nobody else\n`);
  });
}

/** A home with these settings, if any. */
function home(t: TestContext, settings?: object) {
  const dir = tempDir(t);
  const path = join(homeOf(dir), ".claude", "settings.json");
  mkdirSync(join(homeOf(dir), ".claude"));
  if (settings) writeFileSync(path, JSON.stringify(settings, null, 2));
  const asked: (string | undefined)[] = [];
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  const add = (answer: boolean) =>
    addStatusLine(
      configOf(dir),
      async (theirs) => {
        asked.push(theirs);
        return answer;
      },
      print,
    );
  const json = () => JSON.parse(readFileSync(path, "utf8"));
  return { dir, path, asked, lines, print, add, json };
}

test("setup adds the status line if it is wanted, and asks once", async (t) => {
  const { dir, path, asked, print, add, json } = home(t);
  await add(false);
  assert.ok(!existsSync(path));
  await add(true);
  await add(true);
  assert.deepEqual(asked, [undefined, undefined], "not when it is there already");
  const { type, command, refreshInterval } = json().statusLine;
  assert.deepEqual([type, refreshInterval], ["command", 30]);
  assert.match(command, /node'? /);
  assert.ok(command.replaceAll("'", "").endsWith(`${SERVER} statusline`), command);
  await undoClaude(configOf(dir), print);
  assert.deepEqual(readdirSync(join(path, "..")), [], "there was no file before");
});

const THEIRS = [
  "~/.claude/statusline.sh",
  `input=$(cat); echo "$input" | jq -r '.model' # it's "mine"\necho two`,
];

for (const command of THEIRS) {
  test(`the user's own status line stays, runs first, and returns with --undo: ${command.slice(0, 20)}`, {
    skip: noShell,
  }, async (t) => {
    const before = { statusLine: { type: "command", command, padding: 0 }, model: "opus" };
    const { dir, asked, add, json, print } = home(t, before);
    await add(false);
    assert.deepEqual(json(), before);
    await add(true);
    assert.deepEqual(asked, [command, command]);
    assert.equal(json().statusLine.padding, 0);
    const { stdout } = spawnSync(
      "/bin/sh",
      ["-c", `${json().statusLine.command}`.replace(/^.* -- /, "printf %s ")],
      { encoding: "utf8", env: envOf(dir) },
    );
    assert.equal(stdout, command, "one word for the shell");
    await removeStatusLine(configOf(dir), print);
    assert.deepEqual(json(), before);
    assert.equal(await removeStatusLine(configOf(dir), print), false);
  });
}

test("a status line of a form that is not known is left alone", async (t) => {
  const before = { statusLine: "mine" };
  const { add, json, asked, lines } = home(t, before);
  await add(true);
  assert.deepEqual([json(), asked], [before, []]);
  assert.match(lines.join(), /not a command: it was not changed/);
});

test("the status line has the IPC_DIR that the server's entry has", async (t) => {
  const { dir, add, json } = home(t);
  const servers = { "t9-ipc": { command: "node", args: [SERVER], env: { IPC_DIR: "/my mail" } } };
  writeFileSync(join(homeOf(dir), ".claude.json"), JSON.stringify({ mcpServers: servers }));
  await add(true);
  assert.match(json().statusLine.command, /^IPC_DIR='\/my mail' /);
});

test("setup --statusline adds it in a script, and what it adds works; --undo takes all of it back", {
  skip: noShell,
}, async (t) => {
  const before = { statusLine: { type: "command", command: "echo mine" } };
  const { dir, path, json } = home(t, before);
  const added = await run(dir, ["setup", "--allow", "--statusline"]);
  assert.equal(added.code, 0, added.stderr);
  const { command } = json().statusLine;
  const { stdout } = spawnSync("/bin/sh", ["-c", command], {
    encoding: "utf8",
    input: INPUT,
    env: { ...envOf(dir), PATH: `${binOf(dir)}:${process.env.PATH}` },
  });
  assert.equal(stdout, "mine\nt9-ipc is not connected · online: nobody else\n");
  await run(dir, ["setup", "--undo"]);
  assert.deepEqual(json(), before);
  assert.deepEqual(readdirSync(join(path, "..")), ["settings.json"]);
});

test("on a terminal setup asks before it adds a status line", {
  skip: !(process.platform === "linux" && works("/usr/bin/script", "--version")) && "no script(1)",
}, (t) => {
  const command = [...SERVE, "setup"].map((each) => `'${each}'`).join(" ");
  const answer = (dir: string, input: string): string =>
    spawnSync("/usr/bin/script", ["-qec", command, "/dev/null"], {
      encoding: "utf8",
      input,
      env: { ...envOf(dir), PATH: binOf(dir), SHELL: "/bin/sh" },
      timeout: 30_000,
    }).stdout;
  const permissions = { allow: ["mcp__t9-ipc"] };
  const no = home(t, { permissions });
  assert.match(answer(no.dir, "n\n"), /Show your session's name.+status line\? \[Y\/n\]/);
  assert.equal(no.json().statusLine, undefined);
  const yes = home(t, { permissions, statusLine: { type: "command", command: "echo mine" } });
  assert.match(answer(yes.dir, "y\n"), /You have a status line \(echo mine\)\. Show .+ below it\?/);
  assert.match(yes.json().statusLine.command, / -- 'echo mine'$/);
});
