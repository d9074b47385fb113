import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { LEAVE_MS, SERVER } from "../support/process.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const NAME = /^[\p{L}\p{N}_-]{3,64}$/u;
const online = (dir: string): string[] => Object.keys(heartbeats(dir)).sort();

test("after a rename both names' mail arrives, and the others see the new one only", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await alpha.call("send", { to: "beta", subject: "unread before the rename" });
  const { text, isError } = await beta.call("set_name", {
    name: "api-tests",
    working_on: "the API",
  });
  assert.equal(isError, false, text);
  assert.match(text, /api-tests/);
  assert.match(text, /1 unread/);
  assert.deepEqual(online(dir), ["alpha", "api-tests"]);
  const line = (await alpha.call("who")).text.split("\n").filter((each) => /^\W*beta/.test(each));
  assert.deepEqual(line, [], "no session is listed under the old name");

  const old = await alpha.call("send", { to: "beta", subject: "to the old name" });
  assert.equal(old.isError, false, old.text);
  assert.match(old.text, /api-tests/);
  await alpha.call("send", { to: "api-tests", subject: "to the new name" });
  await beta.waitForPushes(3);
  assert.deepEqual(
    beta.pushes.map(({ meta }) => meta.to),
    ["beta", "beta", "api-tests"],
  );
  const unread = (await beta.call("unread")).text;
  for (const subject of ["unread before the rename", "to the old name", "to the new name"]) {
    assert.match(unread, new RegExp(subject));
  }
  assert.match(
    (await beta.call("unread", { session_id: "beta" })).text,
    /No unread/,
    "its old name is its own",
  );
});

test("the old name of a renamed session is refused to others while the session lives", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await beta.call("set_name", { name: "gamma" });
  const { text, isError } = await alpha.call("set_name", { name: "beta" });
  assert.equal(isError, true);
  assert.match(text, /gamma/);
  assert.match(text, /beta-2/);
  await startSession("beta", { dir });
  await waitFor(() => online(dir).includes("beta-2"), "the new session is on the list");
  assert.deepEqual(online(dir), ["alpha", "beta-2", "gamma"]);
  assert.equal(
    (await beta.call("set_name", { name: "beta" })).isError,
    false,
    "its own it can take again",
  );
  assert.deepEqual(online(dir), ["alpha", "beta", "beta-2"]);
  await beta.close();
  assert.equal((await alpha.call("set_name", { name: "beta" })).isError, false, "now it is free");
});

test("a session renamed twice keeps the mail of all its names", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await beta.call("set_name", { name: "gamma" });
  await beta.call("set_name", { name: "delta" });
  for (const to of ["beta", "gamma", "delta"]) await alpha.call("send", { to, subject: "hello" });
  await beta.waitForPushes(3);
  assert.equal((await beta.call("send", { to: "beta", subject: "to myself" })).isError, true);
});

test("what was waiting for a name is pushed, oldest first, when a session takes it", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const before = await startSession("api-tests", { dir });
  await before.close();
  for (const subject of ["one", "two", "three"])
    await alpha.call("send", { to: "api-tests", subject });
  const beta = await startSession("beta", { dir });
  const { text } = await beta.call("set_name", { name: "api-tests" });
  assert.match(text, /3 unread/);
  await beta.waitForPushes(3);
  assert.deepEqual(
    beta.pushes.map(({ meta }) => meta.subject),
    ["one", "two", "three"],
  );
});

test("a name may have letters of any script, and 64 of them, and its marks outlive the session", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  const names = ["결제-서버", "Ünïcode_42", "가".repeat(64), "𠀀".repeat(64)];
  for (const name of names) {
    const named = await beta.call("set_name", { name });
    if (named.isError) {
      assert.match(named.text, /bytes/); // longer than a file's name can be
      continue;
    }
    const sent = await alpha.call("send", { to: name, subject: `hello ${name}` });
    assert.equal(sent.isError, false, sent.text);
    await beta.waitForPush(({ meta }) => meta.to === name);
    assert.match((await beta.call("unread")).text, new RegExp(`hello ${name}`));
  }
  await beta.close();
  assert.equal(beta.stderr(), "");
  const again = await startSession(names[0], { dir });
  for (const name of names.slice(1)) await again.call("set_name", { name });
  assert.match((await again.call("unread")).text, /No unread/);
});

