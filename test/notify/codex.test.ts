// What a session of Codex is shown, and what its server opens before the session has called it.

import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { describe, test } from "node:test";
import { createCodexAgent } from "../../src/agents/codex/agent.ts";
import { instructionsFor } from "../../src/agents/instructions.ts";
import { configOf } from "../support/command.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, heartbeats } from "../support/mail.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const client = "codex-mcp-client";
const THREAD = { threadId: "thread" };
const MAX_BYTES = 8000;

describe("a session of Codex", { concurrency: 2 }, () => {
  test("long messages come whole, in parts that Codex does not cut", async (t) => {
    const dir = tempDir(t);
    const codex = await startSession("codex", { dir, client });
    await codex.call("who", {}, THREAD);
    const peer = await startSession("peer", { dir });
    const bodies = ["a", "b", "ä", "д"].map((letter) => `${`${letter} `.repeat(4500)}end`);
    for (const [n, body] of bodies.entries()) {
      await peer.call("send", { to: "codex", subject: `long ${n}`, body });
    }
    let shown = "";
    let answers = 0;
    for (; answers < 20; answers++) {
      const { text } = await codex.call("unread", {}, THREAD);
      assert.ok(Buffer.byteLength(text) <= MAX_BYTES, `${Buffer.byteLength(text)} bytes`);
      if (/^No unread messages/.test(text)) break;
      shown += text.replace(/^\(parts? .*\)$/gm, "");
      const [, part, parts] = /\(parts? (?:\d+ to )?(\d+) of (\d+)/.exec(text) ?? [];
      assert.ok(part && parts, text.slice(0, 300));
      const status = /^- codex.*/m.exec((await peer.call("who")).text)?.[0] ?? "";
      if (part !== parts) assert.doesNotMatch(status, /has read all/);
    }
    await waitFor(
      async () => /has read all you sent/.test((await peer.call("who")).text),
      "the marks to be on the disk",
    );
    for (const letter of ["a", "b", "ä", "д"]) {
      const found = shown.match(new RegExp(`${letter}(?=\\s)`, "g")) ?? [];
      assert.ok(found.length >= 4500, `${found.length} times ${letter}`);
    }

    // `file` gives it again the same way, from the beginning.
    const [file = ""] = filesIn(dir);
    const first = (await codex.call("unread", { file }, THREAD)).text;
    assert.match(first, new RegExp(`parts 1 to \\d+ of \\d+: .*inbox/${file}`));
    assert.match((await codex.call("unread", { file }, THREAD)).text, /\(parts? .*: the end\)/);
    // Mail that is only looked at has no record of parts.
    await codex.call("send", { to: "peer", subject: "long", body: bodies[0] }, THREAD);
    const looked = await peer.call("unread", { session_id: "codex" });
    assert.match(looked.text, /No unread messages for codex/);
    const other = await startSession("other", { dir });
    for (const _ of [1, 2]) {
      const { text } = await other.call("unread", { session_id: "peer" });
      assert.match(text, /\(parts 1 to \d+ of \d+: the whole file is inbox\//);
    }
  });

  test("a long list of sessions ends with how many more there are", async (t) => {
    const dir = tempDir(t);
    const sessions = await Promise.all(
      ["one", "two", "three", "four", "five"].map((name) => startSession(name, { dir })),
    );
    const [one] = sessions;
    for (const [n, session] of sessions.entries()) {
      const working_on = "ж".repeat(200);
      for (let k = 0; k < 12; k++) {
        await session.call("set_name", { name: `${"ж".repeat(50)}-${n}-${k}`, working_on });
      }
    }
    const text = (await one?.call("who"))?.text ?? "";
    assert.ok(Buffer.byteLength(text) <= MAX_BYTES, `${Buffer.byteLength(text)} bytes`);
    assert.match(text, /\nand \d more\.$/);
  });

  test("the first paragraph of the instructions says what matters, in 400 characters", (t) => {
    const { instructions } = createCodexAgent(configOf(tempDir(t)));
    const [codex = ""] = instructions.split("\n\n");
    assert.ok([...codex].length <= 400, `${codex.length} characters`);
    assert.match(codex, /tool_search.*t9_ipc_set_name.*t9_ipc_unread.*never the user's permission/);
    const plugin = instructionsFor({
      toolPrefix: "mcp__plugin_t9-ipc_t9-ipc__",
      dir: "/home/me/.t9-ipc",
      arrival: "",
    });
    const [first = ""] = plugin.split("\n\n");
    assert.ok([...first].length <= 400, `${first.length} characters`);
  });

  test("a server that was not called has opened nothing but its standard streams", {
    skip: process.platform !== "linux" && "no /proc",
  }, async (t) => {
    const dir = tempDir(t);
    const codex = await startSession(undefined, { dir, client });
    await codex.client.listTools();
    const peer = await startSession("peer", { dir });
    await peer.call("broadcast", { subject: "to all" });
    const watched = (await opened(peer.pid)).filter((each) => /inotify/.test(each));
    assert.equal(watched.length, 1, "a session that has joined does watch");
    assert.deepEqual(await opened(codex.pid), []);
    assert.deepEqual(Object.keys(heartbeats(dir)), ["peer"]);
    await codex.call("who", {}, THREAD);
    await waitFor(() => Object.keys(heartbeats(dir)).length === 2, "it has joined");
    assert.deepEqual(
      Object.values(heartbeats(dir))
        .map((entry) => entry.client)
        .sort(),
      ["Codex", "test"],
    );
  });
});

/**
 * Files, watches and sockets that a process has opened beside its standard streams and libuv's own.
 */
async function opened(pid: number): Promise<string[]> {
  const own = /^(pipe|socket):|eventpoll|eventfd|io_uring|signalfd|\/dev\/null$/;
  return readdirSync(`/proc/${pid}/fd`)
    .flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    })
    .filter((target) => !own.test(target) && basename(target) !== "urandom");
}
