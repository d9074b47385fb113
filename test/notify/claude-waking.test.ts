// How a session of Claude Code is woken: through the channel, its inbox socket, or the plugin's
// hook, with one notice at a time.

import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { wakeFile } from "../../src/agents/claude/wake-file.ts";
import { createProcessTable } from "../../src/core/process.ts";
import { type Ended, run } from "../support/command.ts";
import { type FakeClaude, fakeClaude } from "../support/fake-claude.ts";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { noArguments } from "../support/process.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const FLAG = ["--dangerously-load-development-channels", "server:t9-ipc"];

async function send(session: TestSession, to: string, subject: string): Promise<string> {
  const { text, isError } = await session.call("send", { to, subject, body: "look at it" });
  assert.equal(isError, false, text);
  return text;
}

const isPosted = (claude: FakeClaude, count: number): Promise<unknown> =>
  waitFor(
    () => claude.posts.length >= count,
    () => `${count} notices, have ${JSON.stringify(claude.posts)}`,
  );

describe("waking a session of Claude Code", { concurrency: 3 }, () => {
  test("while the channel is not proved, an idle session is pointed to through the socket", {
    skip: noArguments,
  }, async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir, { flags: FLAG, listens: true });
    const server = await claude.serve("api");
    assert.match(await send(peer, "api", "one"), /mail reaches it: channel/);
    await server.waitForPush(({ meta }) => meta.subject === "one");
    // Nothing has shown it: the next tool result tells at once.
    assert.match((await server.call("who")).text, /1 new message, from peer: “one”/);
    assert.deepEqual(claude.posts, []);
    await isPosted(claude, 1);
    assert.match(claude.posts.join(), /1 new message, from peer: “one”/);
    await server.call("unread");

    // A message that is read before anything else has told of it proves the channel.
    await send(peer, "api", "two");
    await server.waitForPush(({ meta }) => meta.subject === "two");
    assert.match((await server.call("unread")).text, /^subject: two$/m);
    await send(peer, "api", "three");
    await server.waitForPush(({ meta }) => meta.subject === "three");
    assert.doesNotMatch((await server.call("who")).text, /new message/);
    await sleep(7500);
    assert.equal(claude.posts.length, 1, "no doubles");
  });

  test("one notice is out at a time, and the next one counts everything since", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir, { listens: true });
    const server = await claude.serve("api");
    claude.setStatus("waiting", "permission prompt");
    for (const subject of ["one", "two", "three"]) {
      const sent = await send(peer, "api", subject);
      assert.match(sent, /waits for its user \(permission prompt\) since \d+ s/);
      if (subject === "one") await isPosted(claude, 1);
    }
    const all = (await peer.call("broadcast", { subject: "four" })).text;
    assert.match(all, /api \(inbox socket; waits for its user \(permission prompt\) since \d+ s\)/);
    await sleep(5000);
    assert.equal(claude.posts.length, 1, claude.posts.join("\n"));

    claude.setStatus("busy"); // its user has answered, and the turn goes on
    await sleep(50);
    claude.setStatus("idle");
    await isPosted(claude, 2);
    assert.match(claude.posts[1] ?? "", /3 new messages, from peer: “two”, “three”, “four”/);
    await server.call("unread");
    await send(peer, "api", "five");
    await isPosted(claude, 3);
    assert.match(claude.posts[2] ?? "", /1 new message, from peer: “five”/);

    // A turn that was too short to be seen has begun after the notice and ended.
    await sleep(20);
    claude.setStatus("idle");
    await send(peer, "api", "six");
    await isPosted(claude, 4);
    assert.match(claude.posts[3] ?? "", /1 new message, from peer: “six”/);
  });

  test("waking goes on after Claude Code's folder or socket was away for a moment", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir);
    const server = await claude.serve("api");
    const settings = join(claude.claudeDir, "settings.json");
    mkdirSync(settings); // it cannot be read
    await send(peer, "api", "one");
    await waitFor(() => heartbeats(dir).api?.push_note === "silent", "the problem is known");
    assert.match((await peer.call("who")).text, /its inbox socket does not answer/);
    rmSync(settings, { recursive: true });
    await claude.listen();
    writeFileSync(settings, "{");
    await server.call("who");
    await isPosted(claude, 1);
    writeFileSync(settings, JSON.stringify({ crossSessionInbound: "hold" }));
    await server.call("unread");
    await send(peer, "api", "two");
    await waitFor(() => heartbeats(dir).api?.push_note === "held", "the setting is known");
    rmSync(settings);
    await isPosted(claude, 2);
  });

  test("who asked for it gets one notice when the other session has read and is idle again", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir, { listens: true });
    const server = await claude.serve("api");
    claude.setStatus("busy");
    const request = { to: "api", subject: "one", notify_when_idle: true };
    assert.match(
      (await peer.call("send", request)).text,
      /when api has read it and is idle, or when api waits/,
    );
    const away = { to: "nobody-yet", subject: "two", allow_unknown: true, notify_when_idle: true };
    assert.match((await peer.call("send", away)).text, /No notice will come of nobody-yet: it is/);
    await server.call("unread");
    claude.setStatus("idle");
    await peer.waitForPush(({ content }) => content === "t9-ipc: api is idle now.");
  });

  test("the plugin's hook takes each notice once, and wakes with nothing else", async (t) => {
    const dir = tempDir(t);
    const peer = await startSession("peer", { dir });
    const claude = await fakeClaude(dir);
    const env = { ...claude.env, CLAUDE_PID: String(claude.pid) };
    const hook = (event: string, around: Record<string, string> = {}): Promise<Ended> =>
      run(dir, ["hook"], {
        env: { ...env, ...around },
        input: JSON.stringify({ hook_event_name: event }),
      });
    const started = await hook("SessionStart");
    const { watchPaths } = JSON.parse(started.stdout).hookSpecificOutput;
    assert.deepEqual(watchPaths, [wakeFile(join(dir, "wake"), createProcessTable(), claude.pid)]);

    const server = await claude.serve("api", { env: { IPC_PUSH: "hook" } });
    assert.match(await send(peer, "api", "one"), /mail reaches it: hook/);
    const changed = await waitFor(async () => {
      const result = await hook("FileChanged");
      return result.code === 2 && result;
    }, "the notice");
    assert.match(changed.stderr, /^t9-ipc: 1 new message, from peer: “one”/);
    assert.equal((await hook("FileChanged")).code, 0, "it was taken");
    await send(peer, "api", "two");
    await sleep(2500);
    assert.equal((await hook("FileChanged")).code, 0, "the first one is not answered yet");
    await server.call("unread");
    for (const [event, around] of [
      ["Stop", {}],
      ["FileChanged", { CLAUDE_PID: "no" }],
      ["FileChanged", { IPC_DIR: join(dirname(dir), "elsewhere") }],
    ] as const) {
      assert.equal((await hook(event, around)).code, 0, event);
    }
    const wrong = await run(dir, ["hook"], { env, input: "no JSON" });
    assert.equal(wrong.code, 0);
    await claude.end(server);
    assert.equal((await hook("FileChanged")).code, 0);
  });
});
