// The user's crossSessionInbound rules the inbox socket: where it holds or refuses, nobody may be
// told "inbox socket".

import assert from "node:assert/strict";
import { test } from "node:test";
import { announcements, call, needsTerminal, reader, scene, sendAndSeeItRead } from "./scene.ts";

export function inbound(): void {
  test("crossSessionInbound accept: woken, and read in the next turn", needsTerminal, async (t) => {
    const settings = { crossSessionInbound: "accept" };
    const { api, client, startPeer, online } = await scene(t, {
      name: "claude_accept",
      settings,
      script: reader,
    });
    const peer = await startPeer("peer_api");
    await client.open();
    await online("claude_accept");
    assert.match(
      await sendAndSeeItRead(api, peer, "claude_accept", "schema moved"),
      /inbox socket/,
    );
  });

  // A project may be stricter than its user, never less strict.
  for (const [user, project] of [["hold"], ["refuse"], ["accept", "hold"]] as const) {
    const where = `crossSessionInbound ${user}${project ? `, in the project ${project}` : ""}`;
    test(`${where}: no socket, told on the next tool result`, needsTerminal, async (t) => {
      const { api, client, startPeer, online } = await scene(t, {
        name: "claude_held",
        settings: { crossSessionInbound: user },
        ...(project && { projectSettings: { crossSessionInbound: project } }),
        script: ({ results }) => (results.length > 0 ? "all quiet" : call("who")),
      });
      const peer = await startPeer("peer_api");
      const session = await client.open();
      await online("claude_held");
      assert.match(await peer.lineOf("claude_held"), /next tool call/);
      const sent = await peer.call("send", {
        to: "claude_held",
        subject: "schema moved",
        body: "look at it",
      });
      assert.match(sent, /next tool call/);
      assert.doesNotMatch(sent, /reaches it: inbox socket/);
      await session.type("who is there?");
      const screen = await session.waitForScreen(/all quiet/);
      assert.doesNotMatch(screen, /Held peer message/, "nothing was posted");
      const [result] = api.requests.flatMap(({ results }) => results);
      assert.match(result?.text ?? "", /t9-ipc: 1 new message, from peer_api: “schema moved”/);
      assert.equal(announcements(api).length, 1);
    });
  }

  test(
    "crossSessionInbound hold, with the plugin: its hook wakes instead",
    needsTerminal,
    async (t) => {
      const { api, client, startPeer, online } = await scene(t, {
        name: "claude_held",
        setup: "plugin",
        settings: { crossSessionInbound: "hold" },
        script: reader,
      });
      const peer = await startPeer("peer_api");
      const session = await client.open();
      await online("claude_held");
      await peer.lineOf("claude_held", /mail reaches it: hook/);
      assert.match(await sendAndSeeItRead(api, peer, "claude_held", "schema moved"), /hook/);
      assert.doesNotMatch(await session.screen(), /Held peer message/);
    },
  );

  test(
    "a --settings flag that holds, which no file shows: found out by the first post",
    needsTerminal,
    async (t) => {
      const { client, startPeer, online } = await scene(t, {
        name: "claude_flag",
        args: ["--settings", JSON.stringify({ crossSessionInbound: "hold" })],
        script: ({ results }) => (results.length > 0 ? "all quiet" : call("who")),
      });
      const peer = await startPeer("peer_api");
      await client.open();
      await online("claude_flag");
      await peer.call("send", { to: "claude_flag", subject: "schema moved", body: "look at it" });
      // Whatever the words are, others are no longer told that its socket reaches it.
      const line = await peer.lineOf("claude_flag", /mail reaches it: (?!inbox socket(;|$))/);
      t.diagnostic(line);
      const again = await peer.call("send", {
        to: "claude_flag",
        subject: "are you there?",
        body: "look at it",
      });
      assert.doesNotMatch(
        again,
        /mail reaches it: inbox socket\./,
        "the next sender is told as well",
      );
    },
  );
}
