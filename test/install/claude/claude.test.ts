// The installed package and the real Claude Code.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { findClaude } from "../../clients/claude/client.ts";
import { binOf, homeOf, tempDir } from "../../support/folder.ts";
import { Process, SERVER } from "../../support/process.ts";
import { fetchNode } from "../node.ts";
import { offline, pack } from "../npm.ts";
import { installPackage, ROOT } from "../package.ts";
import { startRegistry } from "../registry.ts";

const claude = offline ? { reason: offline } : findClaude();
const options = { skip: claude.reason ?? false, timeout: 180_000 };

/**
 * Runs a program in this home, with Claude Code on PATH, which reaches nothing but this machine.
 */
async function run(dir: string, command: readonly string[], more: Record<string, string> = {}) {
  const home = homeOf(dir);
  const env = {
    PATH: `${binOf(dir)}:${dirname(claude.program ?? "")}:/usr/local/bin:/usr/bin:/bin`,
    HOME: home,
    USERPROFILE: home,
    HTTP_PROXY: "http://127.0.0.1:9",
    HTTPS_PROXY: "http://127.0.0.1:9",
    NO_PROXY: "127.0.0.1",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL: "1",
    ...more,
  };
  const process = new Process(command, { cwd: home, env });
  process.child.stdin.end();
  assert.equal(await process.ended, 0, `${command}: ${process.stdout}${process.stderr}`);
  return process.stdout;
}

const askClaude = (dir: string, args: readonly string[], more?: Record<string, string>) =>
  run(dir, [claude.program ?? "", ...args], more);

test(
  "Claude Code connects to what setup registers, and shows why it does not under an old Node",
  options,
  async (t) => {
    const { dir, home, program, server } = await installPackage(t);
    await run(dir, [program, "setup", "--allow"]);
    assert.match(await askClaude(dir, ["mcp", "list"]), /^t9-ipc: .+ ✔ Connected$/m);
    assert.match(await run(dir, [program, "doctor"]), /^ok {7}Claude Code starts it$/m);

    const node = await fetchNode("18", home);
    await askClaude(dir, ["mcp", "add", "--scope", "user", "old", "--", node, server]);
    const health = await askClaude(dir, ["mcp", "list"]);
    assert.match(health, /^old: .+ t9-ipc needs Node 20\.19 or later; this is 18\.\d/m);

    await run(dir, [program, "setup", "--undo"]);
    assert.doesNotMatch(await askClaude(dir, ["mcp", "list"]), /^t9-ipc: /m);
  },
);

test(
  "Claude Code installs the plugin from a registry, and from a link to the package's file",
  options,
  async (t) => {
    const root = dirname(tempDir(t));
    const file = await pack(ROOT, root, join(root, "home"));
    const registry = await startRegistry(t, file, readFileSync(join(ROOT, "package.json"), "utf8"));
    for (const name of ["t9-ipc", `${registry}/t9-ipc.tgz`]) {
      const dir = tempDir(t);
      const marketplace = join(dirname(dir), "marketplace");
      mkdirSync(join(marketplace, ".claude-plugin"), { recursive: true });
      const json = JSON.parse(readFileSync(join(ROOT, ".claude-plugin/marketplace.json"), "utf8"));
      json.plugins[0].source = { source: "npm", package: name };
      const path = join(marketplace, ".claude-plugin/marketplace.json");
      writeFileSync(path, JSON.stringify(json));
      const env = { npm_config_registry: registry };
      await askClaude(dir, ["plugin", "marketplace", "add", marketplace], env);
      await askClaude(dir, ["plugin", "install", "t9-ipc@t9-ipc"], env);
      const health = await askClaude(dir, ["mcp", "list"], env);
      assert.match(health, /^plugin:t9-ipc:t9-ipc: .+ ✔ Connected$/m);
      assert.ok(existsSync(join(homeOf(dir), ".t9-ipc")), "its mail is in the home folder");
    }
  },
);

test(
  "Claude Code installs the plugin from dist, which is a marketplace of its own",
  options,
  async (t) => {
    const dir = tempDir(t);
    const env = { IPC_DIR: dir };
    await askClaude(dir, ["plugin", "marketplace", "add", dirname(SERVER)], env);
    await askClaude(dir, ["plugin", "install", "t9-ipc@t9-ipc"], env);
    const health = await askClaude(dir, ["mcp", "list"], env);
    assert.ok(health.includes(`plugin:t9-ipc:t9-ipc: node ${SERVER} - ✔ Connected`), health);
  },
);
