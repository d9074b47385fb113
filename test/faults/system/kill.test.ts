// A process killed at any moment, and the locks it leaves behind.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, utimesSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { build } from "esbuild";
import { tempDir } from "../../support/folder.ts";
import { filesIn, heartbeats, readByLine, readMail } from "../../support/mail.ts";
import { LEAVE_MS, Process } from "../../support/process.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

/**
 * A tool answers within this, whatever holds the locks: it waits 2 s for a lock and then goes on.
 * One that waited until a lock counts as abandoned would take 5 s.
 */
const ANSWER_MS = 4500;

/** Stores messages forever, five at a time, rewrites heartbeats.json, and prints what is stored. */
const SENDER = `
  import { writeSync } from "node:fs";
  import { readConfig } from "./config.ts";
  import { Heartbeats } from "./core/heartbeats.ts";
  import { Inbox } from "./core/inbox.ts";
  import { createSystem } from "./upkeep/system.ts";
  const config = readConfig(process.env, process.cwd());
  const system = createSystem(config);
  const inbox = new Inbox({ folder: config }, system);
  const heartbeats = new Heartbeats(config, system);
  const { pid } = process;
  const entry = { timestamp: "", status: "active", pid, working_on: "x".repeat(20_000) };
  const fields = { from: "sender", to: "reader", type: "ipc", priority: "normal" };
  const enter = ({ entries }) => entries.set("sender", entry);
  for (let n = Number(process.argv[2]); ; ) {
    const batch = Array.from({ length: 5 }, async () => {
      const subject = "n" + ++n;
      const body = (subject + " ").repeat(8000 / (subject.length + 1));
      await inbox.store([{ ...fields, subject, body }]);
      writeSync(1, subject.slice(1) + "\\n");
    });
    await Promise.all([...batch, heartbeats.update(enter)]);
  }
`;

async function bundleSender(dir: string): Promise<string> {
  const outfile = join(dirname(dir), "sender.mjs");
  const banner = {
    js: "import{createRequire as r}from'node:module';const require=r(import.meta.url);",
  };
  await build({
    stdin: {
      contents: SENDER,
      resolveDir: resolve(import.meta.dirname, "../../../src"),
      loader: "ts",
    },
    ...{
      bundle: true,
      platform: "node",
      format: "esm",
      banner,
      outfile,
      external: ["better-sqlite3"],
    },
  });
  return outfile;
}

/** Kills a sender once it has acknowledged `acks` messages. Returns the numbers it acknowledged. */
async function killSender(
  script: string,
  dir: string,
  first: number,
  acks: number,
): Promise<number[]> {
  const env = { HOME: dirname(dir), IPC_DIR: dir };
  const sender = new Process([process.execPath, script, String(first)], {
    cwd: dirname(script),
    env,
  });
  sender.child.stdout.on("data", () => {
    if (sender.stdout.split("\n").length > acks) sender.child.kill("SIGKILL");
  });
  await sender.ended;
  return sender.stdout.split("\n").filter(Boolean).map(Number);
}

/** Every acknowledged message is there, whole and in the order of sending, and no other file. */
function checkFolder(dir: string, acknowledged: number[]): void {
  const stored = filesIn(dir).map((file) => {
    const text = readMail(dir, file);
    const { fields, body } = readByLine(text);
    assert.equal(
      fields.subject,
      /-(n\d+)\.md$/.exec(file)?.[1],
      `torn: ${file}: ${JSON.stringify(text.slice(0, 80))}`,
    );
    assert.equal(
      body,
      `${fields.subject} `.repeat(8000 / ((fields.subject?.length ?? 0) + 1)),
      `torn: ${file}`,
    );
    return Number(fields.subject?.slice(1));
  });
  const missing = acknowledged.filter((n) => !stored.includes(n));
  assert.deepEqual(missing, [], "acknowledged, and not in the folder");
  assert.deepEqual(
    stored,
    stored.toSorted((a, b) => a - b),
    "not in the order of sending",
  );
  const others = readdirSync(join(dir, "inbox")).filter((file) => !file.endsWith(".md"));
  assert.deepEqual(others, []);
  if (existsSync(join(dir, "heartbeats.json")))
    JSON.parse(readFileSync(join(dir, "heartbeats.json"), "utf8"));
}

