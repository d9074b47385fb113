// A sub-agent is not the session: what it reads stays unread, and it renames nothing. Claude Code
// tells by its transcripts who called, Codex by the call itself.

import assert from "node:assert/strict";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fakeClaude } from "../support/fake-claude.ts";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const by = (toolUseId: string) => ({ "claudecode/toolUseId": toolUseId });
const codex = (threadId: string, sessionId = threadId) => ({ threadId, sessionId });
const nameOf = (dir: string, { pid }: TestSession): string =>
  Object.entries(heartbeats(dir)).find(([, entry]) => entry.pid === pid)?.[0] ?? "";

describe("a sub-agent's call", { concurrency: 2 }, () => {
  test("a sub-agent of Claude Code marks nothing, and the session is still told", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir);
    const server = await claude.serve("api");
    const mail = { to: "api", subject: "schema moved", body: "look at it" };
    await peer.call("send", mail);

    claude.startSubAgent("a1");
    const asked = server.call("unread", {}, by("toolu_sub"));
    claude.writeTranscript("toolu_sub", "a1");
    assert.match((await asked).text, /look at it/, "the answer waits for nothing");
    const naming = server.call("set_name", { name: "helper" }, by("toolu_sub_name"));
    claude.writeTranscript("toolu_sub_name", "a1");
    const refused = await naming;
    assert.equal(refused.isError, true);
    assert.match(refused.text, /Not renamed: a sub-agent .*\n\nt9-ipc: 1 new message, from peer/s);
    assert.equal(nameOf(dir, server), "api");

    claude.writeTranscript("toolu_who");
    const who = await server.call("who", {}, by("toolu_who"));
    assert.match(who.text, /t9-ipc: 1 new message, from peer: “schema moved”/);
    claude.writeTranscript("toolu_main");
    assert.match((await server.call("unread", {}, by("toolu_main"))).text, /look at it/);
    const isRead = async () => /has read all/.test((await peer.call("who")).text);
    await waitFor(isRead, "the mark of the main conversation");
    const named = server.call("set_name", { name: "writer" }, by("toolu_name"));
    claude.writeTranscript("toolu_name");
    assert.equal((await named).isError, false);
  });

  test("a call that stands in no transcript counts as the session's in the end", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir);
    const server = await claude.serve("api");
    claude.writeTranscript("toolu_other", "a1");
    await peer.call("send", { to: "api", subject: "schema moved" });
    assert.match((await server.call("unread", {}, by("toolu_lost"))).text, /schema moved/);
    const start = performance.now();
    const { isError } = await server.call("set_name", { name: "writer" }, by("toolu_lost_too"));
    assert.equal(isError, false);
    assert.ok(performance.now() - start < 3000, "a rename waits for a second at most");
    await waitFor(async () => {
      const { text } = await peer.call("who");
      return /has read all/.test(text);
    }, "the mark");
  });

  test("what was shown before a /resume is marked for the names of that moment", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const first = await fakeClaude(dir);
    const before = await first.serve();
    await before.call("set_name", { name: "old-one" });
    await first.end(before);
    const claude = await fakeClaude(dir);
    const server = await claude.serve();
    await server.call("set_name", { name: "api" });
    await peer.call("broadcast", { subject: "to all" });
    claude.writeTranscript("toolu_other", "a1");
    assert.match((await server.call("unread", {}, by("toolu_read"))).text, /to all/);
    const conversation = claude.conversation;
    const line = async (name: string): Promise<string> =>
      new RegExp(`^- ${name}.*`, "m").exec((await peer.call("who")).text)?.[0] ?? "";
    claude.open(first.conversation);
    await waitFor(() => nameOf(dir, server) === "old-one", "the resumed name");
    await sleep(10_000); // by now the call counts as the session's
    assert.match(await line("old-one"), /1 of your messages unread/);
    claude.open(conversation);
    await waitFor(async () => /has read all/.test(await line("api")), "the mark of that moment");
  });

  test("a sub-agent of Codex joins as the session, and neither reads nor renames for it", async (t) => {
    const dir = tempDir(t);
    const cwd = dirname(dir);
    const peer = await startSession("peer", { dir });
    const open = () => startSession(undefined, { dir, cwd, client: "codex-mcp-client" });
    const [sub, main] = await Promise.all([open(), open()]);
    assert.deepEqual(Object.keys(heartbeats(dir)), ["peer"], "nobody has called yet");

    const sent = await sub.call(
      "send",
      { to: "peer", subject: "a question" },
      codex("sub", "main"),
    );
    assert.equal(sent.isError, false, sent.text);
    const name = nameOf(dir, sub);
    assert.equal(heartbeats(dir)[name]?.claude_session, "main");
    const asked = (await peer.call("unread")).text;
    assert.match(asked, new RegExp(`^from: ${name}$`, "m"));
    await peer.call("send", { to: name, subject: "the answer" });
    assert.match((await sub.call("unread", {}, codex("sub", "main"))).text, /the answer/);
    const refused = await sub.call("set_name", { name: "helper" }, codex("sub", "main"));
    assert.equal(refused.isError, true);
    assert.match(refused.text, /sub-agent/);

    assert.match((await main.call("unread", {}, codex("main"))).text, /the answer/);
    assert.equal(nameOf(dir, main), name, "one session, and its own server serves it");
    assert.equal(Object.keys(heartbeats(dir)).length, 2);
    assert.match((await sub.call("who", {}, codex("sub", "main"))).text, new RegExp(`${name}`));
    assert.equal(nameOf(dir, main), name, "a sub-agent's call takes nothing over");
    assert.equal((await main.call("set_name", { name: "api" }, codex("main"))).isError, false);
    await waitFor(
      () => Object.keys(heartbeats(dir)).sort().join() === "api,peer",
      () => `one entry, have ${JSON.stringify(heartbeats(dir))}`,
    );
  });
});
