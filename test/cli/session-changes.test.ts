import assert from "node:assert/strict";
import { test } from "node:test";
import type { RegisteredSession } from "../../src/agents/claude/registry.ts";
import { SessionChanges } from "../../src/cli/session-changes.ts";
import type { Session } from "../../src/core/heartbeats.ts";
import type { Name } from "../../src/core/names.ts";

function session(name: string, pid: number, fields: object = {}): Session {
  const entry = { timestamp: "", status: "active", pid, working_on: "", host: "here", ...fields };
  return { name: name as Name, entry };
}

function scene() {
  const waiting = new Map<number, string>();
  const changes = new SessionChanges(({ pid }): RegisteredSession => {
    const waitingFor = waiting.get(pid);
    const status = waitingFor === undefined ? "busy" : "waiting";
    return { pid, status, waitingFor, isSpare: false, isUnattended: false, isBackground: false };
  });
  return { waiting, changes };
}

test("the first look says nothing, and later ones say who comes and goes", () => {
  const { changes } = scene();
  assert.deepEqual(changes.update([session("api", 1)]), []);
  assert.deepEqual(changes.update([session("api", 1), session("web", 2, { cwd: "/web" })]), [
    "web is online, in /web",
  ]);
  assert.deepEqual(changes.update([session("web", 2)]), ["api has left"]);
  assert.deepEqual(changes.update([session("web", 2)]), []);
});

test("another name is no new session, nor is a server that is started anew", () => {
  const { changes } = scene();
  changes.update([session("api", 1, { claude_pid: 7 })]);
  assert.deepEqual(changes.update([session("docs", 1, { claude_pid: 7 })]), [
    "api is named docs now",
  ]);
  assert.deepEqual(changes.update([session("docs", 3, { claude_pid: 7 })]), []);
});

test("a session that waits for its user is named once, and again when it goes on", () => {
  const { changes, waiting } = scene();
  changes.update([session("api", 1)]);
  waiting.set(1, "permission prompt");
  const waits = "api waits for its user (permission prompt)";
  assert.deepEqual(changes.update([session("api", 1)]), [waits]);
  assert.deepEqual(changes.update([session("api", 1)]), []);
  waiting.delete(1);
  assert.deepEqual(changes.update([session("api", 1)]), ["api goes on"]);
});
