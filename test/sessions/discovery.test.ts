import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { type Entry, filesIn, heartbeats, localTime } from "../support/mail.ts";
import { LEAVE_MS } from "../support/process.ts";
import { RawServer } from "../support/rpc.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

function writeHeartbeats(dir: string, entries: Record<string, Entry>): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "heartbeats.json"), JSON.stringify(entries));
}

test("two sessions find each other right after the handshake, before either has called a tool", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  assert.deepEqual(Object.keys(heartbeats(dir)).sort(), ["alpha", "beta"]);
  const [seenByAlpha, seenByBeta] = await Promise.all([alpha.call("who"), beta.call("who")]);
  assert.match(seenByAlpha.text, /^.*\bbeta\b/m);
  assert.match(seenByBeta.text, /^.*\balpha\b/m);
});

test("who tells the full name, the folder, the work and the last call of each, and who is you", async (t) => {
  const dir = tempDir(t);
  const folder = join(dir, "../projects/shop");
  mkdirSync(folder, { recursive: true });
  const long = "a-name-much-longer-than-sixteen-characters";
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession(long, { dir, cwd: folder });
  const line = async () => {
    const { text } = await alpha.call("who");
    return text.split("\n").find((each) => each.includes(long)) ?? "";
  };
  assert.match(await line(), /no tool call yet/);
  await beta.call("set_name", { name: long, working_on: "the checkout page" });
  const active = await waitFor(async () => {
    const now = await line();
    return now.includes("the checkout page") && now;
  }, "the work of the other session");
  assert.match(active, /last tool call \d+ s ago/);
  assert.ok(active.includes(folder), active);
  assert.doesNotMatch(active, /\(you\)/);
  assert.match((await alpha.call("who")).text, /alpha.*\(you\)/);
});

test("who says plainly when a session is alone", async (t) => {
  const alpha = await startSession("alpha", { dir: tempDir(t) });
  const { text, isError } = await alpha.call("who");
  assert.equal(isError, false);
  assert.match(text, /alone/);
  assert.match(text, /alpha.*\(you\)/);
});

test("a session whose process was killed is not listed, and its name is free", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession("beta", { dir });
  await beta.kill("SIGKILL");
  assert.doesNotMatch((await alpha.call("who")).text, /beta/);
  await startSession("beta", { dir });
  assert.match((await alpha.call("who")).text, /beta/);
});

test("a process that merely has the PID of an ended session is not that session", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const own = heartbeats(dir).alpha as Entry;
  if (own.started === undefined) return t.skip("this system does not tell when a process started");
  writeHeartbeats(dir, { alpha: own, ghost: { ...own, pid: process.pid, names: [] } });
  assert.doesNotMatch((await alpha.call("who")).text, /ghost/);
});

test("a session on another host is online while its last beat is under 90 s old", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const own = heartbeats(dir).alpha as Entry;
  const away = (beat: number): Entry => ({
    ...own,
    host: "elsewhere",
    pid: 1,
    beat,
    timestamp: localTime(),
  });
  writeHeartbeats(dir, {
    alpha: own,
    fresh: away(Date.now() - 60_000),
    silent: away(Date.now() - 100_000),
  });
  const { text } = await alpha.call("who");
  assert.match(text, /fresh/);
  assert.doesNotMatch(text, /silent/);
});

test("a session taken off the list by somebody else puts itself back on", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession("beta", { dir });
  writeHeartbeats(dir, {});
  await waitFor(() => Object.keys(heartbeats(dir)).sort().join() === "alpha,beta", "both entries");
  assert.match((await alpha.call("who")).text, /beta/);
  assert.match((await beta.call("who")).text, /alpha/);
});

/** Windows has no signals: only the end of stdin is left there. */
const WAYS_TO_LEAVE =
  process.platform === "win32"
    ? (["stdin"] as const)
    : (["stdin", "SIGTERM", "SIGINT", "SIGHUP"] as const);

test("leaving by any way takes the session off the list and ends its process within a second", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  for (const way of WAYS_TO_LEAVE) {
    const beta = await startSession("beta", { dir });
    assert.deepEqual(Object.keys(heartbeats(dir)).sort(), ["alpha", "beta"]);
    const took = way === "stdin" ? await beta.close() : await beta.kill(way);
    assert.deepEqual(Object.keys(heartbeats(dir)), ["alpha"], way);
    assert.ok(took < LEAVE_MS, `${way} took ${took} ms`);
    assert.match((await alpha.call("who")).text, /alone/);
  }
});

test("a client that stops reading ends the server at its next word", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await new RawServer(dir, { name: "beta" }).initialize();
  beta.child.stdout.destroy();
  await alpha.call("send", { to: "beta", subject: "are you there?" });
  await waitFor(() => beta.hasEnded, "the server's end");
  assert.equal(beta.child.exitCode, 0);
  assert.deepEqual(Object.keys(heartbeats(dir)), ["alpha"]);
});

test("leaving while calls are under way loses none of what was answered", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession("beta", { dir });
  const calls = Array.from({ length: 20 }, (_, i) =>
    beta.call("send", { to: "alpha", subject: `number ${i}` }),
  );
  const answers = Promise.allSettled(calls);
  await waitFor(() => alpha.pushes.length > 0, "the first message");
  await beta.close();
  const stored = (await answers).filter(
    (each) => each.status === "fulfilled" && !each.value.isError,
  ).length;
  await waitFor(
    () => alpha.pushes.length >= stored,
    () => `${stored} pushes, have ${alpha.pushes.length}`,
  );
  await alpha.waitForPushes(filesIn(dir).length); // What was stored and not answered has come as well.
});
