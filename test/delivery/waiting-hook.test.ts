// The waiting hook: it wakes its session, or it is gone; it is never left behind, and never in the way.

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { homeOf, tempDir } from "../support/folder.ts";
import { heartbeats, mail, stamp, writeMail } from "../support/mail.ts";
import { noPermissions, Process, SERVE, withoutRoot, works } from "../support/process.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const CLAUDE_CODE_SESSION_ID = "4a6f2c1e-0000-4000-8000-000000000001";
const SESSION = { CLAUDE_CODE_SESSION_ID };

interface Around {
  readonly prefix?: readonly string[];
  readonly env?: Record<string, string>;
  readonly event?: string;
}

/** The hook as Claude Code starts it for that conversation. */
function startHook(dir: string, { prefix = [], env = {}, event = "Stop" }: Around = {}): Process {
  const own = { HOME: homeOf(dir), IPC_DIR: dir, ...SESSION, ...env };
  const hook = new Process([...prefix, ...SERVE, "wait"], { cwd: homeOf(dir), env: own });
  hook.child.stdin.end(
    JSON.stringify({ session_id: CLAUDE_CODE_SESSION_ID, hook_event_name: event }),
  );
  return hook;
}

/** The hook, once it has entered itself for the session `beta`. */
async function waiting(dir: string, around: Around = {}): Promise<Process> {
  const hook = startHook(dir, around);
  const entered = () => JSON.stringify(heartbeats(dir).beta ?? {}).includes(String(hook.pid));
  await waitFor(
    () => entered() || hook.hasEnded,
    () => `the hook to wait; ${hook.stderr}`,
  );
  assert.equal(hook.hasEnded, false, `it left: ${hook.stderr}`);
  return hook;
}

const noMounts =
  !works("unshare", "-m", "mount", "-t", "tmpfs", "x", "/mnt") &&
  "needs root on Linux, for a mount";

