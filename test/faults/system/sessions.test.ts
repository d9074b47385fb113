// Who is online when heartbeats.json, PIDs, clocks and namespaces lie.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { type Entry, filesIn, heartbeats, localTime } from "../../support/mail.ts";
import { noPermissions, SERVE, SERVER, withoutRoot, works } from "../../support/process.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

/**
 * The file is looked at every 2 s, and then all is as it should be. A session that does not look
 * beats every 30 s.
 */
const ONE_LOOK_MS = 15_000;

const namespaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"];
const noNamespaces =
  !works(...namespaces, "true") && "needs root on Linux, for PID namespaces (unshare)";

const write = (dir: string, text: string): void =>
  writeFileSync(join(dir, "heartbeats.json"), text);

describe("heartbeats.json", { concurrency: true }, () => {
  const damages: [string, (dir: string) => void][] = [
    ["empty", (dir) => write(dir, "")],
    [
      "cut off",
      (dir) => write(dir, readFileSync(join(dir, "heartbeats.json"), "utf8").slice(0, 100)),
    ],
    ["garbage", (dir) => write(dir, "\u0000\ufffd{{{")],
    ["a JSON array", (dir) => write(dir, '["alpha"]')],
    ["null", (dir) => write(dir, "null")],
    ["a directory", (dir) => mkdirSync(aside(dir, "heartbeats.json"))],
    ["a dangling link", (dir) => symlinkSync("/nonexistent/x", aside(dir, "heartbeats.json"))],
    ["a FIFO", replaceByFifo],
  ];

  for (const [what, damage] of damages) {
    test(`a heartbeats.json that is ${what} is kept aside, and every live session is listed again`, async (t) => {
      const dir = tempDir(t);
      const sessions = await Promise.all(
        ["alpha", "beta"].map((name) => startSession(name, { dir })),
      );
      damage(dir);
      await waitFor(() => isListed(dir, "alpha", "beta"), "both", ONE_LOOK_MS);
      for (const session of sessions)
        assert.match((await session.call("who")).text, /^2 sessions online/);
      if (what !== "a dangling link")
        assert.match(readdirSync(dir).join(), /heartbeats\.json\.bad-\d{8}T/);
      const late = await startSession("gamma", { dir });
      assert.match((await late.call("who")).text, /^3 sessions online/);
    });
  }

  test("an unreadable heartbeats.json is kept aside as well", {
    skip: noPermissions,
  }, async (t) => {
    const dir = tempDir(t);
    const command = [...withoutRoot, ...SERVE];
    await startSession("alpha", { dir, command });
    execFileSync("chmod", ["000", join(dir, "heartbeats.json")]);
    const beta = await startSession("beta", { dir, command });
    await waitFor(() => isListed(dir, "alpha", "beta"), "both", ONE_LOOK_MS);
    assert.match((await beta.call("who")).text, /^2 sessions online/);
    assert.match(readdirSync(dir).join(), /heartbeats\.json\.bad-/);
  });

  test("a deleted heartbeats.json is written anew", async (t) => {
    const dir = tempDir(t);
    await Promise.all(["alpha", "beta"].map((name) => startSession(name, { dir })));
    rmSync(join(dir, "heartbeats.json"));
    await waitFor(() => isListed(dir, "alpha", "beta"), "both", ONE_LOOK_MS);
  });

  test("entries of the wrong shape or types are not sessions, and stop no tool", async (t) => {
    const dir = tempDir(t);
    mkdirSync(dir);
    const live = { pid: process.pid, timestamp: localTime(), status: "active", working_on: "" };
    const odd = {
      odd_number: 5,
      odd_null: null,
      odd_list: [],
      odd_pid: { ...live, pid: "1" },
      pid_none: { ...live, pid: 0 },
      pid_group: { ...live, pid: -1 },
      pid_huge: { ...live, pid: 2 ** 40 },
      odd_texts: { ...live, working_on: 5, cwd: 7, push: {}, timestamp: [] },
      odd_names: { ...live, names: 7 },
      odd_earlier: { ...live, names: [7, null, "former"] },
      "odd\n- name (you)": live,
      constructor: live,
      other: live,
    };
    write(dir, `{"__proto__": ${JSON.stringify(live)}, ${JSON.stringify(odd).slice(1)}`);
    const alpha = await startSession("alpha", { dir });
    const beta = await startSession("beta", { dir });
    for (const name of ["alpha", "beta"])
      await waitFor(() => heartbeats(dir)[name], name, ONE_LOOK_MS);
    const { text, isError } = await alpha.call("who");
    assert.equal(isError, false, text);
    assert.match(text, /^- beta/m);
    assert.match(text, /^- other/m);
    assert.equal(text.match(/\(you\)/g)?.length, 1, text);
    for (const name of ["odd_pid", "pid_none", "pid_group", "pid_huge"])
      assert.doesNotMatch(text, new RegExp(name));
    await alpha.call("send", { to: "beta", subject: "hello" });
    await beta.waitForPush(({ meta }) => meta.subject === "hello");
    assert.match((await beta.call("unread")).text, /subject: hello/);
    assert.match((await beta.call("set_name", { name: "beta-2" })).text, /now beta-2/);
  });
});

