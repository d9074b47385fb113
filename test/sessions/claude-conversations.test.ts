// Names and mail belong to a conversation of Claude Code and follow it, from process to process.
// Claude Code is a stand-in that shows the same signs (test/support/fake-claude.ts).

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { type FakeClaude, fakeClaude, newConversation } from "../support/fake-claude.ts";
import { tempDir } from "../support/folder.ts";
import { type Entry, heartbeats } from "../support/mail.ts";
import { noArguments } from "../support/process.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** Fast enough for somebody who has just typed /resume. */
const SECONDS_MS = 6000;

const entriesOf = (dir: string, { pid }: TestSession): [string, Entry][] =>
  Object.entries(heartbeats(dir)).filter(([, entry]) => entry.pid === pid);
const nameOf = (dir: string, session: TestSession): string => entriesOf(dir, session)[0]?.[0] ?? "";
const isNamed = (dir: string, session: TestSession, name: string, ms?: number): Promise<unknown> =>
  waitFor(
    () => nameOf(dir, session) === name,
    () => `the name ${name}, have ${JSON.stringify(heartbeats(dir))}; ${session.stderr()}`,
    ms,
  );

async function setName(session: TestSession, name: string): Promise<void> {
  const { text, isError } = await session.call("set_name", { name });
  assert.equal(isError, false, text);
}

async function send(session: TestSession, to: string, subject: string): Promise<string> {
  const { text, isError } = await session.call("send", { to, subject, body: `about ${subject}` });
  assert.equal(isError, false, text);
  return text;
}

/** The subjects of the unread mail, which is read by this. */
async function read(session: TestSession): Promise<string[]> {
  const { text } = await session.call("unread");
  return [...text.matchAll(/^subject: (.*)$/gm)].map((match) => match[1] ?? "").sort();
}