test("servers that start at once with one name get a name each", async (t) => {
  const dir = tempDir(t);
  await Promise.all([1, 2, 3].map(() => startSession("worker", { dir })));
  assert.deepEqual(online(dir), ["worker", "worker-2", "worker-3"]);
});

test("of two sessions that take one name at the same moment, one gets it", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  for (const name of ["one", "two", "three"]) {
    const answers = await Promise.all(
      [alpha, beta].map((session) => session.call("set_name", { name })),
    );
    assert.equal(answers.filter(({ isError }) => isError).length, 1);
  }
  assert.equal(online(dir).length, 2);
});

test("a session without a given name has one of its folder and conversation, always the same", async (t) => {
  const dir = tempDir(t);
  const project = join(dir, "../my shop.v2");
  mkdirSync(project);
  const CLAUDE_CODE_SESSION_ID = "4a6f2c1e-0000-4000-8000-000000000001";
  const names: string[] = [];
  for (const [id, cwd] of [
    [CLAUDE_CODE_SESSION_ID, project],
    [CLAUDE_CODE_SESSION_ID, "/"],
    ["another", project],
  ] as const) {
    const env = { CLAUDE_CODE_SESSION_ID: id, CLAUDE_PROJECT_DIR: project };
    const session = await startSession(undefined, { dir, env, cwd, client: "claude-code" });
    names.push(...online(dir));
    await session.close();
  }
  const [first, again, other] = names;
  assert.match(first ?? "", /^my-shop-v2-[0-9a-f]{4}$/);
  assert.equal(again, first);
  assert.match(other ?? "", /^my-shop-v2-[0-9a-f]{4}$/);
  assert.notEqual(other, first);
});

test("a resumed conversation gets the mail that came while it was away", async (t) => {
  const dir = tempDir(t);
  const env = { CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000001" };
  const alpha = await startSession("alpha", { dir });
  const first = await startSession(undefined, { dir, env, client: "claude-code" });
  const name = online(dir).find((each) => each !== "alpha");
  await first.close();
  await alpha.call("send", { to: name, subject: "while you were away" });
  const again = await startSession(undefined, { dir, env, client: "claude-code" });
  assert.equal((await again.waitForPush()).meta.subject, "while you were away");
});

test("sessions of other clients in one folder have names of their own", async (t) => {
  const dir = tempDir(t);
  await Promise.all([1, 2, 3].map(() => startSession(undefined, { dir, cwd: "/" })));
  assert.equal(online(dir).length, 3);
  for (const name of online(dir)) assert.match(name, NAME);
});

test("an IPC_SESSION_ID that cannot be a name is said on stderr, and another is found", async (t) => {
  const dir = tempDir(t);
  const session = await startSession("two words", { dir });
  const [name = ""] = online(dir);
  assert.match(name, NAME);
  await waitFor(() => session.stderr().includes("IPC_SESSION_ID"), "a line on stderr");
});

test("servers of two Claude Code processes are two sessions", async (t) => {
  const dir = tempDir(t);
  // Each server has a parent of its own, which is its Claude Code if there is no registry.
  const start = `const { status } = require("node:child_process").spawnSync(process.execPath,
    [process.argv[1]], { stdio: "inherit" }); process.exit(status)`;
  const sessions = await Promise.all(
    ["one", "two"].map((id) =>
      startSession(undefined, {
        dir,
        cwd: "/",
        env: { CLAUDE_CODE_SESSION_ID: id },
        client: "claude-code",
        command: [process.execPath, "-e", start, SERVER],
      }),
    ),
  );
  assert.equal(online(dir).length, 2);
  await sessions[0]?.call("broadcast", { subject: "hello" });
  await sessions[1]?.waitForPush();
  const took = (await sessions[1]?.close()) ?? 0;
  assert.ok(took < LEAVE_MS, `took ${took} ms`);
  assert.equal(online(dir).length, 1);
});
