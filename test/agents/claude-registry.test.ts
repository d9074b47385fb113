// What is read from Claude Code's sessions/PID.json; nothing else in its place is believed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  listRegistered,
  type RegisteredSession,
  readRegistered,
} from "../../src/agents/claude/registry.ts";
import { diskFiles } from "../../src/core/files.ts";
import { createProcessTable } from "../../src/core/process.ts";
import { childEnv } from "../support/environment.ts";
import { mkfifoSync } from "../support/fifo.ts";

const processes = createProcessTable();
const system = { files: diskFiles, processes };

/** The fields that have a value. */
function registered(dir: string, pid: number): Partial<RegisteredSession> | undefined {
  const session = readRegistered(dir, pid, system);
  const fields = Object.entries(session ?? {}).filter(([, value]) => value !== undefined);
  return session && Object.fromEntries(fields);
}

/** As Claude Code 2.1.330 wrote it, except that the process is this one. */
const seen = {
  pid: process.pid,
  sessionId: "49edc01a-e07a-4f69-9f6f-d8b632b97173",
  cwd: "/home/me/project",
  startedAt: 1795500484301,
  procStart: processes.startOf(process.pid),
  version: "2.1.330",
  kind: "interactive",
  name: "backend work",
  nameSource: "user",
  nameSince: 1795500484313,
  status: "idle",
  updatedAt: 1795500485769,
  statusUpdatedAt: 1795500485769,
};

/** What is read if every other field is missing or of another type. */
const nothing = { pid: process.pid, isSpare: false, isUnattended: false, isBackground: false };

const read = {
  ...nothing,
  conversation: seen.sessionId,
  name: "backend work",
  status: "idle",
  since: seen.statusUpdatedAt,
  folder: "/home/me/project",
  startedAt: seen.startedAt,
};

/** Claude Code's folder with this in `sessions/PID.json`, or with no such file. */
function claudeDir(t: TestContext, content?: unknown, pid: number = process.pid): string {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-test-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, "sessions"));
  const text = typeof content === "string" ? content : JSON.stringify(content);
  if (content !== undefined) writeFileSync(join(dir, "sessions", `${pid}.json`), text);
  return dir;
}

test("the registry tells a conversation, the user's name for it and its status", (t) => {
  assert.deepEqual(registered(claudeDir(t, seen), process.pid), read);
});

test("a session is busy, idle or waiting for its user, or the status is unknown", (t) => {
  const withStatus = (status: object) =>
    registered(claudeDir(t, { ...seen, ...status }), process.pid);
  assert.equal(withStatus({ status: "busy" })?.status, "busy");
  const waiting = { status: "waiting", waitingFor: "dialog open" };
  assert.deepEqual(withStatus(waiting), { ...read, ...waiting });
  assert.deepEqual(withStatus({ waitingFor: "dialog open" }), read, "it waits for nothing");
  const { status: _, ...rest } = read;
  for (const status of ["shell", "dreaming", 7, null, undefined]) {
    assert.deepEqual(withStatus({ status }), rest);
  }
});

test("a name that Claude Code made up is not the user's", (t) => {
  const { name: _, ...rest } = read;
  for (const nameSource of ["derived", "auto", "hook", undefined, true]) {
    assert.deepEqual(registered(claudeDir(t, { ...seen, nameSource }), process.pid), rest);
  }
});

test("a background session, a spare worker and a run that nobody watches are told apart", (t) => {
  const withFields = (fields: object) =>
    registered(claudeDir(t, { ...seen, ...fields }), process.pid);
  // A background session keeps its user's name, whatever the source says.
  const background = { kind: "bg", nameSource: undefined };
  assert.deepEqual(withFields(background), { ...read, isBackground: true });
  assert.deepEqual(withFields({ spare: true }), { ...read, isSpare: true });
  assert.deepEqual(withFields({ entrypoint: "sdk-cli" }), { ...read, isUnattended: true });
});

test("fields of another type are left out, and the others are read", (t) => {
  const odd = {
    ...seen,
    sessionId: 7,
    cwd: null,
    startedAt: "1795500484301",
    name: ["x"],
    status: { idle: true },
    statusUpdatedAt: "1795500485769",
  };
  assert.deepEqual(registered(claudeDir(t, odd), process.pid), nothing);
  const other = {
    ...seen,
    sessionId: "",
    cwd: "",
    startedAt: 1.5,
    name: "x".repeat(1001),
    status: undefined,
    statusUpdatedAt: -1,
  };
  assert.deepEqual(registered(claudeDir(t, other), process.pid), nothing);
});

test("nothing is read from a missing file, or from one that is not a JSON object", (t) => {
  assert.equal(registered(join(claudeDir(t), "nowhere"), process.pid), undefined);
  assert.deepEqual(listRegistered(join(claudeDir(t), "nowhere"), system), []);
  const contents = [undefined, "", "{", '{"pid":', "null", "[]", "7", '"x"', " ".repeat(70_000)];
  for (const content of contents) {
    const dir = claudeDir(t, content);
    assert.equal(registered(dir, process.pid), undefined, JSON.stringify(content));
    assert.deepEqual(listRegistered(dir, system), [], JSON.stringify(content));
  }
});

test("nothing is read from a file of another process, or of an earlier one", async (t) => {
  assert.equal(registered(claudeDir(t, { ...seen, pid: process.ppid }), process.pid), undefined);
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { env: childEnv() });
  t.after(() => child.kill());
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  const procStart = processes.startOf(pid);
  const isKnown = procStart !== undefined; // Windows tells no start
  const earlier = claudeDir(t, { ...seen, pid, procStart: "1" }, pid);
  assert.deepEqual(registered(earlier, pid), isKnown ? undefined : { ...read, pid });
  const same = claudeDir(t, { ...seen, pid, procStart }, pid);
  assert.deepEqual(registered(same, pid), { ...read, pid });
  assert.deepEqual(
    listRegistered(same, system).map((session) => session.pid),
    [pid],
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(registered(same, pid), undefined, "the process has ended");
});

test("a link in the file's place is not followed, and a FIFO is not waited for", {
  skip: process.platform === "win32" && "no links and no FIFOs",
}, (t) => {
  const dir = claudeDir(t, seen, 1);
  symlinkSync(join(dir, "sessions", "1.json"), join(dir, "sessions", `${process.pid}.json`));
  assert.equal(registered(dir, process.pid), undefined);
  const other = claudeDir(t);
  assert.equal(mkfifoSync(join(other, "sessions", `${process.pid}.json`)), true);
  assert.equal(registered(other, process.pid), undefined);
});