/** Is the file a good one, with exactly these names? A FIFO must not be opened to see. */
function isListed(dir: string, ...names: string[]): boolean {
  if (!lstatSync(join(dir, "heartbeats.json"), { throwIfNoEntry: false })?.isFile()) return false;
  return (
    Object.keys(heartbeats(dir) ?? {})
      .sort()
      .join() === names.join()
  );
}

/** In one step: the servers would write a missing file anew before `mkfifo` has started. */
function replaceByFifo(dir: string): void {
  execFileSync("mkfifo", [join(dir, "fifo")]);
  renameSync(join(dir, "fifo"), join(dir, "heartbeats.json"));
}

/** A free place in the folder, where a file was. */
function aside(dir: string, file: string): string {
  rmSync(join(dir, file), { force: true });
  return join(dir, file);
}

/** A server in a PID namespace, and with a host name, of its own: what a container is to us. */
function startElsewhere(name: string, dir: string, hours = 0): Promise<TestSession> {
  return startSession(name, { dir, command: [...namespaces, ...withClock(hours)] });
}

/** The server with a clock that is `hours` ahead, and goes back an hour at each SIGUSR2. */
function withClock(hours: number): string[] {
  const clock = `let ahead = ${hours} * 3600e3; const real = Date; const now = () => real.now() + ahead;
    globalThis.Date = class extends real { constructor(...a) { a.length ? super(...a) : super(now()); } static now() { return now(); } };
    process.on("SIGUSR2", () => { ahead -= 3600e3; process.stderr.write("clock set back\\n"); });`;
  return [
    process.execPath,
    "--import",
    `data:text/javascript,${encodeURIComponent(clock)}`,
    SERVER,
  ];
}

describe("host and container on one folder", { concurrency: true, skip: noNamespaces }, () => {
  test("host and container list each other, message each other and never remove each other", async (t) => {
    const dir = tempDir(t);
    const [host, container] = await Promise.all([
      startSession("on-host", { dir }),
      startElsewhere("in-container", dir),
    ]);
    await listed(host, container.dir, "in-container");
    await listed(container, host.dir, "on-host");
    await host.call("send", { to: "in-container", subject: "to the container" });
    await container.call("send", { to: "on-host", subject: "to the host" });
    await container.waitForPush(({ meta }) => meta.subject === "to the container");
    await host.waitForPush(({ meta }) => meta.subject === "to the host");
    assert.match((await container.call("unread")).text, /subject: to the container/);
    assert.match((await host.call("unread")).text, /subject: to the host/);
    await container.call("set_name", { name: "in-box", working_on: "something" });
    await host.call("send", { to: "in-container", subject: "to its earlier name" });
    await container.waitForPush(({ meta }) => meta.subject === "to its earlier name");
    const refusal = await host.call("set_name", { name: "in-box" });
    assert.match(refusal.text, /belongs to a session that is online/);

    // Killed, it is not known to be gone: the entry stays, and counts until its beat is too old.
    await container.kill();
    const beat = heartbeats(dir)["on-host"]?.beat;
    await host.call("who");
    await waitFor(() => heartbeats(dir)["on-host"]?.beat !== beat, "a beat of the host");
    const entry = heartbeats(dir)["in-box"] as Entry;
    assert.ok(entry, "the host has cleaned the container's entry away");
    write(
      dir,
      JSON.stringify({ ...heartbeats(dir), "in-box": { ...entry, beat: Date.now() - 100_000 } }),
    );
    const late = await startSession("late", { dir });
    assert.doesNotMatch((await late.call("who")).text, /in-box/);
    assert.ok(heartbeats(dir)["in-box"], "a day has not passed: it is the container's to remove");
    await host.call("send", { to: "in-box", subject: "for later" });
    const again = await startElsewhere("in-box", dir);
    await again.waitForPush(({ meta }) => meta.subject === "for later");
  });

  test("a container leaves no entry when its client goes", async (t) => {
    const dir = tempDir(t);
    const container = await startElsewhere("in-container", dir);
    assert.ok(heartbeats(dir)["in-container"]);
    await container.close();
    assert.deepEqual(heartbeats(dir), {});
  });

  test("two hosts whose clocks are an hour apart list each other, and get all mail once, in order", async (t) => {
    const dir = tempDir(t);
    const [near, ahead] = await Promise.all([
      startSession("near", { dir }),
      startElsewhere("ahead", dir, 1),
    ]);
    await listed(near, dir, "ahead", () => ahead.call("who"));
    await listed(ahead, dir, "near", () => near.call("who"));
    await converse(near, ahead);
    assert.ok(heartbeats(dir).near && heartbeats(dir).ahead, "one cleaned the other away");
  });
});

