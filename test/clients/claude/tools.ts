// The set-up by hand, and the five tools as the model has them.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reply } from "./api.ts";
import { call, needsClient, ourTools, scene, server } from "./scene.ts";

export function tools(): void {
  test(
    "`claude mcp add` and `claude mcp list`, as the README has them: ✔ Connected",
    needsClient,
    async (t) => {
      const { client } = await scene(t, { setup: "nothing" });
      const added = await client.run([
        "mcp",
        "add",
        "--scope",
        "user",
        "t9-ipc",
        "--",
        "node",
        server,
      ]);
      assert.equal(added.code, 0, added.stderr);
      const { stdout } = await client.run(["mcp", "list"]);
      assert.match(stdout, /^t9-ipc: node .*server\.js - ✔ Connected$/m);
    },
  );

  test(
    "reading and answering are on offer at once, the rest is found by what it is for",
    needsClient,
    async (t) => {
      const search = (query: string) => ({ tool: "ToolSearch", input: { query, max_results: 3 } });
      const searches = [
        search("which other agents are online"),
        search("tell everybody"),
        search("name this session"),
      ];
      const { api, client } = await scene(t, {
        script: ({ index }) => (index === 0 ? searches : "found"),
      });
      assert.equal((await client.print("look for tools")).code, 0);
      const [before, after] = api.requests;
      assert.ok(before && after);
      assert.deepEqual(ourTools(before), [
        "mcp__t9-ipc__t9_ipc_send",
        "mcp__t9-ipc__t9_ipc_unread",
      ]);
      assert.match(
        before.system + before.transcript,
        /mcp__t9-ipc__t9_ipc_who/,
        "the instructions reach the model",
      );
      const five = ["broadcast", "send", "set_name", "unread", "who"];
      assert.deepEqual(
        ourTools(after),
        five.map((tool) => `mcp__t9-ipc__t9_ipc_${tool}`),
      );
    },
  );

  test("the model calls all five tools and is shown the right answers", needsClient, async (t) => {
    const steps: (() => Reply | Promise<Reply>)[] = [
      () => call("who"),
      () => call("set_name", { name: "writer", working_on: "the parser" }),
      () => call("send", { to: "peer_api", subject: "status: done", body: "done with the parser" }),
      () => call("broadcast", { subject: "lunch", body: "at noon" }),
      async () => {
        await peer.call("send", {
          to: "writer",
          subject: "schema moved",
          body: "it lives in db/schema.sql now",
        });
        return call("unread");
      },
      () => "done",
    ];
    const { api, client, startPeer } = await scene(t, {
      name: "claude_one",
      script: (request) => steps[request.index]?.() ?? "too many turns",
    });
    const peer = await startPeer("peer_api");
    const { code, stdout } = await client.print("use all tools");
    assert.equal(code, 0);
    assert.match(stdout, /done/);

    const results = api.requests.flatMap((request) => request.results);
    assert.deepEqual(
      results.filter((result) => result.isError),
      [],
    );
    const [who, setName, send, broadcast, unread] = results.map((result) => result.text);
    assert.match(who ?? "", /claude_one.*\(you\)/);
    assert.match(who ?? "", /peer_api/);
    assert.match(setName ?? "", /writer/);
    assert.match(send ?? "", /\d{8}T\d{12}-[0-9a-f]{8}-writer-peer_api-status__done\.md/);
    assert.match(broadcast ?? "", /peer_api/);
    assert.match(unread ?? "", /schema moved/);
    assert.match(unread ?? "", /it lives in db\/schema\.sql now/);

    const got = await peer.call("unread");
    assert.match(got, /status: done/);
    assert.match(got, /done with the parser/);
    assert.match(got, /at noon/);
  });
}
