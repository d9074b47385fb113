import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { Inbox } from "../../src/mail/inbox.ts";
import { isSweepDue, sweep } from "../../src/mail/sweep.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, mail, readMail, stamp, writeMail } from "../support/mail.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** What a server does 15 s after its start and then every hour; `times` servers at one moment. */
async function sweepNow(dir: string, times = 1): Promise<string[]> {
  const said: string[] = [];
  const config = readConfig({ IPC_DIR: dir }, "/", (line) => said.push(line));
  const inboxes = Array.from({ length: times }, () => new Inbox(config));
  for (const inbox of inboxes) await inbox.reconcile();
  await Promise.all(inboxes.map((inbox) => sweep(config, inbox)));
  for (const inbox of inboxes) await inbox.close();
  return said;
}

/** Marks reach the disk just after the answer. */
async function marked(dir: string, name: string, file: string): Promise<void> {
  const path = join(dir, "read", name);
  await waitFor(
    () => existsSync(path) && readFileSync(path, "utf8").includes(file),
    `the mark of ${file}`,
  );
}

let sequence = 0;
/** A message as it was stored so many days ago. */
function put(
  dir: string,
  days: number,
  fields: Record<string, string> = {},
  body = "text",
): string {
  const { from = "alpha", to = "beta" } = fields;
  const file = `${stamp(days, ++sequence)}-0a1b2c3d-${from.slice(0, 16)}-${to.slice(0, 16)}-x.md`;
  writeMail(dir, file, mail({ from, to, subject: `${days} days old`, ...fields }, body));
  return file;
}

/** The marks of a name that has been here for `days`, as its server has left them. */
function putName(dir: string, name: string, days: number, files: readonly string[] = []): void {
  mkdirSync(join(dir, "read"), { recursive: true });
  writeFileSync(
    join(dir, "read", name),
    [`# since ${stamp(days)}`, ...files].map((line) => `${line}\n`).join(""),
  );
}

test("direct mail waits 30 days for its addressee, then it moves to the archive as it is", async (t) => {
  const dir = tempDir(t);
  await (await startSession("beta", { dir })).close();
  const old = put(dir, 30.1);
  const recent = put(dir, 29.9);
  const text = readMail(dir, old);
  assert.deepEqual(await sweepNow(dir), []);
  assert.deepEqual(filesIn(dir), [recent]);
  assert.equal(readFileSync(join(dir, "archive", old), "utf8"), text);
  const beta = await startSession("beta", { dir });
  assert.match((await beta.call("unread")).text, /^1 unread message:.*subject: 29\.9 days old/s);
  const again = await beta.call("unread", { file: old });
  assert.match(
    again.text,
    /^From the archive:.*subject: 30\.1 days old/s,
    "what was moved can still be read",
  );
});

test("mail to all waits seven days, whoever has not read it", async (t) => {
  const dir = tempDir(t);
  putName(dir, "beta", 10);
  const old = put(dir, 7.1, { to: "all", type: "broadcast" });
  const original = put(dir, 7.1, { to: "broadcast", type: "broadcast" });
  const recent = put(dir, 6.9, { to: "all", type: "broadcast" });
  const direct = put(dir, 7.1);
  assert.deepEqual(await sweepNow(dir), []);
  assert.deepEqual(filesIn(dir), [recent, direct].sort());
  assert.deepEqual(filesIn(dir, "archive"), [old, original].sort());
});

test("what was archived under a running server is not its unread mail any more", async (t) => {
  const dir = tempDir(t);
  const old = put(dir, 31);
  const beta = await startSession("beta", { dir });
  await beta.waitForPush();
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir, "archive"), [old]);
  assert.match((await beta.call("unread")).text, /^No unread messages/);
});

test("what its addressee has read leaves the inbox after a day, what it has not stays", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const [day, fresh] = [put(dir, 1.1), put(dir, 0.9)];
  await beta.call("unread");
  await marked(dir, "beta", day);
  await marked(dir, "beta", fresh);
  const unread = put(dir, 1.2);
  const foreign = put(dir, 1.2, { to: "gamma" });
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [unread, foreign, fresh].sort());
  assert.deepEqual(filesIn(dir, "archive"), [day]);
});

