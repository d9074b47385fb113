// Every Node that users have: the ones it runs on, from the clone to the demo, and the ones that
// are too old.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { copySources } from "../../build/copy.ts";
import { homeOf, tempDir } from "../../support/folder.ts";
import { Process, SERVER } from "../../support/process.ts";
import { RawServer } from "../../support/rpc.ts";
import { fetchNode } from "../node.ts";
import { npm, offline } from "../npm.ts";

const versionOf = (node: string): string =>
  execFileSync(node, ["--version"], { encoding: "utf8" }).trim().slice(1);

describe("a Node that is too old", { skip: offline }, () => {
  for (const version of ["12", "16", "18"]) {
    test(`answers the handshake with the reason: ${version}`, async (t) => {
      const dir = tempDir(t);
      const node = await fetchNode(version, homeOf(dir));
      const server = new RawServer(dir, { command: [node, SERVER] });
      server.write({ id: 0, method: "server/discover" });
      server.write({ id: 1, method: "initialize", params: {} });
      assert.equal(await server.ended, 1);
      const { error } = await server.answer(1);
      const reason = `t9-ipc needs Node 20.19 or later; this is ${versionOf(node)} (`;
      assert.ok(error?.message.startsWith(reason), error?.message);
      assert.equal(server.stderr, `${error?.message}\n`);
    });
  }
});

describe("a clone is installed, built and shown", { skip: offline }, () => {
  for (const version of ["20.19.0", "22.0.0", "22", "24", "latest"]) {
    for (const args of [["ci", "--omit=optional"], ["install"]]) {
      test(`with npm ${args.join(" ")} on Node ${version}`, async (t) => {
        const dir = tempDir(t);
        const home = homeOf(dir);
        const node = await fetchNode(version, home);
        const clone = join(dirname(dir), "clone");
        copySources(clone, { isBuilt: false });
        await npm(args, { cwd: clone, home, node });
        const command = [node, join(clone, "dist/server.js"), "demo"];
        const demo = new Process(command, { cwd: home, env: { HOME: home, USERPROFILE: home } });
        assert.equal(await demo.ended, 0, demo.stderr);
        assert.match(demo.stdout, /channel notification is there/);
      });
    }
  }
});
