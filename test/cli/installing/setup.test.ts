// `setup` and `setup --undo`: the entry in Claude Code's own file.

import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setupClaude, undoClaude } from "../../../src/agents/claude/setup.ts";
import { nodeCommand } from "../../../src/agents/node.ts";
import { configOf, run } from "../../support/command.ts";
import { homeOf, putProgram, tempDir } from "../../support/folder.ts";
import { SERVER } from "../../support/process.ts";

const PROOF = /^It works: two servers, and a message across in [\d.]+ ms\.$/m;

/** A home with that `.claude.json`, if any; `claude` is not on PATH. */
function home(t: TestContext, text?: string) {
  const dir = tempDir(t);
  const path = join(homeOf(dir), ".claude.json");
  if (text !== undefined) writeFileSync(path, text);
  // What this machine has in /usr/local/bin decides between a name and a path.
  const command = nodeCommand(configOf(dir));
  return {
    dir,
    path,
    entry: { type: "stdio", command, args: [SERVER], env: {} },
    read: () => readFileSync(path, "utf8"),
    json: () => JSON.parse(readFileSync(path, "utf8")),
  };
}

/** `setup` in this process, without its proof with two servers. Returns what it printed. */
async function setup(dir: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const lines: string[] = [];
  const no = async () => false;
  const options = { plugin: false, isAllowed: no, isStatusLineWanted: no };
  await setupClaude(configOf(dir, env), options, (line) => lines.push(line));
  return lines.join("\n");
}

/** `setup --undo` in this process. Returns what it printed. */
async function undo(dir: string): Promise<string> {
  const lines: string[] = [];
  await undoClaude(configOf(dir), (line) => lines.push(line));
  return lines.join("\n");
}

test("without claude, setup writes the entry itself and proves that a message gets across", async (t) => {
  const { dir, path, entry, json } = home(t);
  const { code, stdout, stderr } = await run(dir, ["setup"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`^Added t9-ipc to ${path}: ${entry.command} ${SERVER}$`, "m"));
  assert.match(stdout, PROOF);
  assert.deepEqual(json(), { mcpServers: { "t9-ipc": entry } });
  assert.equal(lstatSync(path).mode & 0o777, 0o600);

  const again = await run(dir, ["setup"]);
  assert.match(again.stdout, /has the entry already: nothing was changed\./);
  assert.match(again.stdout, PROOF);

  assert.match((await run(dir, ["setup", "--undo"])).stdout, /^Removed from /);
  assert.ok(!existsSync(path), "there was no file before");
  assert.match((await run(dir, ["setup", "--undo"])).stdout, /nothing was changed/);
});

const FILES: Record<string, string> = {
  "two spaces, as Claude Code writes it": JSON.stringify(
    { a: 1, mcpServers: { x: { command: "y" } }, b: [1, { c: "é\u2028" }] },
    null,
    2,
  ),
  "tabs and a last line end": `${JSON.stringify({ projects: { "/p": { mcpServers: {} } }, z: null }, null, "\t")}\n`,
  CRLF: '{\r\n  "a": 1\r\n}\r\n',
  "one line": '{"numStartups":3,"mcpServers":{}}\n',
};

for (const [name, before] of Object.entries(FILES)) {
  test(`setup keeps everything else, and --undo gives it back: ${name}`, async (t) => {
    const { dir, path, entry, read, json } = home(t, before);
    await setup(dir);
    const former = JSON.parse(before);
    const expected = { ...former, mcpServers: { ...former.mcpServers, "t9-ipc": entry } };
    assert.deepEqual(json(), expected);
    assert.equal(readFileSync(`${path}.t9-ipc-backup`, "utf8"), before);
    assert.equal(/[^\r]\n/.test(read()), !before.includes("\r\n"), "its own line ends");

    const text = read();
    assert.match(await setup(dir), /nothing was changed/);
    assert.equal(read(), text);

    await undo(dir);
    assert.deepEqual(json(), former);
    assert.deepEqual(readdirSync(homeOf(dir)), [".claude.json"], "the backup is gone");
    const restored = read();
    assert.match(await undo(dir), /nothing was changed/);
    assert.equal(read(), restored);
  });
}

test("an earlier entry is replaced, keeps its environment, and returns with --undo, whatever else changed", async (t) => {
  const python = {
    command: "python3",
    args: ["mcp/server.py"],
    cwd: "/src/t9-ipc",
    env: { IPC_TG_CHAT: "7" },
  };
  const before = JSON.stringify({ mcpServers: { "t9-ipc": python, other: {} } }, null, 2);
  const { dir, path, entry, json } = home(t, before);
  await setup(dir);
  const after = json();
  assert.deepEqual(after.mcpServers, { "t9-ipc": { ...entry, env: python.env }, other: {} });
  writeFileSync(path, JSON.stringify({ ...after, numStartups: 4 }, null, 2));
  await undo(dir);
  assert.deepEqual(json(), { mcpServers: { "t9-ipc": python, other: {} }, numStartups: 4 });
  assert.match(await undo(dir), /nothing was changed/, "that one is not ours to remove");
});

test("a file that is not JSON is not touched, with or without claude", async (t) => {
  const { dir, read } = home(t, '{ "a": 1, ');
  putProgram(dir, "claude", "process.exit(7)");
  for (const args of [["setup"], ["setup", "--undo"]]) {
    const { code, stderr } = await run(dir, args);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\.claude\.json is not valid JSON \(.+\)\. Nothing was changed: fix it first\./,
    );
  }
  assert.equal(read(), '{ "a": 1, ');
  assert.deepEqual(readdirSync(homeOf(dir)), [".claude.json"]);
});

test("a link stays a link, and CLAUDE_CONFIG_DIR moves the file", async (t) => {
  const { dir, path, entry } = home(t);
  const real = join(dir, "..", "dotfiles.json");
  writeFileSync(real, "{}\n", { mode: 0o644 });
  symlinkSync(real, path);
  await setup(dir);
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.equal(lstatSync(real).mode & 0o777, 0o644, "its mode stays too");
  assert.deepEqual(JSON.parse(readFileSync(real, "utf8")).mcpServers["t9-ipc"], entry);
  await undo(dir);
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.deepEqual(JSON.parse(readFileSync(real, "utf8")), {});

  const elsewhere = join(dir, "..", "config");
  mkdirSync(elsewhere);
  await setup(dir, { CLAUDE_CONFIG_DIR: elsewhere });
  assert.ok(existsSync(join(elsewhere, ".claude.json")));
});

test("setup asks claude if it is there, prints what it refuses, and tries nothing else", async (t) => {
  const { dir, path, entry } = home(t);
  putProgram(
    dir,
    "claude",
    `console.error("no, by policy: " + process.argv.slice(2).join(" ")); process.exit(1)`,
  );
  const { code, stderr } = await run(dir, ["setup"]);
  assert.equal(code, 1);
  const command = `mcp add --scope user t9-ipc -- ${entry.command} ${SERVER}`;
  assert.match(stderr, new RegExp(`no, by policy: ${command}`));
  assert.ok(!existsSync(path));
});

test("another node on PATH is not trusted: the entry has this one's path, and setup says what that means", async (t) => {
  const { dir, json } = home(t);
  const bin = join(dir, "..", "other");
  mkdirSync(bin);
  writeFileSync(join(bin, "node"), "#!/bin/sh\necho v18.0.0\n", { mode: 0o755 });
  const said = await setup(dir, { PATH: bin });
  assert.equal(json().mcpServers["t9-ipc"].command, process.execPath);
  assert.match(said, /An update of Node may remove .+: run setup again after it\./);
});
