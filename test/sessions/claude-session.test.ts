// What sessions/PID.json of Claude Code tells, and that nothing else in its place is believed.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import * as claude from "../../src/sessions/claude.ts";
import { inspect } from "../../src/sessions/process.ts";

/** What is told, without what is not. */
function claudeSession(dir: string, pid: number): Partial<claude.ClaudeSession> | undefined {
  const said = claude.claudeSession(dir, pid);
  return (
    said && Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
  );
}

/** As Claude Code 2.1.330 wrote it, but for the fields of the process, which are this one's. */
const seen = {
  pid: process.pid,
  sessionId: "49edc01a-e07a-4f69-9f6f-d8b632b97173",
  cwd: "/home/me/project",
  startedAt: 1795500484301,
  procStart: inspect([process.pid]).get(process.pid)?.started,
  version: "2.1.330",
  kind: "interactive",
  name: "backend work",
  nameSource: "user",
  nameSince: 1795500484313,
  status: "idle",
  updatedAt: 1795500485769,
  statusUpdatedAt: 1795500485769,
};

const told = {
  id: seen.sessionId,
  name: "backend work",
  isIdle: true,
  since: seen.statusUpdatedAt,
};

/** Claude Code's folder with this in `sessions/PID.json`, or nothing. */
function claudeDir(t: TestContext, content?: unknown, pid: number = process.pid): string {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-test-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, "sessions"));
  const text = typeof content === "string" ? content : JSON.stringify(content);
  if (content !== undefined) writeFileSync(join(dir, "sessions", `${pid}.json`), text);
  return dir;
}

test("it tells the conversation, the user's name for it, and since when it is idle", (t) => {
  assert.deepEqual(claudeSession(claudeDir(t, seen), process.pid), told);
});

test("busy is busy, and what waits for the user is neither", (t) => {
  const read = (status: object) => claudeSession(claudeDir(t, { ...seen, ...status }), process.pid);
  assert.equal(read({ status: "busy" })?.isIdle, false);
  const { isIdle: _, ...rest } = told;
  assert.deepEqual(read({ status: "waiting", waitingFor: "dialog open" }), {
    ...rest,
    waitingFor: "dialog open",
  });
  for (const status of ["shell", "dreaming", 7, null, undefined])
    assert.deepEqual(read({ status }), rest);
});

test("a name that Claude Code made up itself is none", (t) => {
  const { name: _, ...rest } = told;
  for (const nameSource of ["derived", "auto", "hook", undefined, true]) {
    assert.deepEqual(claudeSession(claudeDir(t, { ...seen, nameSource }), process.pid), rest);
  }
});

test("fields of another type are left out, the others are told", (t) => {
  const odd = {
    ...seen,
    sessionId: 7,
    name: ["x"],
    status: { idle: true },
    statusUpdatedAt: "1795500485769",
  };
  assert.deepEqual(claudeSession(claudeDir(t, odd), process.pid), {});
  const other = {
    ...seen,
    sessionId: "",
    name: "x".repeat(1001),
    status: undefined,
    statusUpdatedAt: -1,
  };
  assert.deepEqual(claudeSession(claudeDir(t, other), process.pid), {});
});

test("no folder, no file, no JSON, no object: nothing is told", (t) => {
  assert.equal(claudeSession(join(claudeDir(t), "nowhere"), process.pid), undefined);
  for (const content of [
    undefined,
    "",
    "{",
    '{"pid":',
    "null",
    "[]",
    "7",
    '"x"',
    " ".repeat(70_000),
  ]) {
    assert.equal(
      claudeSession(claudeDir(t, content), process.pid),
      undefined,
      JSON.stringify(content),
    );
  }
});

test("a file of another process, or of an earlier one with this PID, tells nothing", async (t) => {
  assert.equal(claudeSession(claudeDir(t, { ...seen, pid: process.ppid }), process.pid), undefined);
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  t.after(() => child.kill());
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  const earlier = claudeDir(t, { ...seen, pid, procStart: "1" }, pid);
  const knows = inspect([pid]).size > 0; // Windows tells nothing of processes
  assert.deepEqual(claudeSession(earlier, pid), knows ? undefined : told);
  const same = claudeDir(t, { ...seen, pid, procStart: inspect([pid]).get(pid)?.started }, pid);
  assert.deepEqual(claudeSession(same, pid), told);
});

test("a link or a FIFO in its place is not read, and not waited for", {
  skip: process.platform === "win32",
}, (t) => {
  const dir = claudeDir(t, seen, 1);
  symlinkSync(join(dir, "sessions", "1.json"), join(dir, "sessions", `${process.pid}.json`));
  assert.equal(claudeSession(dir, process.pid), undefined);
  const other = claudeDir(t);
  assert.equal(spawnSync("mkfifo", [join(other, "sessions", `${process.pid}.json`)]).status, 0);
  assert.equal(claudeSession(other, process.pid), undefined);
});
