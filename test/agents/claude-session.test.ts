// Which of the registered processes of Claude Code a server belongs to.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ClaudeSession } from "../../src/agents/claude/session.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { configOf } from "../support/command.ts";
import { childEnv } from "../support/environment.ts";
import { tempDir } from "../support/folder.ts";

interface Registered {
  readonly socket?: string;
  readonly conversation?: string;
}

/** Living processes with these fields in the registry, and what finds a session among them. */
function registry(t: TestContext, entries: readonly Registered[]) {
  const claudeDir = mkdtempSync(join(tmpdir(), "t9-ipc-test-"));
  mkdirSync(join(claudeDir, "sessions"));
  const children = entries.map(() =>
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { env: childEnv() }),
  );
  t.after(() => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(claudeDir, { recursive: true, force: true });
  });
  const pids = children.map(({ pid = 0 }) => pid);
  for (const [n, { socket, conversation }] of entries.entries()) {
    const json = { pid: pids[n], messagingSocketPath: socket, sessionId: conversation };
    writeFileSync(join(claudeDir, "sessions", `${pids[n]}.json`), JSON.stringify(json));
  }
  const system = createSystem(configOf(tempDir(t)));
  const find = (environment: Registered, parent: number): number => {
    const { socket: socketPath, conversation } = environment;
    const own = { claudeDir, conversation, socketPath, folder: "/", parent };
    return new ClaudeSession(own, system).pid;
  };
  return { pids, find };
}

test("a server belongs to its parent, else to its socket, else to its conversation", (t) => {
  const { pids, find } = registry(t, [
    { socket: "/run/outer.sock", conversation: "outer" },
    { conversation: "inner" },
    { socket: "/run/other.sock", conversation: "inner" },
  ]);
  const [outer = 0, inner = 0, other = 0] = pids;
  // A Claude Code without a socket hands on the one of the session in whose shell it was started.
  assert.equal(find({ socket: "/run/outer.sock", conversation: "inner" }, inner), inner);
  // Started through npx, so that the parent is another program.
  assert.equal(find({ socket: "/run/other.sock", conversation: "inner" }, 1), other);
  assert.equal(find({ socket: "/run/outer.sock", conversation: "gone" }, 1), outer);
  assert.equal(find({ conversation: "outer" }, 1), outer);
  assert.equal(find({ conversation: "unknown" }, 1), 1, "older versions have no registry");
});
