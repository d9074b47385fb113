// Woken means read: what happens in a session between a message's arrival and its body.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../../support/wait.ts";
import { MODES } from "./client.ts";
import {
  announcements,
  call,
  isTold,
  needsTerminal,
  noSocket,
  ourTools,
  pointer,
  reading,
  scene,
  sendAndSeeItRead,
} from "./scene.ts";

export function waking(): void {
  for (const mode of MODES) {
    test(
      `in mode ${mode} an idle session is woken and has read in the next turn`,
      needsTerminal,
      async (t) => {
        const { api, client, startPeer, online } = await scene(t, {
          name: "claude_idle",
          mode,
          script: (request) => {
            if (isTold(request)) return reading(request);
            const isAsked = request.results[0]?.text.includes("the body of where is the schema?");
            return isAsked
              ? call("send", { to: "peer_api", subject: "Re: schema", body: "in db/schema.sql" })
              : "ok";
          },
        });
        const peer = await startPeer("peer_api");
        const session = await client.open();
        await online("claude_idle");
        assert.equal(api.requests.length, 0, "no turn yet");
        const sent = await sendAndSeeItRead(api, peer, "claude_idle", "schema moved");
        assert.match(sent, /socket/, "the sender is told how it reaches the session");
        assert.equal(
          api.requests.length,
          2,
          "one turn that brings the pointer, one that brings the body",
        );
        for (const request of api.requests) {
          assert.ok(request.tools.includes("ToolSearch"), "tool search is on");
          assert.deepEqual(ourTools(request), [
            "mcp__t9-ipc__t9_ipc_send",
            "mcp__t9-ipc__t9_ipc_unread",
          ]);
        }
        assert.doesNotMatch(await session.screen(), /Do you want to proceed/);
        if (mode === "plan") return; // a plan is made without acting: Claude Code asks its user before it sends
        await sendAndSeeItRead(api, peer, "claude_idle", "where is the schema?");
        await waitFor(
          async () => (await peer.call("unread")).includes("in db/schema.sql"),
          "the answer",
        );
      },
    );
  }

  test("an idle session is woken once for each message", needsTerminal, async (t) => {
    const { api, client, startPeer, online } = await scene(t, {
      name: "claude_idle",
      script: (request) => (isTold(request) ? reading(request, "who") : "read"),
    });
    const peer = await startPeer("peer_api");
    await client.open();
    await online("claude_idle");
    for (const subject of ["schema moved", "tests are green"]) {
      await sendAndSeeItRead(api, peer, "claude_idle", subject);
      const who = api.requests.at(-1)?.results[0];
      assert.match(who?.tool ?? "", /who$/);
      assert.doesNotMatch(who?.text ?? "", pointer, "no second announcement on a tool result");
    }
    assert.equal(announcements(api).length, 2);
  });

  test("a busy session is told between its tool calls", needsTerminal, async (t) => {
    const { api, client, startPeer, online } = await scene(t, {
      name: "claude_busy",
      script: (request) => {
        if (isTold(request)) return reading(request);
        if (request.results[0]?.tool.endsWith("unread")) return "done";
        return request.index < 20 ? { tool: "Bash", input: { command: "sleep 1" } } : "gave up";
      },
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_busy");
    await session.type("get to work");
    await api.waitFor("the first tool call", (request) => /get to work/.test(request.last));
    await peer.call("send", { to: "claude_busy", subject: "schema moved", body: "look at it" });
    const told = await api.waitFor("the pointer", (request) => pointer.test(request.last));
    assert.equal(
      told.results[0]?.tool,
      "Bash",
      "it comes with the result of the call that was running",
    );
    const { results } = await api.waitFor(
      "the body",
      (request) => request.results[0]?.tool.endsWith("unread") ?? false,
    );
    assert.match(results[0]?.text ?? "", /look at it/);
    assert.equal(announcements(api).length, 1);
  });

  test(
    "with neither socket nor hook the next tool result says that mail waits",
    needsTerminal,
    async (t) => {
      const { api, client, startPeer, online } = await scene(t, {
        name: "claude_deaf",
        env: noSocket,
        script: (request) => {
          const [result] = request.results;
          if (!result) return call("who");
          if (result.tool.endsWith("who"))
            return /unread/.test(result.text) ? call("unread") : "all quiet";
          return call("who");
        },
      });
      const peer = await startPeer("peer_api");
      const session = await client.open();
      await online("claude_deaf");
      const sent = await peer.call("send", {
        to: "claude_deaf",
        subject: "schema moved",
        body: "look at it",
      });
      assert.match(sent, /next tool call/, "the sender is told how it reaches the session");
      await session.type("who is there?");
      await session.waitForScreen(/all quiet/);
      const [before, unread, after] = api.requests
        .flatMap((request) => request.results)
        .map((result) => result.text);
      assert.match(before ?? "", /1 .*peer_api.*t9_ipc_unread/s);
      assert.doesNotMatch(before ?? "", /look at it/);
      assert.match(unread ?? "", /look at it/);
      assert.doesNotMatch(after ?? "", /t9_ipc_unread/, "nothing is left to say");
    },
  );

  const chain =
    "two idle sessions: one asks, the other is woken and answers, the first is woken by that";
  test(chain, needsTerminal, async (t) => {
    const { api, client, makeOther, online, ipc } = await scene(t, {
      name: "peer_alpha",
      script: (request) => {
        if (isTold(request)) return reading(request);
        const [result] = request.results;
        if (/ask peer_beta/.test(request.last)) {
          return call("send", {
            to: "peer_beta",
            subject: "question",
            body: "where is the schema?",
          });
        }
        if (result?.text.includes("where is the schema?")) {
          return call("send", {
            to: "peer_alpha",
            subject: "Re: question",
            body: "in db/schema.sql",
          });
        }
        return result?.text.includes("in db/schema.sql") ? "now I know where it is" : "waiting";
      },
    });
    const alpha = await client.open();
    await (await makeOther("peer_beta")).open();
    await online("peer_alpha");
    await online("peer_beta");
    await alpha.type("ask peer_beta");
    await alpha.waitForScreen(/now I know where it is/);
    assert.equal(readdirSync(join(ipc, "inbox")).length, 2);
    assert.equal(announcements(api).length, 2);
  });

  test(
    "100 messages in one second: an idle plain session has read 100 of 100",
    needsTerminal,
    async (t) => {
      const { api, client, startPeer, online, marks } = await scene(t, {
        name: "claude_flood",
        script: (request) => {
          const [result] = request.results;
          const more = result?.tool.endsWith("unread") && /\b(left|more)\b/.test(result.text);
          return more || isTold(request) ? reading(request) : "read";
        },
      });
      const peer = await startPeer("peer_api");
      await client.open();
      await online("claude_flood");
      const started = Date.now();
      const bodies = Array.from(
        { length: 100 },
        (_, n) => `body number ${n}, ${"and on ".repeat(60)}.`,
      );
      await Promise.all(
        bodies.map(async (body, n) => {
          await sleep(n * 10);
          await peer.call("send", { to: "claude_flood", subject: `message ${n}`, body });
        }),
      );
      t.diagnostic(`100 messages sent in ${Date.now() - started} ms`);

      await waitFor(() => new Set(marks("claude_flood")).size === 100, "100 read marks");
      assert.equal(marks("claude_flood").length, 100, "each marked once");
      await api.waitFor("the last answer", () => shown().length >= 100);
      const texts = shown().map((body) => Number(/\d+/.exec(body)));
      assert.deepEqual(
        texts.sort((a, b) => a - b),
        bodies.map((_, n) => n),
        "each body shown to the model once",
      );
      t.diagnostic(
        `all read after ${Date.now() - started} ms, ${announcements(api).length} announcements`,
      );

      function shown(): string[] {
        const results = api.requests.flatMap((request) => request.results);
        return results.flatMap((result) => result.text.match(/body number \d+,/g) ?? []);
      }
    },
  );
}
