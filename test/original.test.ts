// Side by side with the Python original (t9-ipc 0.3.1) in one folder: its files and entries, byte
// for byte as it writes them, and ours as it reads them: line by line, names and entries by its own
// rules.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { diskFiles } from "../src/core/files.ts";
import { tempDir } from "./support/folder.ts";
import {
  type Entry,
  filesIn,
  heartbeats,
  localTime,
  readByLine,
  readMail,
  stamp,
} from "./support/mail.ts";
import { startSession } from "./support/session.ts";
import { waitFor } from "./support/wait.ts";

/** What the original calls a session that was given no name: date, PID, two random bytes. */
const ORIGINAL_ID = "20261122_3655_8201";

/**
 * Stores a message the way the original does: no quoting, a temporary that is renamed. Gives the
 * file name.
 */
function originalSends(
  dir: string,
  from: string,
  to: string,
  subject: string,
  body: string,
  type = "ipc",
): string {
  const fit = (text: string, length: number) =>
    [...text]
      .slice(0, length)
      .join("")
      .replace(/[^\p{L}\p{N}_-]/gu, "_");
  const name = `${stamp(0, (Date.now() % 1000) * 1000 + 999)}-9f8e7d6c-${fit(from, 16)}-${fit(to, 16)}-${fit(subject, 40)}`;
  const head = `from: ${from}\nto: ${to}\ntype: ${type}\nsubject: ${subject}\npriority: normal\ncreated: ${localTime()}`;
  const temporary = join(dir, "inbox", `${name}.tmp.9f8e7d6c`);
  writeFileSync(temporary, `---\n${head}\n---\n\n${body}\n`);
  renameSync(temporary, join(dir, "inbox", `${name}.md`));
  return `${name}.md`;
}

/** Rewrites heartbeats.json the way the original does at each of its tool calls. */
function originalBeats(dir: string, entries: Record<string, unknown>): void {
  const temporary = join(dir, "heartbeats.tmp.4711.9f8e7d6c");
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "heartbeats.lock"), "");
  writeFileSync(temporary, JSON.stringify(entries, null, 2));
  // Windows refuses while a server reads the file.
  diskFiles.rename(temporary, join(dir, "heartbeats.json"));
}

const beat = (fields: Partial<Entry> = {}): Entry => ({
  timestamp: localTime(),
  status: "active",
  pid: process.pid,
  working_on: "",
  ...fields,
});

const KOREAN = "가나다라마바사아자차카타파하가나다라마바사아자차카타파하가나다라마바사아자차카타";
const ITS_MESSAGES: [string, string, string][] = [
  [ORIGINAL_ID, "status: parser: done", "all tests pass"],
  [ORIGINAL_ID, "2026-11-22", "a date"],
  ["결제", KOREAN, "본문입니다"],
  [ORIGINAL_ID, `"quoted": [1, 2] # and {more}`, "a: b\n---\nc"],
  [ORIGINAL_ID, "no body", ""],
];
test("the original's messages are announced and read as it wrote them", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("20261122_4711_beef", { dir });
  await waitFor(() => filesIn(dir, ".").length === 0 && heartbeats(dir), "the folder");
  mkdirSync(join(dir, "inbox"), { recursive: true });
  for (const [from, subject, body] of ITS_MESSAGES) {
    const file = originalSends(dir, from, "20261122_4711_beef", subject, body);
    const { meta, content } = await beta.waitForPush((push) => push.meta.filename === file);
    assert.equal(meta.from, from);
    assert.equal(meta.to, "20261122_4711_beef");
    assert.equal(meta.subject, subject.replaceAll('"', "'"));
    assert.equal(content, body || subject);
    const { text } = await beta.call("unread");
    for (const line of [`from: ${from}`, `subject: ${subject}`, `file: ${file}`, "type: ipc"]) {
      assert.ok(text.includes(`${line}\n`), `${line} in ${text}`);
    }
    assert.ok(text.includes(body), text);
  }
  const all = originalSends(dir, ORIGINAL_ID, "all", "to everybody", "hello", "broadcast");
  const { meta } = await beta.waitForPush((push) => push.meta.filename === all);
  assert.deepEqual([meta.to, meta.type], ["all", "broadcast"]);
  await beta.waitForPushes(ITS_MESSAGES.length + 1); // Each once, and its temporaries never.
});

