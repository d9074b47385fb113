// The plugin: server and hooks together; and how a session is reached that has no inbox socket.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import {
  announcements,
  isTold,
  needsClient,
  needsTerminal,
  noSocket,
  ourTools,
  pointer,
  reader,
  reading,
  root,
  scene,
  sendAndSeeItRead,
  server,
} from "./scene.ts";
import { haveEnded } from "./terminal.ts";

export function plugin(): void {
  for (const setup of ["plugin", "both"] as const) {
    const how =
      setup === "plugin"
        ? "the plugin's waiting hook"
        : "the plugin's hook beside the README's entry";
    test(
      `without the socket ${how} wakes an idle session, again and again`,
      needsTerminal,
      async (t) => {
        const { api, client, startPeer, online, gone } = await scene(t, {
          setup,
          name: "claude_hook",
          env: noSocket,
          script: reader,
        });
        const peer = await startPeer("peer_api");
        const session = await client.open();
        await online("claude_hook");
        // The first by the hook of SessionStart, the others by those of Stop.
        for (const subject of ["schema moved", "tests are green", "lunch"]) {
          await peer.lineOf("claude_hook", /mail reaches it: hook/);
          const sent = await sendAndSeeItRead(api, peer, "claude_hook", subject);
          assert.match(sent, /hook/, "the sender is told how it reaches the session");
        }
        assert.equal(announcements(api).length, 3);

        const kin = session.children();
        assert.ok(kin.length > 0);
        await session.type("/exit");
        await gone("claude_hook");
        assert.ok(await haveEnded(kin), "the server and its hook have ended");
      },
    );
  }

  test("plugin and socket together announce each message once", needsTerminal, async (t) => {
    const { api, client, startPeer, online } = await scene(t, {
      setup: "plugin",
      name: "claude_both",
      script: (request) => (isTold(request) ? reading(request, "who") : "read"),
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_both");
    await session.type("hello"); // so that a Stop hook has had its chance to wait
    await api.waitFor("a first turn", (request) => /hello/.test(request.last));
    const subjects = ["schema moved", "tests are green", "lunch"];
    for (const subject of subjects) await sendAndSeeItRead(api, peer, "claude_both", subject);
    const said = announcements(api);
    assert.deepEqual(
      said.map((request) => subjects.filter((subject) => request.last.includes(`“${subject}”`))),
      [["schema moved"], ["tests are green"], ["lunch"]],
    );
    for (const result of api.requests.flatMap((request) => request.results)) {
      if (result.tool.endsWith("who")) assert.doesNotMatch(result.text, pointer);
    }
  });

  test("a killed client leaves neither server nor hook behind", needsTerminal, async (t) => {
    const { client, startPeer, online, gone } = await scene(t, {
      setup: "plugin",
      name: "claude_dead",
      env: noSocket,
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_dead");
    await peer.lineOf("claude_dead", /mail reaches it: hook/);
    const kin = session.children();
    process.kill(session.pid, "SIGKILL");
    await gone("claude_dead");
    assert.ok(await haveEnded(kin), "the server and its hook have ended");
  });

  const whole =
    "`claude plugin validate` passes; the plugin connects, offers its tools, lets -p end";
  test(whole, needsClient, async (t) => {
    const { api, client } = await scene(t, { setup: "plugin" });
    const validated = await client.run(["plugin", "validate", root]);
    assert.equal(validated.code, 0, validated.stdout);
    assert.match(validated.stdout, /Validation passed/);
    assert.match(
      (await client.run(["mcp", "list"])).stdout,
      /^plugin:t9-ipc:t9-ipc: node .* - ✔ Connected$/m,
    );
    // A waiting hook would keep print mode from ending.
    const { code } = await client.print("hello", [], { ms: 30_000 });
    assert.equal(code, 0);
    const [first] = api.requests;
    assert.ok(first);
    assert.deepEqual(
      ourTools(first),
      ["send", "unread"].map((tool) => `mcp__plugin_t9-ipc_t9-ipc__t9_ipc_${tool}`),
    );
    const named = /mcp__plugin_t9-ipc_t9-ipc__t9_ipc_who/;
    assert.match(first.system + first.transcript, named, "instructions fit the plugin");
  });

  for (const how of ["directly", "through npx"]) {
    test(`the channel flag is seen when the server is started ${how}`, needsTerminal, async (t) => {
      const { client, startPeer, online, home } = await scene(t, {
        args: ["--dangerously-load-development-channels", "server:t9-ipc"],
        name: "claude_flag",
      });
      if (how === "through npx") {
        writePackage(join(home, "package"));
        const add = [
          "mcp",
          "add",
          "--scope",
          "local",
          "t9-ipc",
          "--",
          "npx",
          "--yes",
          "--offline",
          "../package",
        ];
        await client.run(add);
      }
      const peer = await startPeer("peer_api");
      await client.open();
      await online("claude_flag");
      await peer.lineOf("claude_flag", /mail reaches it: channel/);
    });
  }
}

/** A package whose program is our server, for npx to run without a registry. */
function writePackage(folder: string): void {
  mkdirSync(folder);
  const manifest = {
    name: "t9-ipc-stand-in",
    version: "1.0.0",
    type: "module",
    bin: { "t9-ipc-stand-in": "run.js" },
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  writeFileSync(
    join(folder, "run.js"),
    `#!/usr/bin/env node\nimport ${JSON.stringify(server)};\n`,
    { mode: 0o755 },
  );
}