describe("kill -9", { concurrency: true }, () => {
  test("a sender killed 60 times has stored all that it acknowledged", async (t) => {
    const dir = tempDir(t);
    const script = await bundleSender(dir);
    const lane = async (number: number): Promise<void> => {
      for (let kill = 0; kill < 12; kill++) {
        const own = join(dir, `${number}-${kill}`);
        checkFolder(own, await killSender(script, own, 1, 1 + ((number * 12 + kill) % 29)));
      }
    };
    await Promise.all(Array.from({ length: 5 }, (_, number) => lane(number)));
  });

  test("the next sender goes on after a killed one whose lock it finds", async (t) => {
    const dir = tempDir(t);
    const script = await bundleSender(dir);
    const acknowledged: number[] = [];
    for (let kill = 0; kill < 4; kill++)
      acknowledged.push(...(await killSender(script, dir, kill * 1000, 7 + kill)));
    checkFolder(dir, acknowledged);
  });

  test("a server killed amid 60 calls has stored every answered send", async (t) => {
    const dir = tempDir(t);
    const round = async (number: number): Promise<void> => {
      const own = join(dir, String(number));
      mkdirSync(own, { recursive: true });
      const session = await startSession("sender", { dir: own });
      const stored: string[] = [];
      const sends = Array.from({ length: 60 }, async (_, n) => {
        const { text } = await session.call("send", {
          to: "reader",
          subject: `n ${n}`,
          body: "x",
          allow_unknown: true,
        });
        if (stored.push(/Stored as (.+?\.md)/.exec(text)?.[1] ?? text) === 1 + number * 3)
          void session.kill();
      });
      await Promise.allSettled(sends);
      await session.ended;
      for (const file of stored)
        assert.match(readMail(own, file), /^---\nfrom: sender\n.*\n---\n\nx\n$/s);
      for (const file of filesIn(own))
        assert.match(readMail(own, file), /^---\nfrom: sender\n.*\n---\n\nx\n$/s);
      assert.deepEqual(Object.keys(heartbeats(own)), ["sender"]);
    };
    for (let number = 0; number < 12; number += 3)
      await Promise.all([0, 1, 2].map((each) => round(number + each)));
  });
});

/** Calls every tool. Fails if one takes too long, or if a message is not in the folder. */
async function callEveryTool(session: TestSession, mark: string): Promise<void> {
  const calls: [string, Record<string, unknown>][] = [
    ["who", {}],
    ["send", { to: "reader", subject: `sent ${mark}`, allow_unknown: true }],
    ["broadcast", { subject: `told ${mark}` }],
    ["unread", {}],
    ["set_name", { name: `named-${mark}` }],
  ];
  for (const [tool, args] of calls) {
    const start = performance.now();
    const { text, isError } = await session.call(tool, args);
    const took = performance.now() - start;
    assert.ok(took < ANSWER_MS, `${tool} took ${Math.round(took)} ms: ${text}`);
    if (tool !== "set_name") assert.equal(isError, false, text);
    else if (isError) assert.match(text, /locked by another process.*again/);
  }
  const files = filesIn(session.dir).join();
  assert.match(files, new RegExp(`sent_${mark}.*told_${mark}`, "s"));
}

const LOCKS = ["inbox.lock", "heartbeats.json.lock"];

/** Locks as a killed holder leaves them, touched `ms` from now. */
function leaveLocks(dir: string, ms: number): void {
  const at = new Date(Date.now() + ms);
  for (const lock of LOCKS) {
    mkdirSync(join(dir, lock), { recursive: true });
    utimesSync(join(dir, lock), at, at);
  }
}