test("a broadcast leaves the inbox after a day when every name it is for has read it, offline ones too", async (t) => {
  const dir = tempDir(t);
  // They were here before it was sent: two days ago. Delta came after it, and it is not delta's mail.
  for (const name of ["alpha", "beta", "gamma"]) putName(dir, name, 2);
  putName(dir, "delta", 1);
  const file = put(dir, 1.1, { to: "all", type: "broadcast" });
  putName(dir, "alpha", 2, [file]); // the sender's own mark
  const beta = await startSession("beta", { dir });
  assert.match((await beta.call("unread")).text, /1\.1 days old/);
  await marked(dir, "beta", file);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [file], "gamma, who is offline, has not read it");
  const gamma = await startSession("gamma", { dir });
  assert.match((await gamma.call("unread")).text, /1\.1 days old/);
  await marked(dir, "gamma", file);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), []);
});

test("mail for a name that nobody has had yet waits as long", async (t) => {
  const dir = tempDir(t);
  const waiting = put(dir, 29, { to: "latecomer" });
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [waiting]);
  const late = await startSession("latecomer", { dir });
  assert.match((await late.call("unread")).text, /^1 unread message:.*29 days old/s);
});

test("who has been here is known for 30 days without any mail; who only wrote, while that is in the inbox", async (t) => {
  const dir = tempDir(t);
  put(dir, 31, { from: "old-hand" });
  putName(dir, "away", 20);
  const beta = await startSession("beta", { dir });
  assert.equal(
    (await beta.call("send", { to: "old-hand", subject: "still there?" })).isError,
    false,
  );
  await sweepNow(dir);
  assert.equal((await beta.call("send", { to: "away", subject: "back?" })).isError, false);
  assert.deepEqual(filesIn(dir, "archive").length, 1);
  const gone = await beta.call("send", { to: "old-hand", subject: "and now?" });
  assert.match(gone.text, /no session named old-hand has been here/);
});

test("several servers sweeping at one moment move each message once and say nothing of it", async (t) => {
  const dir = tempDir(t);
  const files = Array.from({ length: 5 }, () => put(dir, 31));
  putName(dir, "beta", 40, files);
  assert.deepEqual(await sweepNow(dir, 3), []);
  assert.deepEqual(filesIn(dir), []);
  assert.deepEqual(filesIn(dir, "archive"), files);
  assert.match(
    readFileSync(join(dir, "read/beta"), "utf8"),
    /^# since \S+\n$/,
    "marks of what is gone",
  );
});

test("the servers of a folder share one sweep an hour", async (t) => {
  const dir = tempDir(t);
  const config = readConfig({ IPC_DIR: dir }, "/", () => {});
  assert.equal(isSweepDue(config), true);
  assert.equal(isSweepDue(config), false, "somebody has just swept");
  const mark = readdirSync(dir).map((name) => join(dir, name));
  assert.equal(mark.length, 1, `${mark}`);
  for (const minutes of [61, -61]) {
    const then = Date.now() / 1000 - minutes * 60;
    for (const path of mark) utimesSync(path, then, then);
    assert.equal(isSweepDue(config), true, `the last was ${minutes} min ago`);
  }
});

test("temporaries of killed writers go after an hour; one that is being written stays", async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, "read"), { recursive: true });
  mkdirSync(join(dir, "inbox"));
  const then = Date.now() / 1000 - 3700;
  for (const folder of ["", "inbox", "read"].map((name) => join(dir, name))) {
    for (const name of [".tmp-1-00000000", ".tmp-2-00000000"])
      writeFileSync(join(folder, name), "torn");
    utimesSync(join(folder, ".tmp-1-00000000"), then, then);
  }
  await sweepNow(dir);
  const left = (readdirSync(dir, { recursive: true }) as string[]).filter((path) =>
    path.includes(".tmp-"),
  );
  assert.deepEqual(left.sort(), [
    ".tmp-2-00000000",
    "inbox/.tmp-2-00000000",
    "read/.tmp-2-00000000",
  ]);
});
