// The plugin's hook, as Claude Code runs it, and the file through which a server wakes its session.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { isLeftBehind, readyFile, WakeFile, wakeFile } from "../../src/agents/claude/wake-file.ts";
import { readConfig } from "../../src/config.ts";
import { createProcessTable } from "../../src/core/process.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { run } from "../support/command.ts";
import { createWorld, systemOf } from "../support/fake-system.ts";
import { homeOf, tempDir } from "../support/folder.ts";
import { mail, stamp, writeMail } from "../support/mail.ts";
import { systemError } from "../support/memory-files.ts";

const NOTICE = "t9-ipc: 1 new message, from api: “hello”. Read it with t9_ipc_unread.";
const PID = process.pid;
const processes = createProcessTable();

function scene(t: TestContext) {
  const dir = tempDir(t);
  const config = readConfig({ HOME: homeOf(dir), IPC_DIR: dir }, dirname(dir), () => {});
  const hook = (event: object, pid: string | number = PID) =>
    run(dir, ["hook"], { env: { CLAUDE_PID: String(pid) }, input: JSON.stringify(event) });
  const folder = join(dir, "wake");
  const waker = new WakeFile([folder], PID, createSystem(config), () => undefined);
  return { dir, folder, hook, waker };
}

test("SessionStart names the one file that Claude Code is to watch, and opens the way", async (t) => {
  const { folder, hook } = scene(t);
  const { code, stdout } = await hook({ hook_event_name: "SessionStart", session_id: "x" });
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout), {
    hookSpecificOutput: {
      hookEventName: "SessionStart",
      watchPaths: [wakeFile(folder, processes, PID)],
    },
  });
  // Windows has no modes.
  const mode = process.platform === "win32" ? 0o666 : 0o600;
  assert.equal(statSync(readyFile(folder, processes, PID)).mode & 0o777, mode);
});

test("SessionStart tells the user in one line that mail waits for the session", async (t) => {
  const { dir, hook } = scene(t);
  mkdirSync(join(dir, "inbox"), { recursive: true });
  const records = { "conv-1": { name: "api", seen: Date.now() } };
  writeFileSync(join(dir, "conversations.json"), JSON.stringify(records));
  const start = async (session_id: string): Promise<string | undefined> => {
    const { code, stdout } = await hook({ hook_event_name: "SessionStart", session_id });
    assert.equal(code, 0);
    const { systemMessage, hookSpecificOutput } = JSON.parse(stdout);
    assert.equal(hookSpecificOutput.watchPaths.length, 1);
    return systemMessage;
  };
  assert.equal(await start("conv-1"), undefined, "nothing waits");
  for (const n of [1, 2]) {
    writeMail(dir, `${stamp(0, n)}-0a1b2c3d-web-api-x.md`, mail({ from: "web", to: "api" }));
    const text = n === 1 ? "1 message waits for api" : "2 messages wait for api";
    assert.equal(await start("conv-1"), `t9-ipc: ${text}`);
  }
  assert.equal(await start("conv-2"), undefined, "another conversation's mail is not told");
});

test("the hook leaves a session alone that has IPC_DISABLED", async (t) => {
  const { dir } = scene(t);
  const { code, stdout } = await run(dir, ["hook"], {
    env: { CLAUDE_PID: String(PID), IPC_DISABLED: "1" },
    input: JSON.stringify({ hook_event_name: "SessionStart", session_id: "conv-1" }),
  });
  assert.deepEqual([code, stdout.trim()], [0, ""]);
});

test("sessions of two containers with the same PID have files of their own", (t) => {
  const { folder } = scene(t);
  const elsewhere = { ...processes, host: "0a1b2c3d/4026531836" };
  assert.notEqual(wakeFile(folder, processes, PID), wakeFile(folder, elsewhere, PID));
  const gone = { ...processes, isRunning: () => false };
  const file = basename(wakeFile(folder, processes, PID));
  assert.equal(isLeftBehind(file, processes), false, "it runs");
  assert.equal(isLeftBehind(file, gone), true);
  assert.equal(isLeftBehind(`${file}.ready`, gone), true);
  assert.equal(isLeftBehind(file, { ...gone, host: elsewhere.host }), false, "not ours to judge");
});