/** Stops the session (SIGSTOP) while it holds the inbox lock, in the middle of a burst. */
async function stopWithLock(
  session: TestSession,
): Promise<Promise<{ text: string; isError: boolean }>[]> {
  const sends: Promise<{ text: string; isError: boolean }>[] = [];
  for (let n = 0; ; n++) {
    sends.push(session.call("send", { to: "reader", subject: `burst ${n}`, allow_unknown: true }));
    await waitFor(() => existsSync(join(session.dir, "inbox.lock")), "the lock", 50).catch(
      () => {},
    );
    process.kill(session.pid, "SIGSTOP");
    await waitFor(() => / T /.test(readFileSync(`/proc/${session.pid}/stat`, "utf8")), "the stop");
    if (existsSync(join(session.dir, "inbox.lock"))) return sends;
    process.kill(session.pid, "SIGCONT");
  }
}

const noProc = process.platform !== "linux" && "reads /proc";

describe("locks", { concurrency: true }, () => {
  test("locks left behind an hour ago hold up nobody", async (t) => {
    const dir = tempDir(t);
    leaveLocks(dir, -3_600_000);
    const session = await startSession("alpha", { dir });
    assert.ok(heartbeats(dir).alpha, "listed at the handshake");
    const start = performance.now();
    await callEveryTool(session, "old");
    assert.ok(performance.now() - start < ANSWER_MS);
    assert.ok(heartbeats(dir)["named-old"]);
  });

  for (const [mark, ms] of [
    ["now", 0],
    ["ahead", 3_600_000],
  ] as const) {
    test(`tools answer and the heartbeat catches up if a killed process left locks (${mark})`, async (t) => {
      const dir = tempDir(t);
      leaveLocks(dir, ms);
      const start = performance.now();
      const since = () => performance.now() - start;
      const [session, free] = await Promise.all([
        startSession("alpha", { dir }),
        // How long a start takes without such locks.
        startSession("alpha", { dir: tempDir(t) }).then(since),
      ]);
      assert.ok(since() - free < ANSWER_MS, "the handshake waits");
      await callEveryTool(session, mark);
      await waitFor(
        () => Object.values(heartbeats(dir)).some(({ pid }) => pid === session.pid),
        "the heartbeat",
      );
    });
  }

  test("tools answer and sessions leave within a second if locks are held forever", async (t) => {
    const dir = tempDir(t);
    leaveLocks(dir, 0);
    const holder = setInterval(() => leaveLocks(dir, 0), 500);
    t.after(() => clearInterval(holder));
    const [session, leaving] = await Promise.all([
      startSession("alpha", { dir }),
      startSession("beta", { dir }),
    ]);
    await callEveryTool(session, "held");
    const took = await leaving.close();
    assert.ok(took < LEAVE_MS, `leaving took ${took} ms`);
    clearInterval(holder);
    for (const lock of LOCKS) rmdirSync(join(dir, lock));
    await waitFor(
      () => Object.values(heartbeats(dir)).some(({ pid }) => pid === session.pid),
      "the heartbeat",
    );
  });

  test("a holder of a lock that was stopped and lost it goes on and loses nothing", {
    skip: noProc,
  }, async (t) => {
    const dir = tempDir(t);
    const [holder, other] = await Promise.all([
      startSession("holder", { dir }),
      startSession("other", { dir }),
    ]);
    const sends = await stopWithLock(holder);
    await callEveryTool(other, "stopped");
    // Stale meanwhile: the next sender takes the lock over, and the holder wakes up without it.
    leaveLocks(dir, -10_000);
    await other.call("send", { to: "reader", subject: "taken over", allow_unknown: true });
    await waitFor(() => !existsSync(join(dir, "inbox.lock")), "the lock to be given back");
    process.kill(holder.pid, "SIGCONT");
    for (const { text, isError } of await Promise.all(sends)) {
      assert.equal(isError, false, text);
      assert.ok(filesIn(dir).includes(/Stored as (.+?\.md)/.exec(text)?.[1] ?? ""), text);
    }
    await callEveryTool(holder, "after");
    assert.match((await other.call("who")).text, /^- named-after/m);
  });
});
