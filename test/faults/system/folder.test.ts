// A data folder that fails: full, forbidden, gone, replaced, not watched.

import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { filesIn, heartbeats, mail, stamp, writeMail } from "../../support/mail.ts";
import { noPermissions, SERVE, SERVER, withoutRoot, works } from "../../support/process.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

/** A message that made no event is found within this: the folder is listed every 2 s. */
const RESCAN_MS = 10_000;
/** Five messages one after another take less if each makes an event, and 10 s if none does. */
const BY_EVENTS_MS = 6000;

const noMounts =
  !works("unshare", "-m", "mount", "-t", "tmpfs", "x", "/mnt") &&
  "needs root on Linux, for a mount";

let letters = 0;

/** With the fault, a send is refused and leaves nothing behind, and the other tools answer. */
async function refuses(session: TestSession, reason: RegExp, dir = session.dir): Promise<void> {
  const before = listing(dir);
  const { text, isError } = await session.call("send", {
    to: "reader",
    subject: `lost ${++letters}`,
    allow_unknown: true,
  });
  assert.ok(isError, text);
  assert.match(text, /Not sent/);
  assert.match(text, reason);
  assert.deepEqual(listing(dir), before, "something half-written");
  const who = await session.call("who");
  assert.equal(who.isError, false, who.text);
}

/** Without the fault, mail goes out and comes in and the session is listed, with no restart. */
async function servesAgain(session: TestSession, dir = session.dir): Promise<void> {
  const subject = `stored ${++letters}`;
  const { text } = await session.call("send", { to: "reader", subject, allow_unknown: true });
  assert.match(text, /^Stored as/);
  assert.match(filesIn(dir).join(), new RegExp(subject.replace(" ", "_")));
  const name = /^- (\S+) \(you\)/m.exec((await waitForWho(session)).text)?.[1] ?? "";
  const back = `back ${++letters}`;
  const file = `${stamp(0, letters)}-0000000a-hand-${name}-back.md`;
  writeMail(dir, file, mail({ from: "hand", to: name, subject: back }));
  await session.waitForPush(({ meta }) => meta.subject === back, RESCAN_MS);
  assert.match((await session.call("unread")).text, new RegExp(`subject: ${back}$`, "m"));
  assert.deepEqual(
    listing(dir).filter((path) => path.includes(".tmp-")),
    [],
  );
}

const waitForWho = (session: TestSession): Promise<{ text: string }> =>
  waitFor(async () => {
    const answer = await session.call("who");
    return answer.text.includes("(you)") && answer;
  }, "being listed") as Promise<{ text: string }>;

/** All that a failed send may not change: everything but heartbeats, marks, cache and locks. */
function listing(dir: string): string[] {
  try {
    const paths = readdirSync(dir, { recursive: true }) as string[];
    return paths
      .filter(
        (path) => !/^(heartbeats\.json|cache\.db|\.order|read(\/|$)|\.tmp-)|\.lock$/.test(path),
      )
      .sort();
  } catch {
    return [];
  }
}

