// The package as a user installs it: globally, from its file, into an empty prefix.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { buildCopy, copySources } from "../../build/copy.ts";
import { binOf, homeOf, tempDir } from "../../support/folder.ts";
import { Process } from "../../support/process.ts";
import { startSession, startSessions } from "../../support/session.ts";
import { npm, offline, pack } from "../npm.ts";

const ROOT = resolve(import.meta.dirname, "../../..");

/** Installs the package's file without better-sqlite3. Returns how to run it, and how to install another file over it. */
async function installed(t: TestContext) {
  const dir = tempDir(t);
  const root = dirname(dir);
  const home = homeOf(dir);
  const prefix = join(root, "prefix");
  mkdirSync(prefix);
  const install = (file: string) => {
    const args = ["install", "--global", file, "--prefix", prefix, "--omit=optional"];
    return npm(args, { cwd: root, home });
  };
  await install(await pack(ROOT, root, home));
  const server = join(prefix, "lib/node_modules/t9-ipc/dist/server.js");
  const run = async (...args: string[]): Promise<string> => {
    const env = { PATH: binOf(dir), HOME: home, USERPROFILE: home };
    const command = new Process([join(prefix, "bin/t9-ipc"), ...args], { cwd: home, env });
    command.child.stdin.end();
    assert.equal(await command.ended, 0, `${args}: ${command.stdout}${command.stderr}`);
    return command.stdout;
  };
  return { dir, root, home, server, install, run };
}

test("installed without optional packages, it is set up, found healthy and taken back", {
  skip: offline,
}, async (t) => {
  const { home, server, run } = await installed(t);
  const read = (file: string) => JSON.parse(readFileSync(join(home, file), "utf8"));
  await run("setup", "--allow");
  const { command, args } = read(".claude.json").mcpServers["t9-ipc"];
  assert.deepEqual([command, ...args], ["node", server]);
  assert.deepEqual(read(".claude/settings.json").permissions.allow, ["mcp__t9-ipc"]);
  const findings = await run("doctor");
  assert.match(findings, /^warning {2}better-sqlite3: /m);
  assert.doesNotMatch(findings, /^broken/m);
  assert.ok(existsSync(join(home, ".t9-ipc/inbox")), "its mail is in the home folder");
  await run("setup", "--undo");
  for (const file of [".claude.json", ".claude/settings.json"])
    if (existsSync(join(home, file))) assert.doesNotMatch(JSON.stringify(read(file)), /t9-ipc/);
});

test("sessions that run while it is upgraded go on, and talk to new ones", {
  skip: offline,
}, async (t) => {
  const { dir, root, home, server, install } = await installed(t);
  const command = [process.execPath, server];
  const [alpha, beta] = await startSessions(["alpha", "beta"], { dir, command });

  const clone = join(root, "clone");
  copySources(clone);
  const path = join(clone, "package.json");
  const next = { ...JSON.parse(readFileSync(path, "utf8")), version: "99.0.0" };
  writeFileSync(path, JSON.stringify(next));
  await buildCopy(clone);
  await install(await pack(clone, root, home));

  const gamma = await startSession("gamma", { dir, command });
  assert.equal(gamma.client.getServerVersion()?.version, "99.0.0");
  assert.notEqual(alpha.client.getServerVersion()?.version, "99.0.0");
  const sessions = { alpha, beta, gamma };
  for (const [from, to] of [
    ["alpha", "beta"],
    ["beta", "gamma"],
    ["gamma", "alpha"],
  ] as const) {
    const subject = `from ${from}`;
    const sent = await sessions[from].call("send", { to, subject, body: "still here" });
    assert.equal(sent.isError, false, sent.text);
    assert.match((await sessions[to].call("unread")).text, new RegExp(subject));
    assert.match((await sessions[from].call("who")).text, new RegExp(`- ${to}: `));
  }
  assert.equal((await beta.call("set_name", { name: "delta" })).isError, false);
});
