// What happens to a session in its life: interrupted, cleared, reconnected, resumed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { waitFor } from "../../support/wait.ts";
import type { ModelRequest, Reply, ToolUse } from "./api.ts";
import {
  announcements,
  call,
  isTold,
  needsClient,
  needsTerminal,
  pointer,
  reader,
  reading,
  scene,
  sendAndSeeItRead,
} from "./scene.ts";

export function sessions(): void {
  test("Esc in the middle of `unread`: the mail is unread still", needsTerminal, async (t) => {
    const { api, client, startPeer, online, sessions, marks } = await scene(t, {
      name: "claude_esc",
      script: (request) => {
        if (/any mail/.test(request.last)) return call("unread");
        return isTold(request) ? reading(request) : "ok";
      },
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_esc");
    const pid = sessions().claude_esc?.pid ?? 0;
    await peer.call("send", { to: "claude_esc", subject: "schema moved", body: "look at it" });
    await api.waitFor("the pointer", ({ last }) => pointer.test(last));
    // A server that is stopped answers no sooner than we want: Esc comes before the answer, every
    // time.
    process.kill(pid, "SIGSTOP");
    await session.waitForScreen(/Calling t9-ipc/);
    await session.press("Escape");
    await session.waitForScreen(/Interrupted/);
    process.kill(pid, "SIGCONT");
    await session.type("any mail?");
    const { results } = await api.waitFor(
      "the answer",
      (request) => request.index > 1 && request.results.length > 0,
    );
    assert.match(results.at(-1)?.text ?? "", /look at it/);
    await waitFor(() => marks("claude_esc").length === 1, "it is marked as read now");
  });

  test("after /clear a session has its name, and is woken as before", needsTerminal, async (t) => {
    const { api, client, startPeer, online, sessions } = await scene(t, { script: reader });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    const name = await waitFor(
      () => Object.keys(sessions()).find((each) => each !== "peer_api"),
      "the session is online",
    );
    await sendAndSeeItRead(api, peer, name, "schema moved");
    await session.type("/clear");
    await waitFor(
      async () => !/schema moved/.test(await session.screen()),
      "the screen is cleared",
    );
    const before = api.requests.length;
    await sendAndSeeItRead(api, peer, name, "tests are green");
    assert.doesNotMatch(
      api.requests[before]?.transcript ?? "",
      /schema moved/,
      "it is a new conversation",
    );
    assert.deepEqual(Object.keys(sessions()).sort(), ["peer_api", name].sort());
    await online(name);
  });

  test("after /mcp reconnect: one session, told of each message once", needsTerminal, async (t) => {
    const { api, client, startPeer, online, sessions } = await scene(t, {
      name: "claude_again",
      script: reader,
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_again");
    await sendAndSeeItRead(api, peer, "claude_again", "schema moved");
    const before = sessions().claude_again?.pid;
    await session.type("/mcp reconnect t9-ipc");
    await waitFor(
      () => (sessions().claude_again?.pid ?? before) !== before,
      "the new server serves the session",
    );
    await session.waitForScreen(/Reconnected to t9-ipc/);
    assert.deepEqual(Object.keys(sessions()).sort(), ["claude_again", "peer_api"]);
    await sendAndSeeItRead(api, peer, "claude_again", "tests are green");
    assert.equal(announcements(api).length, 2);
  });

  test(
    "a resumed conversation has its name again, and the mail that came meanwhile",
    needsClient,
    async (t) => {
      const { api, client, startPeer } = await scene(t, {
        script: (request) =>
          once(request, /any mail/.test(request.transcript) ? call("unread") : call("who")),
      });
      const first = await client.print("who are you?", ["--output-format", "json"]);
      const { session_id } = JSON.parse(first.stdout) as { session_id: string };
      const name = /(project-\S+) \(you\)/.exec(api.requests.at(-1)?.last ?? "")?.[1];
      assert.ok(name, "the name is made of the project's folder");
      const peer = await startPeer("peer_api");
      assert.match(
        await peer.call("send", { to: name, subject: "hello", body: "for later" }),
        /offline/,
      );
      await client.print("any mail?", ["--resume", session_id]);
      // A pointer to it may have come as well, for which the session looked again.
      assert.match(textsOf(api.requests), /for later/);
    },
  );

  test(
    "a name given with set_name is the resumed conversation's again, with its work",
    needsClient,
    async (t) => {
      const { api, client, startPeer } = await scene(t, {
        script: (request) => {
          if (/any mail/.test(request.transcript))
            return once(request, call("who"), call("unread"));
          return once(request, call("set_name", { name: "writer", working_on: "the parser" }));
        },
      });
      const first = await client.print("call yourself writer", ["--output-format", "json"]);
      const { session_id } = JSON.parse(first.stdout) as { session_id: string };
      const peer = await startPeer("peer_api");
      assert.match(
        await peer.call("send", { to: "writer", subject: "hello", body: "for later" }),
        /offline/,
      );
      await client.print("any mail?", ["--resume", session_id]);
      assert.match(textsOf(api.requests), /^- writer \(you\):.*the parser.*for later/ms);
    },
  );
}

const textsOf = (requests: readonly ModelRequest[]): string =>
  requests.flatMap(({ results }) => results.map(({ text }) => text)).join("\n");

/** Makes these calls, and says "ok" where the last of them has been answered in this request. */
function once(request: ModelRequest, ...calls: ToolUse[]): Reply {
  return request.results.some(({ tool }) => tool === calls.at(-1)?.tool) ? "ok" : calls;
}