function isRemoved(path: string): boolean {
  try {
    rmSync(path, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

describe("the folder", { concurrency: 3 }, () => {
  test("a send to a full disk is refused, and nothing is lost", { skip: noMounts }, async (t) => {
    const dir = tempDir(t);
    mkdirSync(dir);
    const mount = [
      "unshare",
      "-m",
      "sh",
      "-c",
      `mount -t tmpfs -o size=256k,mode=700 t9 "$IPC_DIR" && exec "$@"`,
      "sh",
    ];
    const alpha = await startSession("alpha", { dir, command: [...mount, ...SERVE] });
    const enter = ["nsenter", "-t", String(alpha.pid), "-m", ...SERVE];
    const reader = await startSession("reader", { dir, command: enter });
    const seen = `/proc/${alpha.pid}/root${dir}`;
    await alpha.call("send", { to: "reader", subject: "before" });
    await reader.waitForPush(({ meta }) => meta.subject === "before");
    const filler = join(seen, "filler");
    fill(filler);
    await refuses(alpha, /ENOSPC|no space/, seen);
    // Room for a part of a message: none of it may stay.
    const part = readFileSync(filler);
    writeFileSync(filler, part.subarray(0, part.length - 4096));
    const { isError } = await alpha.call("send", {
      to: "reader",
      subject: "a part",
      body: "x".repeat(10_000),
    });
    assert.ok(isError);
    assert.doesNotMatch(listing(seen).join(), /a_part|\.tmp-/);
    fill(filler);
    assert.match((await reader.call("unread")).text, /^1 unread message:.*subject: before/s);
    unlinkSync(filler);
    JSON.parse(readFileSync(join(seen, "heartbeats.json"), "utf8"));
    await servesAgain(alpha, seen);
    // What was read while nothing could be written is read after a restart as well.
    await reader.waitForPush(({ meta }) => /^stored/.test(meta.subject ?? ""));
    assert.match((await reader.call("unread")).text, /^1 unread message:/);
    await reader.close();
    const again = await startSession("reader", { dir, command: enter });
    assert.match((await again.call("unread")).text, /^No unread messages/);
  });

  test("a send to a file system that turned read-only is refused", {
    skip: noMounts,
  }, async (t) => {
    const dir = tempDir(t);
    mkdirSync(dir);
    const mount = [
      "unshare",
      "-m",
      "sh",
      "-c",
      `mount --bind "$IPC_DIR" "$IPC_DIR" && exec "$@"`,
      "sh",
    ];
    const env = { IPC_DB_PATH: join(dirname(dir), "local.db") };
    const alpha = await startSession("alpha", { dir, env, command: [...mount, ...SERVE] });
    await alpha.call("send", { to: "reader", subject: "before", allow_unknown: true });
    // Busy while a file is open for writing.
    const remount = (how: string) =>
      waitFor(
        () =>
          works("nsenter", "-t", `${alpha.pid}`, "-m", "mount", "-o", `remount,bind,${how}`, dir),
        how,
      );
    await remount("ro");
    await refuses(alpha, /EROFS|read-only/);
    await remount("rw");
    await servesAgain(alpha);
  });

  test("a send is refused without the permission to write the inbox or the folder", {
    skip: noPermissions,
  }, async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir, command: [...withoutRoot, ...SERVE] });
    await alpha.call("send", { to: "reader", subject: "before", allow_unknown: true });
    for (const [path, mode] of [
      ["inbox", 0o500],
      ["inbox", 0],
      ["", 0o500],
      ["", 0],
    ] as const) {
      chmodSync(join(dir, path), mode);
      try {
        await refuses(alpha, /EACCES|permission/);
        if (mode === 0) await admitsItCannotRead(alpha);
      } finally {
        chmodSync(join(dir, path), 0o700);
      }
      await servesAgain(alpha);
    }
  });

  test("a send is refused while a file lies in place of a folder", async (t) => {
    const dir = tempDir(t);
    writeFileSync(dir, "a file");
    const alpha = await startSession("alpha", { dir });
    await refuses(alpha, /EEXIST|ENOTDIR|not a directory|exists/);
    await admitsItCannotRead(alpha);
    unlinkSync(dir);
    await servesAgain(alpha);
    rmSync(join(dir, "inbox"), { recursive: true });
    writeFileSync(join(dir, "inbox"), "a file");
    await refuses(alpha, /EEXIST|ENOTDIR|not a directory|exists/);
    await admitsItCannotRead(alpha);
    unlinkSync(join(dir, "inbox"));
    await servesAgain(alpha);
  });

  test("mail is announced and read if the read marks cannot be read or written", async (t) => {
    const dir = tempDir(t);
    for (const damage of [
      () => mkdirSync(join(dir, "read", "beta"), { recursive: true }),
      () => writeFileSync(join(dir, "read"), "a file"),
    ]) {
      mkdirSync(dir, { recursive: true });
      damage();
      const [alpha, beta] = await Promise.all([
        startSession("alpha", { dir }),
        startSession("beta", { dir }),
      ]);
      const { text, isError } = await alpha.call("send", { to: "beta", subject: "hello" });
      assert.equal(isError, false, text);
      await beta.waitForPush(({ meta }) => meta.subject === "hello", RESCAN_MS);
      assert.match((await beta.call("unread")).text, /subject: hello/);
      assert.match((await beta.call("unread")).text, /^No unread messages/);
      assert.match(beta.stderr(), /^t9-ipc: .*read/m);
      await waitFor(
        () => isRemoved(join(dir, "read")),
        "the folder to stay empty while a server writes into it",
      );
      await servesAgain(beta);
      await Promise.all([alpha.close(), beta.close()]);
      rmSync(dir, { recursive: true });
    }
  });

  test("a session that was given no name works if the read marks must not be looked at", {
    skip: noPermissions,
  }, async (t) => {
    const dir = tempDir(t);
    mkdirSync(dir, { recursive: true });
    mkdirSync(join(dir, "read"), { mode: 0 });
    const session = await startSession(undefined, {
      dir,
      command: [...withoutRoot, ...SERVE],
      env: { CLAUDE_CODE_SESSION_ID: "0a1b2c3d-0000-4000-8000-000000000001" },
    });
    const { text, isError } = await session.call("who");
    assert.equal(isError, false, text);
    const [name = ""] = Object.keys(heartbeats(dir));
    const other = await startSession("other", { dir, command: [...withoutRoot, ...SERVE] });
    await other.call("send", { to: name, subject: "hello" });
    assert.match((await session.call("unread")).text, /subject: hello/);
  });

  test("mail is found in a folder that was replaced, or moved away and back", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    await beta.call("send", { to: "reader", subject: "before", allow_unknown: true });
    const moved = join(dirname(dir), "moved");
    const other = join(dirname(dir), "other");
    mkdirSync(other);
    writeMail(
      other,
      `${stamp()}-0000000b-hand-beta-x.md`,
      mail({ from: "hand", to: "beta", subject: "in another" }),
    );
    renameSync(dir, moved);
    renameSync(other, dir);
    await beta.waitForPush(({ meta }) => meta.subject === "in another", RESCAN_MS);
    await servesAgain(beta);
    const took = await receives(beta, 6);
    assert.ok(took < BY_EVENTS_MS, `the new one is not watched: six messages took ${took} ms`);
    await waitFor(() => heartbeats(dir).beta, "the heartbeat in the new folder");
    writeMail(
      moved,
      `${stamp()}-0000000c-hand-beta-x.md`,
      mail({ from: "hand", to: "beta", subject: "came away" }),
    );
    await waitFor(() => replace(moved, dir), "the folder to be put back");
    await beta.waitForPush(({ meta }) => meta.subject === "came away", RESCAN_MS);
    await servesAgain(beta);
  });
});