test("our messages are right for a reader that goes line by line", async (t) => {
  const dir = tempDir(t);
  originalBeats(dir, { [ORIGINAL_ID]: beat() });
  const [alpha] = await Promise.all([
    startSession("session-알파", { dir }),
    startSession("beta", { dir }),
  ]);
  for (const subject of ["status update", "진행 상황", "it's done", "42% of it"]) {
    const body = `body of ${subject}\n\n---\nto: nobody\n`;
    const sent = await alpha.call("send", { to: ORIGINAL_ID, subject, body, priority: "critical" });
    assert.equal(sent.isError, false, sent.text);
    const file = filesIn(dir).find((each) => sent.text.includes(each)) ?? "";
    const { fields, body: read } = readByLine(readMail(dir, file));
    assert.equal(read, body);
    assert.match(fields.created ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    const { created, ...rest } = fields;
    assert.deepEqual(rest, {
      from: "session-알파",
      to: ORIGINAL_ID,
      type: "ipc",
      subject,
      priority: "critical",
    });
  }
  const odd = await alpha.call("send", { to: ORIGINAL_ID, subject: "a: b\nto: nobody" });
  const file = filesIn(dir).find((each) => odd.text.includes(each)) ?? "";
  const { fields } = readByLine(readMail(dir, file));
  assert.equal(fields.to, ORIGINAL_ID, "a subject of two lines stays one");
  assert.equal(JSON.parse(fields.subject ?? ""), "a: b\nto: nobody");
});

test("the original's session is online while its process lives and its entry is under a day old", async (t) => {
  const dir = tempDir(t);
  originalBeats(dir, {
    [ORIGINAL_ID]: beat({ working_on: "the original's work" }),
    "dead-process": beat({ pid: 2 ** 22 - 1 }),
    "silent-for-a-day": beat({ timestamp: localTime(1.1) }),
    "signing-off": beat({ status: "signing-off" }),
  });
  const alpha = await startSession("alpha", { dir });
  const { text } = await alpha.call("who");
  assert.ok(text.includes(ORIGINAL_ID), text);
  assert.match(text, /the original's work/);
  for (const name of ["dead-process", "silent-for-a-day", "signing-off"])
    assert.doesNotMatch(text, new RegExp(name));
  const sent = await alpha.call("send", { to: ORIGINAL_ID, subject: "hello" });
  assert.match(sent.text, /online/);
  assert.match((await alpha.call("set_name", { name: ORIGINAL_ID })).text, /belongs to a session/);
});

test("our entries are valid for the original, and its own are kept as they are", async (t) => {
  const dir = tempDir(t);
  const its = { ...beat(), mood: { good: true } };
  originalBeats(dir, { [ORIGINAL_ID]: its });
  const alpha = await startSession("alpha", { dir });
  await alpha.call("set_name", { name: "gamma", working_on: "our work" });
  assert.deepEqual(heartbeats(dir)[ORIGINAL_ID], its);
  const ours = heartbeats(dir).gamma;
  assert.match(ours?.timestamp ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
  assert.ok((ours?.timestamp ?? "") > localTime(1), "younger than a day");
  assert.deepEqual([ours?.status, ours?.pid, ours?.working_on], ["active", alpha.pid, "our work"]);
  await alpha.close();
  assert.deepEqual(heartbeats(dir), { [ORIGINAL_ID]: its });
});

test("fields another implementation puts into our entry survive our next beat", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  originalBeats(dir, { alpha: { ...heartbeats(dir).alpha, mood: "good" } });
  await alpha.call("set_name", { name: "alpha", working_on: "our work" });
  assert.equal(heartbeats(dir).alpha?.mood, "good");
  assert.equal(heartbeats(dir).alpha?.working_on, "our work");
});

test("our session is back on the list within seconds if the original overwrites its entry", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  await alpha.call("set_name", { name: "alpha", working_on: "our work" });
  originalBeats(dir, { [ORIGINAL_ID]: beat() }); // read before we came, written after
  await waitFor(() => heartbeats(dir).alpha?.working_on === "our work", "our entry", 5000);
  assert.ok(heartbeats(dir)[ORIGINAL_ID]);
});

test("our session yields its name to the original's session, and goes on under another", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  originalBeats(dir, { ...heartbeats(dir), alpha: beat() });
  await waitFor(
    () => heartbeats(dir)["alpha-2"]?.pid === alpha.pid,
    "our session under another name",
  );
  assert.equal(heartbeats(dir).alpha?.pid, process.pid);
  await beta.call("send", { to: "alpha", subject: "to the original's session" });
  await beta.call("send", { to: "alpha-2", subject: "to ours" });
  const pushes = await alpha.waitForPushes(1);
  assert.equal(pushes[0]?.meta.subject, "to ours");
  const { text } = await alpha.call("unread");
  assert.match(text, /^1 unread message:.*subject: to ours/s);
  assert.match((await alpha.call("set_name", { name: "alpha" })).text, /belongs to a session/);
});

test("a heartbeats.json that is no JSON is kept aside, and a new one started", async (t) => {
  const dir = tempDir(t);
  mkdirSync(dir);
  writeFileSync(join(dir, "heartbeats.json"), '{"alpha": {"timest');
  const alpha = await startSession("alpha", { dir });
  assert.deepEqual(Object.keys(heartbeats(dir)), ["alpha"]);
  const aside = await waitFor(() => /moved to (\S+)/.exec(alpha.stderr())?.[1], "a line on stderr");
  assert.equal(readFileSync(aside, "utf8"), '{"alpha": {"timest');
});
