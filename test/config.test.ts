// The configuration of a process that knows little about its user.

import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { join, parse, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { readConfig, workingFolder } from "../src/config.ts";

/** As in a container whose user id has no entry in /etc/passwd. */
function forgetUser(t: TestContext): void {
  t.mock.method(os, "homedir", () => {
    throw new Error("uv_os_homedir returned ENOENT");
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

test("a user whom the system does not know can use a data folder that is named", (t) => {
  forgetUser(t);
  const dir = resolve("/data/ipc");
  const config = readConfig({ IPC_DIR: dir }, resolve("/project"), () => assert.fail());
  const { root } = parse(dir);
  assert.equal(config.dir, dir);
  assert.equal(config.claudeDir, join(root, ".claude"));
  assert.equal(config.codexDir, join(root, ".codex"));
});

test("a user whom the system does not know can work in a folder that was deleted", (t) => {
  forgetUser(t);
  t.mock.method(process, "cwd", () => {
    throw new Error("ENOENT: uv_cwd");
  });
  const { PWD } = process.env;
  delete process.env.PWD;
  t.after(() => {
    if (PWD !== undefined) process.env.PWD = PWD;
  });
  assert.equal(workingFolder(), parse(import.meta.dirname).root);
});
