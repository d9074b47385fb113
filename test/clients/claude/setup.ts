// `setup` and `doctor` with the real Claude Code: the server's entry, and the plugin.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { run } from "../../support/command.ts";
import { binOf, envOf, homeOf, tempDir } from "../../support/folder.ts";
import { Process, SERVER } from "../../support/process.ts";
import { found, needsClient, needsTerminal, root, scene } from "./scene.ts";

const PROOF = /^It works: two servers, and a message across in [\d.]+ ms\.$/m;
const RULE = "mcp__plugin_t9-ipc_t9-ipc";
/** As nobody's tool would write it, so that its return is no accident. */
const BEFORE = '{\n\t"cleanupPeriodDays": 30, "permissions": {"allow": ["WebFetch"]}\n}\n';
const options = { ...needsClient, timeout: 120_000 };

/**
 * A home with these settings, and the real claude in it, which reaches nothing but this machine.
 */
function home(t: TestContext, settings?: string) {
  const dir = tempDir(t);
  const path = join(homeOf(dir), ".claude", "settings.json");
  mkdirSync(dirname(path));
  if (settings !== undefined) writeFileSync(path, settings);
  const env = {
    PATH: `${binOf(dir)}:${dirname(found.program ?? "")}:/usr/bin:/bin`,
    HTTP_PROXY: "http://127.0.0.1:9",
    HTTPS_PROXY: "http://127.0.0.1:9",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL: "1",
  };
  const ask = async (...args: string[]): Promise<string> => {
    const asked = new Process([found.program ?? "", ...args], {
      cwd: homeOf(dir),
      env: { ...envOf(dir), ...env },
    });
    asked.child.stdin.end();
    assert.equal(await asked.ended, 0, `${args}: ${asked.stdout}${asked.stderr}`);
    return asked.stdout;
  };
  return {
    dir,
    path,
    ask,
    setup: (...args: string[]) => run(dir, ["setup", ...args], { env }),
    env,
  };
}

