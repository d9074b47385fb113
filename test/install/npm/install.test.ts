import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { buildCopy, copySources } from "../../build/copy.ts";
import { binOf } from "../../support/folder.ts";
import { Process } from "../../support/process.ts";
import { startSession, startSessions } from "../../support/session.ts";
import { offline, pack } from "../npm.ts";
import { installPackage } from "../package.ts";

test("installed without optional packages, it is set up, found healthy and taken back", {
  skip: offline,
}, async (t) => {
  const { dir, home, program, server } = await installPackage(t);
  const run = async (...args: string[]): Promise<string> => {
    const env = { PATH: binOf(dir), HOME: home, USERPROFILE: home };
    const command = new Process([program, ...args], { cwd: home, env });
    command.child.stdin.end();
    assert.equal(await command.ended, 0, `${args}: ${command.stdout}${command.stderr}`);
    return command.stdout;
  };
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
  const { dir, root, home, server, install } = await installPackage(t);
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
