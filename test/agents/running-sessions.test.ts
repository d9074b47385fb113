// What `doctor` says about the Claude Code sessions that run now. Their processes are fakes, their
// files are not.

import assert from "node:assert/strict";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { uptime } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { checkClaude } from "../../src/agents/claude/doctor.ts";
import type { Finding } from "../../src/agents/finding.ts";
import { nodeCommand } from "../../src/agents/node.ts";
import type { Entry } from "../../src/core/heartbeats.ts";
import { createProcessTable } from "../../src/core/process.ts";
import { configOf } from "../support/command.ts";
import { named } from "../support/fake-system.ts";
import { homeOf, tempDir } from "../support/folder.ts";
import { Process, SERVER, waiting } from "../support/process.ts";

/** A home in which t9-ipc is registered. */
function scene(t: TestContext) {
  const dir = tempDir(t);
  const home = homeOf(dir);
  const config = configOf(dir);
  const entry = { command: nodeCommand(config), args: [SERVER] };

  return {
    home,
    register: (json: object = {}, path = join(home, ".claude.json")): void => {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, JSON.stringify({ mcpServers: { "t9-ipc": entry }, ...json }));
    },
    /** Starts a process as a session of Claude Code, with its file. */
    startClaude: (flags: string[], fields: object = {}, claudeDir = join(home, ".claude")) => {
      const { pid } = new Process(waiting(...flags), { cwd: home });
      const procStart = createProcessTable().startOf(pid);
      const session = { pid, procStart, sessionId: `of-${pid}`, cwd: "/web", ...fields };
      mkdirSync(join(claudeDir, "sessions"), { recursive: true });
      writeFileSync(join(claudeDir, "sessions", `${pid}.json`), JSON.stringify(session));
      return pid;
    },
    /** The findings about running sessions. */
    check: async (served: Partial<Entry>[] = []): Promise<Finding[]> => {
      const findings: Finding[] = [];
      const sessions = served.map((entry) => ({ name: named("x"), entry: entry as Entry }));
      for await (const finding of checkClaude(config, sessions)) findings.push(finding);
      return findings.filter(({ what }) => /Claude Code session|IPC_SESSION_ID|other/.test(what));
    },
  };
}

test("a session with a server of ours is counted, by process or conversation", async (t) => {
  const { register, startClaude, check } = scene(t);
  register();
  const [byProcess, byConversation] = [startClaude([]), startClaude([])];
  const found = await check([
    { claude_pid: byProcess },
    { claude_session: `of-${byConversation}` },
  ]);
  assert.deepEqual(found, [{ state: "ok", what: "Claude Code sessions that run with t9-ipc: 2" }]);
});

test("a server of another process does not count, even in the same conversation", async (t) => {
  const { register, startClaude, check } = scene(t);
  register();
  const pid = startClaude([]);
  const [found] = await check([{ claude_pid: process.pid, claude_session: `of-${pid}` }]);
  assert.ok(found?.what.includes(`PID ${pid}`), JSON.stringify(found));
  assert.equal(found?.state, "warning");
});

test("a running session without a server is named, with the reason and the remedy", async (t) => {
  const { home, register, startClaude, check } = scene(t);
  register({ projects: { "/off": { disabledMcpServers: ["other", "t9-ipc"] } } });
  const strict = startClaude(["--strict-mcp-config"], { name: "backend work", nameSource: "user" });
  const disabled = startClaude([], { cwd: "/off" });
  const ended = startClaude([]);
  // These are not sessions: a worker without a task, a process from before this boot, an ended
  // process, a broken file.
  startClaude([], { spare: true });
  startClaude([], { startedAt: Date.now() - uptime() * 1000 - 60_000 });
  writeFileSync(join(home, ".claude", "sessions", "999999.json"), '{"pid":999999}');
  writeFileSync(join(home, ".claude", "sessions", `${process.pid}.json`), "{");

  const found = await check();
  assert.equal(found.length, 3, JSON.stringify(found));
  const about = (pid: number): Finding =>
    found.find(({ what }) => what.includes(`PID ${pid}`)) ?? assert.fail(JSON.stringify(found));
  assert.equal(
    about(strict).what,
    `a Claude Code session (backend work, PID ${strict}, in /web) has no t9-ipc`,
  );
  // Windows does not tell the arguments of another process.
  if (process.platform !== "win32") {
    assert.equal(about(strict).problem, "it was started with --strict-mcp-config");
  }
  assert.equal(about(disabled).problem, "t9-ipc is disabled in /off");
  assert.equal(about(disabled).remedy, "type /mcp enable t9-ipc in it");
  assert.equal(about(ended).problem, "its server has ended, or was not started");
  for (const { state } of found) assert.equal(state, "warning");
});

test("doctor tells a session from before setup from one whose server has ended", async (t) => {
  const { home, register, startClaude, check } = scene(t);
  register();
  const backup = join(home, ".claude.json.t9-ipc-backup");
  writeFileSync(backup, "");
  startClaude([], { startedAt: Date.now() });
  const later = Date.now() / 1000 + 60;
  utimesSync(backup, later, later);
  assert.equal((await check())[0]?.problem, "it was started before setup");
  const earlier = later - 3600;
  utimesSync(backup, earlier, earlier);
  assert.equal((await check())[0]?.problem, "its server has ended, or was not started");
});

test("doctor finds another CLAUDE_CONFIG_DIR, its entry and its running sessions", async (t) => {
  const { home, register, startClaude, check } = scene(t);
  register();
  const other = join(home, ".claude-other");
  register({ mcpServers: {} }, join(other, ".claude.json"));
  const pid = startClaude([], {}, other);
  const [without] = await check();
  assert.ok(without?.what.includes(`PID ${pid}`), JSON.stringify(without));
  assert.equal(without?.problem, `${join(other, ".claude.json")} has no t9-ipc entry for it`);
  assert.equal(without?.remedy, `run setup with CLAUDE_CONFIG_DIR=${other}`);
  // A broken copy that is not in use any more.
  mkdirSync(join(home, ".claude-old"));
  writeFileSync(join(home, ".claude-old", ".claude.json"), "{");

  const env = { IPC_DIR: "/elsewhere" };
  const entry = { command: "node", args: [SERVER], env };
  register({ mcpServers: { "t9-ipc": entry } }, join(other, ".claude.json"));
  const [elsewhere] = await check([{ claude_pid: pid }]);
  assert.match(elsewhere?.what ?? "", /\.claude-other[\\/]\.claude\.json: node /);
  assert.match(elsewhere?.problem ?? "", /^its mail is in (C:\\|\/)elsewhere, not /);
});

test("doctor finds an IPC_SESSION_ID that all sessions share", async (t) => {
  const { home, register, check } = scene(t);
  const env = { IPC_SESSION_ID: "everybody" };
  register({ mcpServers: { "t9-ipc": { command: "node", args: [SERVER], env } } });
  mkdirSync(join(home, ".claude"));
  writeFileSync(join(home, ".claude", "settings.json"), JSON.stringify({ env }));
  const found = await check();
  assert.deepEqual(
    found.map(({ what }) => what),
    [".claude.json", join(".claude", "settings.json")].map(
      (file) => `IPC_SESSION_ID=everybody in ${join(home, file)}`,
    ),
  );
});