describe("a session of Claude Code", { concurrency: 2 }, () => {
  test("two background sessions, a session and an inner client are told apart", async (t) => {
    const dir = tempDir(t);
    const background = { fields: { kind: "bg" } };
    const claudes = await Promise.all([background, background, {}].map((o) => fakeClaude(dir, o)));
    const [one, two, outer] = claudes as [FakeClaude, FakeClaude, FakeClaude];
    const [first, second, session] = await Promise.all(claudes.map((claude) => claude.serve()));
    assert.ok(first && second && session);
    // An inner `claude -p` and other clients inherit the environment of the session's Bash.
    const inner = await startSession(undefined, {
      dir,
      client: "opencode",
      cwd: outer.folder,
      env: outer.env,
    });
    const all = [first, second, session, inner];
    await waitFor(() => Object.keys(heartbeats(dir)).length === 4, "four entries");
    const names = all.map((each) => nameOf(dir, each));
    assert.equal(new Set(names).size, 4, names.join());
    assert.deepEqual(
      [one, two, outer].map(({ pid }) => pid),
      [first, second, session].map((each) => entriesOf(dir, each)[0]?.[1].claude_pid),
    );
    await send(session, names[0] ?? "", "for one");
    await send(session, names[3] ?? "", "for the inner one");
    assert.deepEqual(await read(first), ["for one"]);
    assert.deepEqual(await read(second), []);
    assert.deepEqual(await read(inner), ["for the inner one"]);
    assert.doesNotMatch(inner.client.getInstructions() ?? "", /mcp__|SendMessage|<channel/);
    assert.equal(inner.pushes.length, 0, "OpenCode does not show channel notifications");
  });

  test("/resume in a running session brings its names and its mail within seconds", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const old = await fakeClaude(dir);
    const before = await old.serve();
    await setName(before, "shop-asks");
    await setName(before, "api");
    await old.end(before);
    await send(peer, "api", "while away");
    await send(peer, "shop-asks", "an answer");

    const claude = await fakeClaude(dir);
    const server = await claude.serve();
    await setName(server, "present");
    claude.open(old.conversation);
    await isNamed(dir, server, "api", SECONDS_MS);
    await server.waitForPush(({ meta }) => meta.subject === "while away", SECONDS_MS);
    await server.waitForPush(({ meta }) => meta.subject === "an answer", SECONDS_MS);
    assert.equal(entriesOf(dir, server).length, 1);
    assert.equal(heartbeats(dir).present, undefined, "it lets go of the former name");
    assert.deepEqual(await read(server), ["an answer", "while away"]);
    assert.match(await send(peer, "present", "nobody"), /present is offline/);
  });

  test("/clear and /branch keep the names until the former conversation is open elsewhere", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir);
    const server = await claude.serve();
    await setName(server, "api");
    const former = claude.conversation;
    const cleared = claude.open();
    await waitFor(() => heartbeats(dir).api?.claude_session === cleared, "the new conversation");
    assert.equal(nameOf(dir, server), "api");
    await send(peer, "api", "read after the clear");
    assert.deepEqual(await read(server), ["read after the clear"]);
    await send(peer, "api", "unread");

    const elsewhere = await fakeClaude(dir, { conversation: former });
    const other = await elsewhere.serve();
    await isNamed(dir, other, "api");
    await waitFor(() => nameOf(dir, server) !== "", "the cleared session has a name of its own");
    assert.deepEqual(await read(other), ["unread"]);
    assert.deepEqual(await read(server), []);
    assert.equal(Object.keys(heartbeats(dir)).length, 3);

    // A fork in a new process has a name of its own, and set_name makes a name the present one's.
    const fork = await (await fakeClaude(dir)).serve();
    assert.notEqual(nameOf(dir, fork), "api");
    await setName(server, "writer");
    await claude.end(server);
    const resumed = await (await fakeClaude(dir, { conversation: cleared })).serve();
    await isNamed(dir, resumed, "writer");
  });

  test("of two terminals on one conversation the one called last is the session", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const one = await fakeClaude(dir);
    const first = await one.serve();
    await setName(first, "api");
    const two = await fakeClaude(dir, { conversation: one.conversation });
    const second = await two.serve();
    assert.equal(nameOf(dir, first), "api", "the second one was not called yet");
    assert.equal(nameOf(dir, second), "");
    await send(peer, "api", "one");
    await first.waitForPush(({ meta }) => meta.subject === "one");
    assert.deepEqual(await read(second), ["one"]);
    assert.equal(nameOf(dir, second), "api");
    assert.equal(nameOf(dir, first), "");
    await send(peer, "api", "two");
    await second.waitForPush(({ meta }) => meta.subject === "two");
    assert.ok(!first.pushes.some(({ meta }) => meta.subject === "two"));
    await two.end(second);
    await isNamed(dir, first, "api", SECONDS_MS);
    await first.waitForPush(({ meta }) => meta.subject === "two", SECONDS_MS);
  });

  test("/bg takes the name along once the original has ended; a fork does not", {
    skip: noArguments,
  }, async (t) => {
    const dir = tempDir(t);
    const original = await fakeClaude(dir);
    const server = await original.serve();
    await setName(server, "api");
    const old = join("/home/me/.claude/projects/-shop", `${original.conversation}.jsonl`);
    const flags = ["--session-id", "new", "--fork-session", "--resume", old];
    const moved = await fakeClaude(dir, { flags, fields: { kind: "bg" } });
    const background = await moved.serve();
    assert.match(nameOf(dir, background), /^shop-/, "the original still runs");
    await original.end(server);
    await isNamed(dir, background, "api", SECONDS_MS);
    const peer = await startSession("peer", { dir });
    await send(peer, "api", "in the background");
    assert.deepEqual(await read(background), ["in the background"]);

    const fork = await fakeClaude(dir, { flags: ["--fork-session", "--resume", old] });
    assert.match(nameOf(dir, await fork.serve()), /^shop-/);
    // `claude --bg -n NAME`, and a name that /rename shortens.
    const named = await fakeClaude(dir, { fields: { kind: "bg", name: "backend work" } });
    const worker = await named.serve();
    await isNamed(dir, worker, "backend-work");
    named.register({ name: "backend" });
    await isNamed(dir, worker, "backend", SECONDS_MS);
    assert.match(String(heartbeats(dir).backend?.names), /backend-work/);
  });

  test("of two servers of one session the one called last serves it, as one entry", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir);
    const older = await claude.serve();
    await setName(older, "api");
    const newer = await claude.serve();
    await isNamed(dir, newer, "api");
    assert.equal(Object.keys(heartbeats(dir)).length, 2);
    await send(peer, "api", "for the newer");
    await newer.waitForPush(({ meta }) => meta.subject === "for the newer");
    const { text } = await older.call("who");
    assert.match(text, /^- api \(you\)/m);
    assert.match(text, /for the newer/, "a notice comes on any connection that is called");
    await send(peer, "api", "for the older");
    await older.waitForPush(({ meta }) => meta.subject === "for the older");
    await setName(older, "front-end");
    await setName(newer, "back-end");
    assert.deepEqual(Object.keys(heartbeats(dir)).sort(), ["back-end", "peer"]);
    assert.deepEqual(await read(older), ["for the newer", "for the older"]);
    assert.equal(nameOf(dir, older), "back-end");
  });

  test("conversations with equal hash digits do not share a name, nor its mail", async (t) => {
    const dir = tempDir(t);
    const [one, two] = equalDigits();
    const first = await fakeClaude(dir, { conversation: one });
    const server = await first.serve();
    const name = nameOf(dir, server);
    await waitFor(async () => (await server.call("who")).text.includes(name), "its name");
    await first.end(server);
    const peer = await startSession("peer", { dir });
    await send(peer, name, "for the first");
    const second = await (await fakeClaude(dir, { conversation: two })).serve();
    assert.match(nameOf(dir, second), new RegExp(`^${name}[0-9a-f]$`));
    assert.deepEqual(await read(second), []);
    const again = await (await fakeClaude(dir, { conversation: one })).serve();
    assert.equal(nameOf(dir, again), name);
    assert.deepEqual(await read(again), ["for the first"]);
  });

  test("one IPC_SESSION_ID for all sessions does not swap their names at a restart", async (t) => {
    const dir = tempDir(t);
    const one = await fakeClaude(dir);
    const two = await fakeClaude(dir);
    const first = await one.serve("team");
    const second = await two.serve("team");
    assert.deepEqual([nameOf(dir, first), nameOf(dir, second)], ["team", "team-2"]);
    await Promise.all([one.end(first), two.end(second)]);
    const secondAgain = await fakeClaude(dir, { conversation: two.conversation });
    const later = await secondAgain.serve("team");
    assert.equal(nameOf(dir, later), "team-2");
    const firstAgain = await fakeClaude(dir, { conversation: one.conversation });
    assert.equal(nameOf(dir, await firstAgain.serve("team")), "team");
    await setName(later, "writer");
    await secondAgain.end(later);
    const resumed = await fakeClaude(dir, { conversation: two.conversation });
    assert.equal(nameOf(dir, await resumed.serve("team")), "writer", "set_name wins");
  });

  test("who shows where a session works now, and its state, whatever its folder", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claudeDir = join(dirname(dir), "other-claude");
    const claude = await fakeClaude(dir, { claudeDir });
    await claude.serve("writer");
    const worktree = join(claude.folder, "worktree");
    mkdirSync(worktree);
    claude.register({ cwd: worktree });
    claude.setStatus("busy");
    const line = async (): Promise<string> =>
      (await peer.call("who")).text.split("\n").find((each) => each.startsWith("- writer")) ?? "";
    const isThere = async () => (await line()).includes(`in “${worktree}”`);
    await waitFor(isThere, "the folder", SECONDS_MS);
    assert.match(await line(), /; busy since \d+ s;/);
  });

  test("a registry that is being rewritten does not bring back the former conversation", async (t) => {
    const dir = tempDir(t);
    const claude = await fakeClaude(dir);
    const server = await claude.serve();
    await setName(server, "api");
    const former = claude.conversation;
    claude.open();
    await setName(server, "writer");
    claude.writeTorn();
    await waitFor(async () => (await server.call("who")).text, "a look at the registry");
    assert.equal(nameOf(dir, server), "writer");
    assert.notEqual(heartbeats(dir).writer?.claude_session, former);
  });
});

/** Two conversations whose default names would be the same. */
function equalDigits(): [string, string] {
  const seen = new Map<string, string>();
  for (;;) {
    const id = newConversation();
    const digits = createHash("sha256").update(id).digest("hex").slice(0, 4);
    const before = seen.get(digits);
    if (before) return [before, id];
    seen.set(digits, id);
  }
}