describe("the waiting hook", { concurrency: true }, () => {
  test("on a full disk it ends or works, and the next one works when there is room again", {
    skip: noMounts,
  }, async (t) => {
    const dir = tempDir(t);
    mkdirSync(dir);
    const script = `mount -t tmpfs -o size=256k,mode=700 t9 "$IPC_DIR" && exec "$@"`;
    const command = ["unshare", "-m", "sh", "-c", script, "sh", ...SERVE];
    const beta = await startSession("beta", { dir, env: SESSION, command });
    const inside = ["nsenter", "-t", String(beta.pid), "-m"];
    const seen = `/proc/${beta.pid}/root${dir}`;
    await waitFor(() => existsSync(join(seen, "inbox")), "the inbox");
    const filler = join(seen, "filler");
    for (const size of [4096, 1]) {
      for (let full = false; !full; ) {
        try {
          writeFileSync(filler, Buffer.alloc(size), { flag: "a" });
        } catch {
          full = true;
        }
      }
    }
    const hooks = [
      startHook(dir, { prefix: inside }),
      startHook(dir, { prefix: inside, event: "SessionStart" }),
    ];
    // It has read heartbeats.json and met the full disk once it says so, or ends; a second is more than it needs.
    await waitFor(
      () => hooks.every((hook) => hook.hasEnded || hook.stderr !== ""),
      "a word or the end",
      5000,
    ).catch(() => {});
    unlinkSync(filler);
    const alpha = await startSession("alpha", { dir, command: [...inside, ...SERVE] });
    await alpha.call("send", { to: "beta", subject: "hello" });
    for (const hook of hooks)
      await waitFor(() => hook.hasEnded, "its end: it hangs, and wakes nobody", 15_000);
    const next = startHook(dir, { prefix: inside });
    await alpha.call("send", { to: "beta", subject: "hello again" });
    assert.equal(await next.ended, 2, next.stderr);
    assert.match(next.stderr, /t9-ipc: \d new message/);
  });

  test("where heartbeats.json cannot be written it ends or works", {
    skip: noPermissions,
  }, async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", {
      dir,
      env: SESSION,
      command: [...withoutRoot, ...SERVE],
    });
    await beta.call("who");
    const before = await waiting(dir, { prefix: withoutRoot });
    chmodSync(dir, 0o500);
    try {
      const after = startHook(dir, { prefix: withoutRoot });
      // Nobody can send now, but a file can be put into the inbox.
      writeMail(
        dir,
        `${stamp(0, 1)}-0a1b2c3d-hand-beta-x.md`,
        mail({ from: "hand", to: "beta", subject: "hello" }),
      );
      for (const hook of [before, after])
        await waitFor(() => hook.hasEnded, "its end: it hangs", 20_000);
    } finally {
      chmodSync(dir, 0o700);
    }
  });

  test("where heartbeats.json is broken meanwhile it ends or works", async (t) => {
    const dir = tempDir(t);
    await startSession("beta", { dir, env: SESSION });
    const alpha = await startSession("alpha", { dir });
    const hook = await waiting(dir);
    writeFileSync(join(dir, "heartbeats.json"), "{{{");
    await waitFor(() => heartbeats(dir).beta && heartbeats(dir).alpha, "the sessions to be back");
    await alpha.call("send", { to: "beta", subject: "hello" });
    assert.equal(await Promise.race([hook.ended, timeout(20_000)]), 2, hook.stderr);
  });

  test("another process that has got a dead hook's PID is not taken for a waiting hook", async (t) => {
    const dir = tempDir(t);
    await startSession("beta", { dir, env: SESSION });
    const alpha = await startSession("alpha", { dir });
    const dead = await waiting(dir);
    assert.match((await alpha.call("who")).text, /^- beta:.*hook/m);
    await dead.kill();
    // The PID of some other living process where the dead hook's was, wherever that was noted.
    const other = new Process([process.execPath, "-e", "setInterval(() => {}, 1000)"], {
      cwd: homeOf(dir),
    });
    const entries = heartbeats(dir);
    const beta = JSON.parse(
      JSON.stringify(entries.beta).replaceAll(new RegExp(`\\b${dead.pid}\\b`, "g"), `${other.pid}`),
    );
    assert.notDeepEqual(beta, entries.beta);
    writeFileSync(join(dir, ".tmp-by-test"), JSON.stringify({ ...entries, beta }));
    renameSync(join(dir, ".tmp-by-test"), join(dir, "heartbeats.json"));
    assert.doesNotMatch((await alpha.call("who")).text, /^- beta:.*hook/m);
    const hook = await waiting(dir);
    assert.match((await alpha.call("who")).text, /^- beta:.*hook/m);
    await alpha.call("send", { to: "beta", subject: "hello" });
    assert.equal(await hook.ended, 2);
  });

  test("where its session has an inbox socket it is gone without a look at the inbox", async (t) => {
    const dir = tempDir(t);
    const socket = {
      CLAUDE_CODE_MESSAGING_SOCKET: join(dirname(dir), "socket"),
      CLAUDE_CODE_MESSAGING_TOKEN: "x",
    };
    await startSession("beta", { dir, env: { ...SESSION, ...socket } });
    for (let n = 0; n < 10; n++) {
      writeMail(
        dir,
        `${stamp(0, n)}-0a1b2c3d-hand-beta-x.md`,
        mail({ from: "hand", to: "beta", subject: `${n}` }),
      );
    }
    const db = join(dirname(dir), "hook.db");
    const hook = startHook(dir, { env: { ...socket, IPC_DB_PATH: db } });
    assert.equal(await hook.ended, 0);
    assert.equal(hook.stderr, "");
    assert.equal(existsSync(db), false, "it has opened the cache");
    assert.ok(
      !new RegExp(`\\b${hook.pid}\\b`).test(JSON.stringify(heartbeats(dir))),
      "it has entered itself",
    );
  });
});

/** Resolves to a word after so many ms, for a race with something that may never come. */
const timeout = (ms: number): Promise<string> =>
  new Promise((done) => {
    setTimeout(() => done("it hangs"), ms).unref();
  });

describe("a mistyped recipient", () => {
  test("is refused without a look at the archive, which only grows", {
    skip: noPermissions,
  }, async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir, command: [...withoutRoot, ...SERVE] });
    mkdirSync(join(dir, "archive"), { recursive: true });
    chmodSync(join(dir, "archive"), 0);
    const { text, isError } = await alpha.call("send", { to: "alhpa-tests", subject: "hello" });
    assert.ok(isError);
    assert.match(text, /^Not sent: no session named alhpa-tests has been here\./);
    assert.doesNotMatch(alpha.stderr(), /EACCES/);
    chmodSync(join(dir, "archive"), 0o700);
  });
});
