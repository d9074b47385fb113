// What the user calls a session in Claude Code, and what the session is doing, as the others are
// told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../support/wait.ts";
import { call, needsTerminal, reader, scene, sendAndSeeItRead } from "./scene.ts";

export function names(): void {
  test(
    "`claude -n` names the session, /rename is followed, mail to the earlier name arrives",
    needsTerminal,
    async (t) => {
      const { api, client, startPeer, online } = await scene(t, { script: reader });
      const peer = await startPeer("peer_api");
      const session = await client.open(["-n", "backend work"]);
      await online("backend-work");
      await sendAndSeeItRead(api, peer, "backend-work", "schema moved");
      await session.type("/rename front end");
      await online("front-end");
      await peer.lineOf("front-end", /backend-work/); // the earlier name is told
      await sendAndSeeItRead(api, peer, "backend-work", "tests are green");
      await sendAndSeeItRead(api, peer, "front-end", "lunch");
    },
  );

  test(
    "a name that the session took itself stays, whatever /rename says",
    needsTerminal,
    async (t) => {
      const { api, client, startPeer, online, sessions } = await scene(t, {
        script: (request) =>
          /call yourself/.test(request.last)
            ? call("set_name", { name: "writer" })
            : reader(request),
      });
      const peer = await startPeer("peer_api");
      const session = await client.open(["-n", "backend work"]);
      await online("backend-work");
      await session.type("call yourself writer");
      await online("writer");
      await session.type("/rename front end");
      await session.waitForScreen(/front end/);
      // A tool call makes the next heartbeat, and that would take the new name.
      const before = sessions().writer?.last_call;
      await sendAndSeeItRead(api, peer, "writer", "schema moved");
      await waitFor(() => sessions().writer?.last_call !== before, "the heartbeat after the call");
      assert.deepEqual(Object.keys(sessions()).sort(), ["peer_api", "writer"]);
    },
  );

  test("`who` says whether a session is idle or busy, and since when", needsTerminal, async (t) => {
    let finish = () => {};
    const busy = new Promise<void>((done) => {
      finish = done;
    });
    const { client, startPeer, online } = await scene(t, {
      name: "claude_state",
      script: async () => {
        await busy;
        return "done at last";
      },
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_state");
    await peer.lineOf("claude_state", /\bidle\b[^;]*\d+ (s|min)\b/);
    await session.type("get to work");
    await peer.lineOf("claude_state", /\bbusy\b[^;]*\d+ (s|min)\b/);
    finish();
    await session.waitForScreen(/done at last/);
    await peer.lineOf("claude_state", /\bidle\b[^;]*\d+ (s|min)\b/);
  });
}
