// Sessions that nobody works in: spare workers, runs that nobody watches, closed conversations.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fakeClaude } from "../support/fake-claude.ts";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { RawServer } from "../support/rpc.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const nameOf = (dir: string, { pid }: TestSession): string =>
  Object.entries(heartbeats(dir)).find(([, entry]) => entry.pid === pid)?.[0] ?? "";
const readFiles = (dir: string): string[] => readdirSync(join(dir, "read"));

describe("a session that nobody works in", { concurrency: 2 }, () => {
  test("a spare worker is not a session until it has a task", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir, { fields: { spare: true, kind: "bg" }, listens: true });
    const server = await claude.serve();
    const sent = await peer.call("broadcast", { subject: "to all" });
    assert.match(sent.text, /Nobody else is online/);
    claude.register({ spare: undefined, status: "busy" });
    await waitFor(() => nameOf(dir, server), "the session");
    await peer.call("send", { to: nameOf(dir, server), subject: "for the task" });
    await waitFor(() => claude.posts.length > 0, "a notice");
    assert.match(claude.posts.join(), /1 new message, from peer: “for the task”/);
    assert.match((await server.call("unread")).text, /^1 unread message:/);
  });

  test("a session without t9-ipc is listed as such, and a send to it says how to reach it", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const fields = { name: "backend work", nameSource: "user", status: "idle", cwd: "/somewhere" };
    await fakeClaude(dir, { fields });
    await fakeClaude(dir, { fields: { spare: true } });
    const { text } = await peer.call("who");
    const [, list = ""] = text.split("Claude Code sessions without t9-ipc");
    assert.match(list, /“backend work”: in “\/somewhere”; idle/);
    assert.equal(list.match(/^- /gm)?.length, 1, list);
    const refused = await peer.call("send", { to: "backend-work", subject: "hello" });
    assert.match(
      refused.text,
      /“backend work” runs without t9-ipc: restart it, or use SendMessage/,
    );
  });

  test("a run that nobody watches is not woken by a broadcast, and leaves no name", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir, { fields: { entrypoint: "sdk-cli" }, listens: true });
    const run = await claude.serve();
    const name = nameOf(dir, run);
    assert.match((await peer.call("who")).text, new RegExp(`- ${name}: a run that nobody watches`));
    await peer.call("broadcast", { subject: "to all" });
    await peer.call("send", { to: name, subject: "to you" });
    await waitFor(() => claude.posts.length > 0, "a notice");
    assert.match(claude.posts.join(), /“to you”/);
    assert.doesNotMatch(claude.posts.join(), /“to all”/);
    await run.waitForPush(({ meta }) => meta.subject === "to you");
    assert.equal(run.pushes.length, 1);

    const probe = await fakeClaude(dir, { fields: { entrypoint: "sdk-ts" } });
    const untouched = await probe.serve();
    const gone = nameOf(dir, untouched);
    await probe.end(untouched);
    assert.ok(!readFiles(dir).includes(gone), readFiles(dir).join());
    const refused = await peer.call("send", { to: gone, subject: "to nobody" });
    assert.equal(refused.isError, true, refused.text);
    assert.doesNotMatch(readFileSync(join(dir, "heartbeats.json"), "utf8"), new RegExp(gone));

    await run.call("unread");
    await claude.end(run);
    assert.match((await peer.call("send", { to: name, subject: "again" })).text, /is offline/);
    const again = await fakeClaude(dir, { conversation: claude.conversation });
    const resumed = await again.serve();
    assert.equal(nameOf(dir, resumed), name);
    assert.match((await resumed.call("unread")).text, /^subject: again$/m);
  });

  test("with IPC_DISABLED a server offers no tools and is not listed", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const server = new RawServer(dir, { env: { IPC_DISABLED: "1" } });
    await server.initialize();
    server.write({ id: 1, method: "tools/list" });
    assert.deepEqual((await server.answer(1)).result?.tools, []);
    server.call(2, "who");
    const { result } = await server.answer(2);
    assert.equal(result?.isError, true);
    assert.match(result?.content?.[0]?.text ?? "", /IPC_DISABLED/);
    assert.deepEqual(Object.keys(heartbeats(dir)), ["peer"]);
    assert.equal((await peer.call("send", { to: "alpha", subject: "x" })).isError, true);
  });

  test("a closed session's mail is offered to the next session in its folder", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const closed = await fakeClaude(dir);
    const server = await closed.serve();
    await server.call("set_name", { name: "web" });
    await closed.end(server);
    const live = await fakeClaude(dir);
    const neighbour = await live.serve("neighbour");
    const sent = await peer.call("send", { to: "web", subject: "schema moved" });
    assert.match(sent.text, /web is offline.*Online in the folder it worked in: neighbour\./);
    assert.doesNotMatch((await neighbour.call("who")).text, /last worked in this folder/);

    const before = new Date(Date.now() - 2 * 3600 * 1000);
    for (const file of readFiles(dir)) utimesSync(join(dir, "read", file), before, before);
    const next = await (await fakeClaude(dir)).serve();
    const elsewhere = await (await fakeClaude(dir, { project: "docs" })).serve();
    const first = (await next.call("who")).text;
    assert.match(first, /: web \(1 message\)\. .*session_id "web".*set_name with name "web"/);
    assert.doesNotMatch(
      (await next.call("who")).text,
      /last worked in this folder/,
      "it is told once",
    );
    assert.doesNotMatch((await elsewhere.call("who")).text, /last worked in this folder/);
    const shown = (await next.call("unread", { session_id: "web" })).text;
    assert.match(shown, /^subject: schema moved$/m);
    assert.equal((await next.call("set_name", { name: "web" })).isError, false);
    assert.match((await next.call("unread")).text, /^subject: schema moved$/m);
    const late = await elsewhere.call("set_name", { name: "web" });
    assert.equal(late.isError, true, "the first taker has it");

    const returned = await (await fakeClaude(dir, { conversation: closed.conversation })).serve();
    const told = (await returned.call("unread")).text;
    assert.match(told, /The name web, which this conversation had, belongs to another session now/);
    assert.match(told, /This session is web-2\./);
  });
});