/** Waits until the session lists that name; `meanwhile` is called to let the other one beat. */
async function listed(
  session: TestSession,
  dir: string,
  name: string,
  meanwhile: () => unknown = () => {},
): Promise<void> {
  const line = new RegExp(`^- ${name}:`, "m");
  const seen = async () => {
    await meanwhile();
    return line.test((await session.call("who")).text);
  };
  await waitFor(seen, () => `${name} in the list of ${JSON.stringify(heartbeats(dir))}`);
}

/**
 * Ten messages and two broadcasts each way: each is pushed once and read once, in the order of its
 * sender.
 */
async function converse(one: TestSession, two: TestSession): Promise<void> {
  const [a, b] = ["near", "ahead"];
  const before = filesIn(one.dir).length;
  for (let n = 10; n < 20; n++) {
    await one.call("send", { to: b, subject: `from ${a} ${n}` });
    await two.call("send", { to: a, subject: `from ${b} ${n}` });
  }
  await one.call("broadcast", { subject: `from ${a} 20` });
  await two.call("broadcast", { subject: `from ${b} 20` });
  assert.equal(filesIn(one.dir).length, before + 22);
  for (const [session, sender] of [
    [one, b],
    [two, a],
  ] as const) {
    const expected = Array.from({ length: 11 }, (_, n) => `from ${sender} ${n + 10}`);
    const pushed = (await session.waitForPushes(expected.length)).map(({ meta }) => meta.subject);
    assert.deepEqual(pushed, expected);
    const { text } = await session.call("unread");
    assert.deepEqual(
      [...text.matchAll(/^subject: (from .*)$/gm)].map(([, subject]) => subject),
      expected,
    );
    assert.match((await session.call("unread")).text, /^No unread messages/);
    session.pushes.length = 0;
  }
}

describe("the clock", { concurrency: true }, () => {
  test("a clock that is set back an hour changes no order, and nothing is skipped or announced twice", async (t) => {
    const dir = tempDir(t);
    const near = await startSession("near", { dir });
    const ahead = await startSession("ahead", { dir, command: withClock(0) });
    await near.call("send", { to: "ahead", subject: "before" });
    await ahead.call("send", { to: "near", subject: "before" });
    await Promise.all([near, ahead].map((session) => session.waitForPush()));
    process.kill(ahead.pid, "SIGUSR2");
    await waitFor(() => ahead.stderr().includes("clock set back"), "the clock");
    for (const session of [near, ahead]) {
      assert.match((await session.call("unread")).text, /^1 unread message:/);
      session.pushes.length = 0;
    }
    await converse(near, ahead);
    // A session that starts with the clock set back gets what is sent from now on, and only that.
    const late = await startSession("late", { dir, command: withClock(-1) });
    assert.match((await late.call("unread")).text, /^No unread messages/);
    await ahead.call("broadcast", { subject: "for late too" });
    await late.waitForPush(({ meta }) => meta.subject === "for late too");
    assert.match((await late.call("unread")).text, /^1 unread message:/);
    for (const session of [near, ahead, late])
      assert.match((await session.call("who")).text, /^3 sessions online/);
  });

  test("sessions in two time zones get all mail once, in the order of its sender", async (t: TestContext) => {
    const dir = tempDir(t);
    const near = await startSession("near", { dir, env: { TZ: "UTC" } });
    const ahead = await startSession("ahead", { dir, env: { TZ: "Asia/Seoul" } });
    await converse(near, ahead);
  });
});