/** Moves the folder to a place where a server may have made an empty one meanwhile. */
function replace(from: string, to: string): boolean {
  try {
    rmSync(to, { recursive: true, force: true });
    renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}

async function admitsItCannotRead(session: TestSession): Promise<void> {
  const { text, isError } = await session.call("unread");
  assert.ok(isError, text);
  assert.match(text, /inbox|ipc/);
}

/** Writes the file until nothing more goes onto the disk. */
function fill(path: string): void {
  for (const size of [4096, 1]) {
    try {
      for (;;) appendFileSync(path, Buffer.alloc(size));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  }
}

/** The server with an fs.watch of our own. */
function withWatch(code: string): string[] {
  const preload = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
    import { EventEmitter } from "node:events"; const watch = fs.watch; ${code}; syncBuiltinESMExports();`;
  return [
    process.execPath,
    "--import",
    `data:text/javascript,${encodeURIComponent(preload)}`,
    SERVER,
  ];
}

/** Waits for each of several messages, one after another. Returns how long all took, in ms. */
async function receives(session: TestSession, count: number): Promise<number> {
  const start = performance.now();
  for (let n = 1; n <= count; n++) {
    writeMail(
      session.dir,
      `${stamp(0, n)}-0000000e-hand-beta-x.md`,
      mail({ from: "hand", to: "beta", subject: `n ${n}` }),
    );
    await session.waitForPush(({ meta }) => meta.subject === `n ${n}`, RESCAN_MS);
  }
  return performance.now() - start;
}

describe("watching", { concurrency: true }, () => {
  const limit = ["unshare", "--user", "--map-root-user", "sh", "-c"];
  const noLimit =
    !works(...limit, "echo 0 > /proc/sys/user/max_inotify_watches") && "needs a user namespace";

  test("mail is found by listing if there are no inotify watches left", {
    skip: noLimit,
  }, async (t) => {
    const dir = tempDir(t);
    const script = `echo 0 > /proc/sys/user/max_inotify_watches; exec "$@"`;
    const beta = await startSession("beta", { dir, command: [...limit, script, "sh", ...SERVE] });
    const took = await receives(beta, 6);
    assert.ok(took < BY_EVENTS_MS, `six messages took ${took} ms`);
    assert.match(beta.stderr(), /^t9-ipc: inbox is not watched \(ENOSPC.*\n$/, "one line");
  });

  test("a watch that is refused is not asked for again and again", async (t) => {
    const refusing = `fs.watch = (path) => { process.stderr.write("asked for " + path + "\\n");
      throw Object.assign(new Error("EMFILE: too many open files, watch"), { code: "EMFILE" }); }`;
    const beta = await startSession("beta", { dir: tempDir(t), command: withWatch(refusing) });
    await receives(beta, 3);
    assert.equal(beta.stderr().match(/asked for .*inbox$/gm)?.length, 1, beta.stderr());
    assert.doesNotMatch(beta.stderr(), /asked for \/$/m);
    assert.match(
      beta.stderr(),
      /^t9-ipc: inbox is not watched \(EMFILE.*listed every 500 ms instead$/m,
    );
  });

  test("mail is found by listing if no event ever comes", async (t) => {
    const dir = tempDir(t);
    const silent =
      "fs.watch = () => Object.assign(new EventEmitter(), { close() {}, ref() {}, unref() {} })";
    const beta = await startSession("beta", { dir, command: withWatch(silent) });
    assert.ok((await receives(beta, 3)) > 1000, "events came: the test is worth nothing");
  });

  test("mail is found by listing after the watch has failed", async (t) => {
    const dir = tempDir(t);
    const breaking = `fs.watch = (...args) => { const made = watch(...args);
      const error = Object.assign(new Error("EIO: i/o error, watch"), { code: "EIO" });
      process.on("SIGUSR2", () => { made.emit("error", error); made.close(); });
      return made; }`;
    const beta = await startSession("beta", { dir, command: withWatch(breaking) });
    await beta.call("who");
    writeMail(
      dir,
      `${stamp()}-0000000e-hand-beta-x.md`,
      mail({ from: "hand", to: "beta", subject: "n 0" }),
    );
    await beta.waitForPush(({ meta }) => meta.subject === "n 0");
    process.kill(beta.pid, "SIGUSR2");
    await waitFor(() => beta.stderr().includes("inbox is not watched"), "the line on stderr");
    await receives(beta, 2);
    assert.match(beta.stderr(), /^t9-ipc: inbox is not watched \(EIO.*\n$/, "one line");
  });

  test("a server with IPC_POLL lists the folder that often and watches nothing", async (t) => {
    const dir = tempDir(t);
    const telling =
      'fs.watch = (...args) => { process.stderr.write("watched\\n"); return watch(...args); }';
    const beta = await startSession("beta", {
      dir,
      env: { IPC_POLL: "100" },
      command: withWatch(telling),
    });
    const took = await receives(beta, 5);
    assert.ok(took < BY_EVENTS_MS, `five messages took ${took} ms`);
    assert.equal(beta.stderr(), "");
  });

  test("an inbox that is a link to a folder elsewhere is watched", async (t) => {
    const dir = tempDir(t);
    const elsewhere = join(dirname(dir), "elsewhere");
    for (const folder of [dir, elsewhere]) mkdirSync(folder);
    symlinkSync(elsewhere, join(dir, "inbox"));
    const beta = await startSession("beta", { dir });
    const took = await receives(beta, 5);
    assert.ok(took < BY_EVENTS_MS, `five messages took ${took} ms`);
  });
});