export function setup(): void {
  test("the entry is made, found healthy and taken back", options, async (t) => {
    const { dir, setup, env } = home(t);
    const read = (): string => readFileSync(join(homeOf(dir), ".claude.json"), "utf8");
    const first = await setup();
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^Added stdio MCP server t9-ipc with command: node /);
    assert.match(first.stdout, PROOF);
    const entry = { type: "stdio", command: "node", args: [SERVER], env: {} };
    assert.deepEqual(JSON.parse(read()).mcpServers["t9-ipc"], entry);
    const text = read();
    assert.match((await setup()).stdout, /nothing was changed/);
    assert.equal(read(), text);
    const health = await run(dir, ["doctor"], { env });
    assert.equal(health.code, 0, health.stdout);
    assert.match(health.stdout, /^ok {7}Claude Code \d+\.\d+\.\d+$/m);
    assert.match(health.stdout, /^ok {7}Claude Code starts it$/m);
    assert.match((await setup("--undo")).stdout, /^Removed from /);
    assert.equal(JSON.parse(read()).mcpServers?.["t9-ipc"], undefined);
  });

  test("the plugin is installed, allowed, found healthy and taken back", options, async (t) => {
    const { dir, path, ask, setup, env } = home(t, BEFORE);
    assert.equal((await setup("--allow")).code, 0, "the entry is there first");
    const { code, stdout, stderr } = await setup("--plugin", "--allow");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Removed from .+\.claude\.json\.$/m, "the entry makes room for it");
    assert.match(stdout, PROOF);
    const { permissions } = JSON.parse(readFileSync(path, "utf8"));
    assert.deepEqual(permissions.allow, ["WebFetch", "mcp__t9-ipc", RULE]);

    // The program of the entry: a session with the plugin and one with the entry meet in one data
    // folder.
    assert.match(
      await ask("mcp", "list"),
      new RegExp(`^plugin:t9-ipc:t9-ipc: node ${SERVER} - ✔ Connected$`, "m"),
    );
    const cache = join(homeOf(dir), ".claude", "plugins", "cache", "t9-ipc", "t9-ipc");
    const [version = ""] = readdirSync(cache);
    const copied = readdirSync(join(cache, version), { recursive: true, encoding: "utf8" });
    assert.deepEqual(
      copied.filter(
        (file) => !/^([\w-]+\.js|\.claude-plugin(\/(plugin|marketplace)\.json)?)$/.test(file),
      ),
      [],
    );

    const health = await run(dir, ["doctor"], { env });
    assert.equal(health.code, 0, health.stdout);
    assert.match(health.stdout, /^ok {7}Claude Code starts it$/m);
    assert.match(
      health.stdout,
      new RegExp(`^ok {7}Claude may use the tools of ${RULE} without asking: .+ in ${path}$`, "m"),
    );

    const text = readFileSync(path, "utf8");
    assert.equal((await setup("--plugin", "--allow")).code, 0);
    assert.equal(readFileSync(path, "utf8"), text, "twice changes nothing");

    assert.equal((await setup("--undo")).code, 0);
    assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), JSON.parse(BEFORE));
    assert.doesNotMatch(await ask("plugin", "list"), /t9-ipc/);
    assert.doesNotMatch(await ask("plugin", "marketplace", "list"), /t9-ipc/);
  });

  test("where there were no settings, none are left", options, async (t) => {
    const { path, setup } = home(t);
    assert.equal((await setup("--plugin", "--allow")).code, 0);
    const { stdout } = await setup();
    assert.match(
      stdout,
      /^Added stdio MCP server t9-ipc /m,
      "the entry again, and the plugin makes room",
    );
    assert.equal(JSON.parse(readFileSync(path, "utf8")).enabledPlugins["t9-ipc@t9-ipc"], undefined);
    assert.equal((await setup("--undo")).code, 0);
    assert.ok(!existsSync(path));
  });

  test("doctor names the sessions that run without a server, and why", needsTerminal, async (t) => {
    const { client, home, ipc, online, gone } = await scene(t, { name: "claude_here" });
    const doctor = async (): Promise<string> =>
      (await run(ipc, ["doctor"], { env: client.env, cwd: client.project })).stdout;

    const session = await client.open();
    await online("claude_here");
    assert.match(await doctor(), /^ok {7}Claude Code sessions that run with t9-ipc: 1$/m);

    await session.type("/mcp disable t9-ipc");
    await gone("claude_here");
    const server = { command: "node", args: [SERVER], env: { IPC_DIR: join(home, "other") } };
    const config = JSON.stringify({ mcpServers: { other: server } });
    await client.open(["--strict-mcp-config", "--mcp-config", config, "-n", "strict one"]);
    const said = await doctor();
    const disabled = `t9-ipc is disabled in ${client.project}`;
    assert.match(
      said,
      new RegExp(`has no t9-ipc: ${disabled}\\n +→ type /mcp enable t9-ipc in it$`, "m"),
    );
    assert.match(
      said,
      /\(strict one, PID \d+, in .+\) has no t9-ipc: it was started with --strict/,
    );
  });

  const byHand =
    "what the README has by hand works: two lines, or --plugin-dir; and claude finds no fault";
  test(byHand, options, async (t) => {
    const { ask } = home(t);
    const connected = new RegExp(`^plugin:t9-ipc:t9-ipc: node ${SERVER} - ✔ Connected$`, "m");
    assert.match(await ask("--plugin-dir", root, "mcp", "list"), connected);
    for (const folder of [root, dirname(SERVER)])
      assert.match(await ask("plugin", "validate", folder), /✔ Validation passed/);
    await ask("plugin", "marketplace", "add", join(root, "dist"));
    await ask("plugin", "install", "t9-ipc@t9-ipc");
    assert.match(await ask("mcp", "list"), connected);
  });
}