test("a notice wakes once: the next change of the file, or another file's, wakes nobody", async (t) => {
  const { folder, hook, waker } = scene(t);
  await hook({ hook_event_name: "SessionStart" });
  assert.equal(waker.problem(), undefined);
  await waker.wake(NOTICE);
  assert.equal(waker.isPending(), true);

  const [first, second] = await Promise.all([
    hook({ hook_event_name: "FileChanged" }),
    hook({ hook_event_name: "FileChanged" }),
  ]);
  const woken = [first, second].filter(({ code }) => code === 2);
  assert.equal(woken.length, 1, "exactly one of two hooks at the same moment");
  assert.equal(woken[0]?.stderr, `${NOTICE}\n`);
  const later = await hook({ hook_event_name: "FileChanged" });
  assert.deepEqual([later.code, later.stdout, later.stderr], [0, "", ""]);
  assert.ok(!readdirSync(folder).some((file) => file.startsWith(`.tmp-${PID}`)));

  waker.onToolCall({ tool: "t9_ipc_unread", meta: {} });
  assert.equal(waker.isPending(), false);
});

const HARMLESS: readonly [string, string, object | string, string | number][] = [
  ["no PID", "the hook was started by hand", { hook_event_name: "FileChanged" }, ""],
  ["an odd PID", "a path", { hook_event_name: "FileChanged" }, "../../etc/passwd"],
  ["another event", "a later Claude Code", { hook_event_name: "Stop" }, PID],
  ["no JSON", "a broken pipe", "not json", PID],
];

for (const [what, why, input, pid] of HARMLESS) {
  test(`the hook ends with 0 and says nothing on standard output for ${what}: ${why}`, async (t) => {
    const { dir } = scene(t);
    const text = typeof input === "string" ? input : JSON.stringify(input);
    const { code, stdout } = await run(dir, ["hook"], {
      env: { CLAUDE_PID: String(pid) },
      input: text,
    });
    assert.equal(code, 0);
    assert.equal(stdout, "");
  });
}

test("a folder in the place of the wake file wakes nobody and is left alone", async (t) => {
  const { folder, hook } = scene(t);
  mkdirSync(wakeFile(folder, processes, 99999999), { recursive: true });
  const { code } = await hook({ hook_event_name: "FileChanged" }, 99999999);
  assert.equal(code, 0);
});

test("without the plugin's hook the wake file is not a way to the session", (t) => {
  assert.equal(scene(t).waker.problem(), "unavailable");
});

test("a hook that does not know the server's IPC_DIR is found in the default folder", async (t) => {
  const { dir, folder, hook } = scene(t);
  await hook({ hook_event_name: "SessionStart" });
  const config = readConfig({ HOME: homeOf(dir), IPC_DIR: join(dir, "other") }, dir, () => {});
  const folders = [join(dir, "other", "wake"), folder];
  const waker = new WakeFile(folders, PID, createSystem(config), () => undefined);
  await waker.wake(NOTICE);
  assert.equal((await hook({ hook_event_name: "FileChanged" })).code, 2);
});

test("a session is not waited for if its notice cannot be written", async () => {
  const system = systemOf(createWorld());
  system.files.makeFolder("/wake");
  system.files.create(readyFile("/wake", system.processes, PID), "");
  const waker = new WakeFile(["/wake"], PID, system, () => undefined);
  system.fault = (call) => {
    if (call === "rename") throw systemError("ENOSPC");
  };
  await assert.rejects(waker.wake(NOTICE), /ENOSPC/);
  assert.equal(waker.isPending(), false);
  system.fault = undefined;
  const woken = waker.wake(NOTICE);
  assert.equal(waker.isPending(), true);
  await woken;
});
