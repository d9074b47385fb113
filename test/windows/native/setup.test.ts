// `setup`, `--undo` and `doctor` with the real claude.exe, and with the claude.cmd that npm writes.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { envOf, homeOf, tempDir } from "../../support/folder.ts";
import { SERVER } from "../../support/process.ts";
import { CLAUDE, needsClaude, needsWine } from "./windows.ts";

/** The file keeps its name, which tells Node what is in it. */
const inOtherLetters = (path: string): string =>
  join(dirname(path).toUpperCase(), basename(path)).replace(/^./, (drive) => drive.toLowerCase());

/** What a folder for `claude` needs beside it on PATH: cmd.exe runs claude.cmd. */
const SYSTEM = join(process.env.SYSTEMROOT ?? "C:\\Windows", "system32");

/** A home, and the command line in it with these folders and Node's on PATH. */
function makeHome(t: TestContext, ...path: string[]) {
  const dir = tempDir(t);
  const home = homeOf(dir);
  const env = {
    ...envOf(dir),
    PATH: [dirname(process.execPath), ...path].join(delimiter),
    COMSPEC: "", // cmd.exe is there if SYSTEM is on PATH
    HTTP_PROXY: "http://127.0.0.1:9",
    HTTPS_PROXY: "http://127.0.0.1:9",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL: "1",
  };
  const run = (program: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(program, args, {
      cwd: home,
      env,
      encoding: "utf8",
    });
    return { code: status, stdout, output: `${stdout}${stderr}` };
  };
  const readJson = (...path: string[]) => JSON.parse(readFileSync(join(home, ...path), "utf8"));
  return {
    home,
    run,
    readJson,
    t9: (...args: string[]) => run(process.execPath, SERVER, ...args),
    /** By a path in other letters, as a shell may give it. */
    T9: (...args: string[]) => run(process.execPath, inOtherLetters(SERVER), ...args),
  };
}

test(
  "setup registers with claude.exe, which starts the server; --undo removes all",
  needsClaude,
  (t) => {
    const { run, readJson, t9 } = makeHome(t, dirname(CLAUDE ?? ""), SYSTEM);
    const { code, stdout, output } = t9("setup", "--allow");
    assert.equal(code, 0, output);
    assert.match(stdout, /^Added stdio MCP server t9-ipc with command: node /m);
    assert.match(stdout, /^It works: /m);
    t.diagnostic(/message across in [\d.]+ ms/.exec(stdout)?.[0] ?? "");
    const entry = { type: "stdio", command: "node", args: [SERVER], env: {} };
    assert.deepEqual(readJson(".claude.json").mcpServers["t9-ipc"], entry);
    assert.deepEqual(readJson(".claude", "settings.json").permissions.allow, ["mcp__t9-ipc"]);
    assert.match(t9("setup", "--allow").stdout, /nothing was changed/);

    assert.match(run(CLAUDE ?? "", "mcp", "list").output, /t9-ipc: .*Connected/);
    const doctor = t9("doctor");
    assert.equal(doctor.code, 0, doctor.output);
    assert.match(doctor.stdout, /^ok {7}Claude Code \d+\.\d+\.\d+$/m);
    assert.match(doctor.stdout, /^ok {7}Claude Code starts it$/m);

    assert.match(t9("setup", "--undo").stdout, /^Removed from /);
    assert.equal(readJson(".claude.json").mcpServers?.["t9-ipc"], undefined);
  },
);

test(
  "setup --plugin works with the claude.cmd that npm writes; --undo removes all",
  needsClaude,
  (t) => {
    const folder = join(homeOf(tempDir(t)), "npm & co");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "claude.cmd"), `@ECHO off\r\n"${CLAUDE}" %*\r\n`);
    const { home, readJson, t9 } = makeHome(t, folder, SYSTEM);
    const { code, stdout, output } = t9("setup", "--plugin", "--allow");
    assert.equal(code, 0, output);
    assert.match(stdout, /^It works: /m);
    const { enabledPlugins, permissions } = readJson(".claude", "settings.json");
    assert.deepEqual(enabledPlugins, { "t9-ipc@t9-ipc": true });
    assert.deepEqual(permissions.allow, ["mcp__plugin_t9-ipc_t9-ipc"]);

    const undo = t9("setup", "--undo");
    assert.equal(undo.code, 0, undo.output);
    // The file was not there before.
    assert.equal(existsSync(join(home, ".claude", "settings.json")), false);
  },
);

test("an administrator's settings in Program Files are read", needsWine, (t) => {
  const path = "C:\\Program Files\\ClaudeCode\\managed-settings.json";
  mkdirSync(dirname(path), { recursive: true });
  t.after(() => rmSync(dirname(path), { recursive: true }));
  writeFileSync(path, JSON.stringify({ permissions: { deny: ["mcp__t9-ipc"] } }));
  const { t9 } = makeHome(t, dirname(CLAUDE ?? ""), SYSTEM);
  const { stdout } = t9("setup", "--allow");
  assert.match(stdout, /"mcp__t9-ipc" under "deny" in C:\\Program Files\\ClaudeCode/);
});

test("an installation is known by its path in any letter case", (t) => {
  // Without cmd.exe: the one of Wine takes a `claude` that is missing for one that has succeeded.
  const { readJson, t9, T9 } = makeHome(t);
  assert.match(T9("setup", "--allow").stdout, /^Added t9-ipc to /m);
  assert.match(t9("setup", "--allow").stdout, /nothing was changed/);
  assert.equal(t9("doctor").stdout.includes("not this installation"), false);
  assert.match(t9("setup", "--undo").stdout, /^Removed from /);
  assert.throws(() => readJson(".claude.json"), /ENOENT/);
});
