// On Windows a kill runs no handler, PIDs are reused soon, and Node is not told when a process
// began.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { envOf } from "../../support/folder.ts";
import { heartbeats, localTime } from "../../support/mail.ts";
import { isRunning, SERVER } from "../../support/process.ts";
import { waitFor } from "../../support/wait.ts";
import { ask, makeFolder } from "./windows.ts";

test("a killed server is not listed", async (t) => {
  const { start } = makeFolder(t);
  const alpha = await start("alpha");
  const beta = await start("beta_two");
  assert.match(await ask(alpha, "who"), /beta_two/);
  await beta.kill();
  assert.doesNotMatch(await ask(alpha, "who"), /beta_two/);
});

test("a server whose client is killed leaves the list within a second", async (t) => {
  const { dir, start } = makeFolder(t);
  const alpha = await start("alpha");
  // A client that does nothing but hold the pipes of its server.
  const script = `
    const { spawn } = require("node:child_process");
    const server = spawn(process.execPath, [process.argv[1]], { stdio: ["pipe", "pipe", "ignore"] });
    const initialize = { jsonrpc: "2.0", id: 0, method: "initialize", params: {
      protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } } };
    server.stdin.write(JSON.stringify(initialize) + "\\n");
    setInterval(() => {}, 1000);`;
  const env = { ...envOf(dir), IPC_SESSION_ID: "orphan" };
  const client = spawn(process.execPath, ["-e", script, SERVER], { env, stdio: "ignore" });
  t.after(() => client.kill());
  const pid = await waitFor(() => heartbeats(dir).orphan?.pid, "orphan is online");
  assert.match(await ask(alpha, "who"), /orphan/);

  client.kill("SIGKILL");
  const began = performance.now();
  await waitFor(() => !isRunning(pid), "the server ends");
  t.diagnostic(`the server ended ${(performance.now() - began).toFixed(0)} ms after the kill`);
  assert.doesNotMatch(await ask(alpha, "who"), /orphan/);
});

test("a PID that another process has by now counts only with a young beat", async (t) => {
  const { dir, start } = makeFolder(t);
  mkdirSync(dir);
  const entry = (minutes: number) => ({
    timestamp: localTime(minutes / 24 / 60),
    status: "active",
    pid: process.pid, // runs, but is no server
    working_on: "",
    beat: Date.now() - minutes * 60_000,
    host: hostname(),
  });
  const entries = { ghost_old: entry(6), ghost_young: entry(1) };
  writeFileSync(join(dir, "heartbeats.json"), JSON.stringify(entries));
  const alpha = await start("alpha");
  const who = await ask(alpha, "who");
  assert.doesNotMatch(who, /ghost_old/);
  assert.match(who, /ghost_young/);
  assert.equal(heartbeats(dir).ghost_old, undefined, "the next write removed it");
});
