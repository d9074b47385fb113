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
import { restore, setValue, withValue } from "../../src/agents/claude/json-file.ts";
import { run } from "../support/command.ts";
import { homeOf, putProgram, tempDir } from "../support/folder.ts";
import { SERVER } from "../support/process.ts";

const PROOF = /^It works: two servers, and a message across in [\d.]+ ms\.$/m;
const ENTRY = { type: "stdio", command: "node", args: [SERVER], env: {} };

/** A home with that `.claude.json`, if any. */
function home(t: TestContext, text?: string): { dir: string; path: string; read(): string } {
  const dir = tempDir(t);
  const path = join(homeOf(dir), ".claude.json");
  if (text !== undefined) writeFileSync(path, text);
  return { dir, path, read: () => readFileSync(path, "utf8") };
}

test("without claude, setup writes the entry itself and proves that a message gets across", async (t) => {
  const { dir, path, read } = home(t);
  const { code, stdout, stderr } = await run(dir, ["setup"]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`^Added t9-ipc to ${path}: node ${SERVER}$`, "m"));
  assert.match(stdout, PROOF);
  assert.deepEqual(JSON.parse(read()), { mcpServers: { "t9-ipc": ENTRY } });
  assert.equal(lstatSync(path).mode & 0o777, 0o600);
});

const FILES: Record<string, string> = {
  "two spaces, as Claude Code writes it": JSON.stringify(
    { a: 1, mcpServers: { x: { command: "y" } }, b: [1, { c: "é\u2028" }] },
    null,
    2,
  ),
  "tabs and a last line end": `${JSON.stringify({ projects: { "/p": { mcpServers: {} } }, z: null }, null, "\t")}\n`,
  "one line": '{"numStartups":3,"mcpServers":{}}\n',
};

const UNDONE = "and --undo gives the same bytes again";

test(`all else in the file stays as it is, ${UNDONE}: by the command itself`, async (t) => {
  const before = FILES["two spaces, as Claude Code writes it"] ?? "";
  const { dir, path, read } = home(t, before);
  assert.equal((await run(dir, ["setup"])).code, 0);
  checkRest(path, before);

  const text = read();
  const again = await run(dir, ["setup"]);
  assert.match(again.stdout, /has the entry already: nothing was changed\./);
  assert.match(again.stdout, PROOF);
  assert.equal(read(), text);

  assert.match((await run(dir, ["setup", "--undo"])).stdout, /^Taken back in /);
  assert.equal(read(), before);
  assert.match((await run(dir, ["setup", "--undo"])).stdout, /nothing was changed/);
  assert.equal(read(), before);
});

for (const [name, before] of Object.entries(FILES)) {
  test(`all else in the file stays as it is, ${UNDONE}: ${name}`, async (t) => {
    const { path, read } = home(t, before);
    const place = ["mcpServers", "t9-ipc"];
    await setValue(path, place, ENTRY);
    checkRest(path, before);
    await restore(path, (text) => withValue(text, place, undefined));
    assert.equal(read(), before);
  });
}

/** Has the file our entry, and all else as it was before? */
function checkRest(path: string, before: string): void {
  const text = readFileSync(path, "utf8");
  const after = JSON.parse(text);
  assert.deepEqual(after.mcpServers["t9-ipc"], ENTRY);
  delete after.mcpServers["t9-ipc"];
  assert.deepEqual(
    { ...after, mcpServers: undefined },
    { ...JSON.parse(before), mcpServers: undefined },
  );
  for (const line of before.split("\n").filter((each) => /"(a|z|c)"/.test(each))) {
    assert.ok(text.includes(line.replace(/,$/, "")), line);
  }
  assert.equal(readFileSync(`${path}.t9-ipc-backup`, "utf8"), before);
  assert.equal(/\n$/.test(text), /\n$/.test(before));
}

test("an earlier entry is replaced, keeps its environment, and returns with --undo, whatever else changed", async (t) => {
  const python = {
    command: "python3",
    args: ["mcp/server.py"],
    cwd: "/src/t9-ipc",
    env: { IPC_TG_CHAT: "7" },
  };
  const { dir, path, read } = home(
    t,
    JSON.stringify({ mcpServers: { "t9-ipc": python, other: {} } }, null, 2),
  );
  assert.equal((await run(dir, ["setup"])).code, 0);
  const after = JSON.parse(read());
  assert.deepEqual(after.mcpServers, { "t9-ipc": { ...ENTRY, env: python.env }, other: {} });
  writeFileSync(path, JSON.stringify({ ...after, numStartups: 4 }, null, 2));
  assert.equal((await run(dir, ["setup", "--undo"])).code, 0);
  assert.deepEqual(JSON.parse(read()), {
    mcpServers: { "t9-ipc": python, other: {} },
    numStartups: 4,
  });
  assert.match(
    (await run(dir, ["setup", "--undo"])).stdout,
    /nothing was changed/,
    "that one is not ours to take",
  );
});

test("a file that is not JSON is not touched, with or without claude", async (t) => {
  const { dir, read } = home(t, '{ "a": 1, ');
  putProgram(dir, "claude", "process.exit(7)");
  for (const args of [["setup"], ["setup", "--undo"]]) {
    const { code, stderr } = await run(dir, args);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /\.claude\.json is not valid JSON \(.+\)\. Nothing was changed: mend it first\./,
    );
  }
  assert.equal(read(), '{ "a": 1, ');
  assert.deepEqual(readdirSync(homeOf(dir)), [".claude.json"]);
});

test("a link stays a link, and CLAUDE_CONFIG_DIR is where the file is then", async (t) => {
  const { dir, path } = home(t);
  const real = join(dir, "..", "dotfiles.json");
  writeFileSync(real, "{}\n");
  symlinkSync(real, path);
  assert.equal((await run(dir, ["setup"])).code, 0);
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.deepEqual(JSON.parse(readFileSync(real, "utf8")).mcpServers["t9-ipc"], ENTRY);

  const elsewhere = join(dir, "..", "config");
  mkdirSync(elsewhere);
  assert.equal((await run(dir, ["setup"], { env: { CLAUDE_CONFIG_DIR: elsewhere } })).code, 0);
  assert.ok(existsSync(join(elsewhere, ".claude.json")));
});

test("where claude is, it is asked; what it refuses is told, and nothing else is tried", async (t) => {
  const { dir, path } = home(t);
  putProgram(
    dir,
    "claude",
    `console.error("no, by policy: " + process.argv.slice(2).join(" ")); process.exit(1)`,
  );
  const { code, stderr } = await run(dir, ["setup"]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`no, by policy: mcp add --scope user t9-ipc -- node ${SERVER}`));
  assert.ok(!existsSync(path));
});

test("another node on PATH is not trusted: the entry gets this one's path", async (t) => {
  const { dir, read } = home(t);
  const bin = join(dir, "..", "other");
  mkdirSync(bin);
  writeFileSync(join(bin, "node"), "#!/bin/sh\necho v18.0.0\n", { mode: 0o755 });
  assert.equal((await run(dir, ["setup"], { env: { PATH: bin } })).code, 0);
  assert.equal(JSON.parse(read()).mcpServers["t9-ipc"].command, process.execPath);
});
