import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { Inbox } from "../../src/mail/inbox.ts";
import { sweep } from "../../src/mail/sweep.ts";
import { Sessions } from "../../src/sessions/heartbeats.ts";
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
  for (const inbox of inboxes) sweep(config, inbox, new Sessions(config).online());
  for (const inbox of inboxes) await inbox.close();
  return said;
}

/** Marks reach the disk just after the answer. */
async function marked(dir: string, name: string, file: string): Promise<void> {
  const path = join(dir, "read", name);
  await waitFor(() => existsSync(path) && readFileSync(path, "utf8").includes(file), `the mark of ${file}`);
}

let sequence = 0;
/** A message as it was stored so many days ago. */
function put(dir: string, days: number, fields: Record<string, string> = {}, body = "text"): string {
  const { from = "alpha", to = "beta" } = fields;
  const file = `${stamp(days, ++sequence)}-0a1b2c3d-${from.slice(0, 16)}-${to.slice(0, 16)}-x.md`;
  writeMail(dir, file, mail({ from, to, subject: `${days} days old`, ...fields }, body));
  return file;
}

test("what is over seven days old moves to the archive as it is, and unread says so, once", async (t) => {
  const dir = tempDir(t);
  await (await startSession("beta", { dir })).close();
  const old = put(dir, 7.1);
  const recent = put(dir, 6.9);
  const text = readMail(dir, old);
  assert.deepEqual(await sweepNow(dir), []);
  assert.deepEqual(filesIn(dir), [recent]);
  assert.equal(readFileSync(join(dir, "archive", old), "utf8"), text);
  const beta = await startSession("beta", { dir });
  const first = (await beta.call("unread")).text;
  assert.match(first, /subject: 6\.9 days old/);
  assert.doesNotMatch(first, /subject: 7\.1 days old/);
  assert.ok(first.includes(`archive/${old}`), first);
  assert.match(first, /\b1 message\b.*archive/);
  assert.doesNotMatch((await beta.call("unread")).text, /archive/);
});

test("a running server says what was archived meanwhile in its next answer", async (t) => {
  const dir = tempDir(t);
  const old = put(dir, 8);
  const beta = await startSession("beta", { dir });
  await beta.waitForPush();
  await sweepNow(dir);
  const { text } = await beta.call("unread");
  assert.match(text, /No unread/);
  assert.ok(text.includes(`archive/${old}`), text);
});

test("of what was read before, unread says nothing when it is archived", async (t) => {
  const dir = tempDir(t);
  const old = put(dir, 8);
  const beta = await startSession("beta", { dir });
  assert.match((await beta.call("unread")).text, /subject: 8 days old/);
  await marked(dir, "beta", old);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), []);
  assert.doesNotMatch((await beta.call("unread")).text, /archive/);
});

test("what its addressee has read leaves the inbox after a day, what it has not stays", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const [day, fresh] = [put(dir, 1.1), put(dir, 0.9)];
  await beta.call("unread");
  await marked(dir, "beta", day);
  const unread = put(dir, 1.2);
  const foreign = put(dir, 1.2, { to: "gamma" });
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [unread, foreign, fresh].sort());
  assert.deepEqual(filesIn(dir, "archive"), [day]);
});

test("a broadcast leaves the inbox after a day when every addressee online has read it", async (t) => {
  const dir = tempDir(t);
  const names = ["alpha", "beta", "gamma"];
  // They were here before it was sent: two days ago.
  mkdirSync(join(dir, "read"), { recursive: true });
  for (const name of names) writeFileSync(join(dir, "read", name), `# since ${stamp(2)}\n`);
  const file = put(dir, 1.1, { to: "all", type: "broadcast" });
  const [, beta, gamma] = await Promise.all(names.map((name) => startSession(name, { dir })));
  assert.match((await beta?.call("unread"))?.text ?? "", /1\.1 days old/);
  await marked(dir, "beta", file);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [file], "gamma has not read it");
  assert.match((await gamma?.call("unread"))?.text ?? "", /1\.1 days old/);
  await marked(dir, "gamma", file);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), []);
});

test("mail for a name that came only after it was archived is told of as well", async (t) => {
  const dir = tempDir(t);
  const old = put(dir, 8, { to: "latecomer" });
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir, "archive"), [old]);
  const late = await startSession("latecomer", { dir });
  assert.ok((await late.call("unread")).text.includes(`archive/${old}`));
});

test("whose only message is in the archive is still known", async (t) => {
  const dir = tempDir(t);
  put(dir, 8, { from: "old-hand" });
  await sweepNow(dir);
  const beta = await startSession("beta", { dir });
  const { text, isError } = await beta.call("send", { to: "old-hand", subject: "still there?" });
  assert.equal(isError, false, text);
});

test("an answer with much archived mail still stays under 40,000 bytes", async (t) => {
  const dir = tempDir(t);
  await (await startSession("beta", { dir })).close();
  for (let i = 0; i < 30; i++) put(dir, 8, { from: "가나다라마바사아자차카타파하가나" });
  await sweepNow(dir);
  for (let i = 0; i < 300; i++) put(dir, 0, {}, "x".repeat(10));
  const beta = await startSession("beta", { dir });
  const { text } = await beta.call("unread");
  assert.match(text, /\b30 messages\b.*archive/);
  assert.match(text, /more left/);
  assert.ok(Buffer.byteLength(text) <= 40_000, `${Buffer.byteLength(text)} bytes`);
});

test("several servers sweeping at one moment move each message once and say nothing of it", async (t) => {
  const dir = tempDir(t);
  await (await startSession("beta", { dir })).close();
  const files = Array.from({ length: 5 }, () => put(dir, 8));
  assert.deepEqual(await sweepNow(dir, 3), []);
  assert.deepEqual(filesIn(dir, "archive"), files);
  const beta = await startSession("beta", { dir });
  assert.match((await beta.call("unread")).text, /\b5 messages\b.*archive/);
});

test("temporaries of killed writers go after an hour; one that is being written stays", async (t) => {
  const dir = tempDir(t);
  writeMail(dir, ".tmp-1-00000000", "torn");
  writeMail(dir, ".tmp-2-00000000", "being written");
  const then = Date.now() / 1000 - 3700;
  utimesSync(join(dir, "inbox/.tmp-1-00000000"), then, then);
  await sweepNow(dir);
  assert.equal(existsSync(join(dir, "inbox/.tmp-1-00000000")), false);
  assert.equal(existsSync(join(dir, "inbox/.tmp-2-00000000")), true);
});

test("a name with a line break is archived under one that makes one line of its note", async (t) => {
  const dir = tempDir(t);
  const inbox = new Inbox(readConfig({ IPC_DIR: dir }, "/", () => {}));
  writeMail(dir, "line\nbreak.md", mail({ from: "hand", to: "beta" }, "x"));
  await inbox.reconcile();
  const [header] = inbox.headers.values();
  assert.ok(header);
  assert.match(inbox.archive(header) ?? "", /^\d{8}T\d{12}-line_break\.md$/);
  assert.equal(filesIn(dir, "archive").length, 1);
  await inbox.close();
});
