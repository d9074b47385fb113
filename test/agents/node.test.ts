// The Node that a client finds which was not started from a shell.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { nodeCommand } from "../../src/agents/node.ts";
import { checkStart } from "../../src/agents/try-server.ts";
import { configOf } from "../support/command.ts";
import { binOf, putNode, putProgram, tempDir, writeProgram } from "../support/folder.ts";
import { filesIn, heartbeats } from "../support/mail.ts";
import { SERVER } from "../support/process.ts";

/** A folder for PATH with this Node, with another version, or with none. */
function folderWith(t: TestContext, node: "this node" | "v18.20.4" | "v20.18.9" | "none"): string {
  const dir = tempDir(t);
  mkdirSync(dir);
  if (node === "this node") putNode(dir);
  else if (node !== "none") writeProgram(dir, "node", `console.log(${JSON.stringify(node)})`);
  return dir;
}

test("setup writes `node` only if a shell and every other client find a fitting one", (t) => {
  const config = configOf(tempDir(t)); // its PATH has this Node
  assert.equal(nodeCommand(config, folderWith(t, "this node")), "node");
  for (const other of ["none", "v18.20.4", "v20.18.9"] as const) {
    assert.equal(nodeCommand(config, folderWith(t, other)), process.execPath, other);
  }
  const without = configOf(tempDir(t), { PATH: folderWith(t, "none") });
  assert.equal(nodeCommand(without, folderWith(t, "this node")), process.execPath);
});

test("doctor starts the registered command with the PATH of such a client", async (t) => {
  const dir = tempDir(t);
  const config = configOf(dir);
  const entry = { command: "node", args: [SERVER] };
  const found = await checkStart(config, entry, "run setup", binOf(dir));
  assert.equal(found.state, "ok");
  assert.ok(found.what.includes(`${SERVER}, started with PATH=${binOf(dir)}`), found.what);

  const none = await checkStart(config, entry, "run setup", folderWith(t, "none"));
  assert.equal(none.state, "warning");
  assert.equal(none.problem, '"node" is not found there');
  assert.equal(none.remedy, "run setup");

  const byPath = { command: process.execPath, args: [SERVER], env: { IPC_DIR: dir } };
  assert.equal((await checkStart(config, byPath, "", folderWith(t, "none"))).state, "ok");
  assert.deepEqual(heartbeats(dir), {}, "its own data folder, whatever the entry says");
  assert.deepEqual(filesIn(dir), []);
});

test("the last words of a server that does not start are its problem", async (t) => {
  const dir = tempDir(t);
  putProgram(
    dir,
    "old",
    'console.error("first"); console.error("it needs more"); process.exit(1);',
  );
  const found = await checkStart(configOf(dir), { command: "old", args: [] }, "", binOf(dir));
  assert.equal(found.problem, "it needs more");
});
