// `t9-ipc log`: past mail for people, from the inbox and the archive.

import assert from "node:assert/strict";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { run } from "../support/command.ts";
import { tempDir } from "../support/folder.ts";
import { localTime, mail, stamp, writeMail } from "../support/mail.ts";
import { failToOpen, runHere } from "../support/run-here.ts";
import { startSession, startSessions, type TestSession } from "../support/session.ts";

/** A message, so many days old, in the inbox or the archive; returns its file. */
function put(
  dir: string,
  days: number,
  fields: Record<string, string>,
  body = "text",
  folder = "inbox",
): string {
  const { from = "alpha", to = "beta", subject = "x" } = fields;
  const file = `${stamp(days)}-0a1b2c3d-${from}-${to}-${subject.replace(/\W/g, "_")}.md`;
  const text = mail({ from, to, subject, created: localTime(days), ...fields }, body);
  mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, folder, file), text);
  const then = new Date(Date.now() - days * 24 * 3600_000);
  utimesSync(join(dir, folder, file), then, then);
  return file;
}

/** A small history: two in the archive, three in the inbox. */
function history(dir: string): void {
  put(dir, 20, { subject: "long ago" }, "the first of all", "archive");
  put(dir, 5, { from: "gamma", subject: "last week" }, "about the parser", "archive");
  put(dir, 1.5, { from: "beta", to: "alpha", subject: "yesterday" });
  put(dir, 0.1, { from: "gamma", to: "delta", subject: "this morning" }, "about the Schema");
  put(dir, 0.01, { from: "alpha", to: "all", subject: "just now" });
}

/** The subjects that were printed, in order. */
const subjects = (text: string): string[] =>
  [...text.matchAll(/→ \S+: (.*)$/gm)].map(([, subject = ""]) => subject);

async function log(dir: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runHere(dir, ["log", ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

const reply = async (
  session: TestSession,
  to: string,
  subject: string,
  reply_to?: string,
): Promise<string> => {
  const { text, isError } = await session.call("send", {
    to,
    subject,
    body: `body of ${subject}`,
    ...(reply_to && { reply_to }),
  });
  assert.equal(isError, false, text);
  return /Stored as (\S+\.md)/.exec(text)?.[1] ?? assert.fail(text);
};

describe("log", { concurrency: true }, () => {
  test("prints all past mail, the archive's too, whole, newest last, and ends", async (t) => {
    const dir = tempDir(t);
    history(dir);
    const text = await log(dir);
    assert.deepEqual(subjects(text), [
      "long ago",
      "last week",
      "yesterday",
      "this morning",
      "just now",
    ]);
    assert.match(text, /^gamma → beta: last week\n.*\nabout the parser\n/m);
    assert.match(text, /^alpha → EVERYBODY: just now$/m);
    assert.equal((await run(dir, ["log"])).stdout, text, "the program prints the same");
  });

  test("--with prints only messages from or to that session", async (t) => {
    const dir = tempDir(t);
    history(dir);
    assert.deepEqual(subjects(await log(dir, "--with", "gamma")), ["last week", "this morning"]);
    assert.deepEqual(subjects(await log(dir, "--with", "DELTA")), ["this morning"]);
    for (const subject of ["long ago", "yesterday"])
      assert.ok(subjects(await log(dir, "--with", "beta")).includes(subject));
    assert.deepEqual(subjects(await log(dir, "--with", "nobody")), []);
  });

  test("--since prints only messages that are not older", async (t) => {
    const dir = tempDir(t);
    history(dir);
    assert.deepEqual(subjects(await log(dir, "--since", "2d")), [
      "yesterday",
      "this morning",
      "just now",
    ]);
    assert.deepEqual(subjects(await log(dir, "--since", "1h")), ["just now"]);
    for (const since of ["2 days", "x", "-1d"])
      assert.equal((await runHere(dir, ["log", `--since=${since}`])).code, 2, since);
  });

  test("--since goes by the time of the file, whatever zone its name is in", async (t) => {
    const dir = tempDir(t);
    for (const [subject, nameDays, days] of [
      ["from the west", 0.4, 0.01],
      ["from the east", 0.01, 0.4],
    ] as const) {
      const file = put(dir, nameDays, { subject });
      const then = new Date(Date.now() - days * 24 * 3600_000);
      utimesSync(join(dir, "inbox", file), then, then);
    }
    assert.deepEqual(subjects(await log(dir, "--since", "1h")), ["from the west"]);
  });

  test("--since leaves out what is older of a thread, and finds the thread by it", async (t) => {
    const dir = tempDir(t);
    const file = put(dir, 0.1, { subject: "question" });
    put(dir, 0.01, { from: "beta", to: "alpha", subject: "answer", reply_to: file });
    assert.deepEqual(subjects(await log(dir, "--thread", file, "--since", "1h")), ["answer"]);
  });

  test("a message that cannot be read just now is named on stderr", async (t) => {
    const dir = tempDir(t);
    history(dir);
    const [archived = "", inInbox = ""] = [
      put(dir, 3, { subject: "archived" }, "text", "archive"),
      put(dir, 2, { subject: "lost" }),
    ];
    failToOpen(t, (path) => path.endsWith(archived) || path.endsWith(inInbox));
    const { code, stdout, stderr } = await runHere(dir, ["log"]);
    assert.equal(code, 0);
    assert.equal(subjects(stdout).length, 5);
    const problem = (path: string) =>
      `t9-ipc: ${join(dir, path)} cannot be read just now: EIO: simulated\n`;
    assert.equal(stderr, problem(`archive/${archived}`) + problem(`inbox/${inInbox}`));
  });

  test("a text prints only messages that have it in subject or body, in any letter case", async (t) => {
    const dir = tempDir(t);
    history(dir);
    assert.deepEqual(subjects(await log(dir, "parser")), ["last week"]);
    assert.deepEqual(subjects(await log(dir, "schema")), ["this morning"]);
    assert.deepEqual(subjects(await log(dir, "YESTER")), ["yesterday"]);
    assert.deepEqual(subjects(await log(dir, ".*")), [], "it is a text and no pattern");
    assert.deepEqual(subjects(await log(dir, "about the", "--with", "delta", "--since", "1d")), [
      "this morning",
    ]);
  });

  test("--json prints a value with header and body of each", async (t) => {
    const dir = tempDir(t);
    history(dir);
    const text = await log(dir, "--json", "--since", "10d");
    const values = text
      .trim()
      .split("\n")
      .flatMap((line): Record<string, string>[] => JSON.parse(line));
    assert.deepEqual(
      values.map(({ subject }) => subject),
      ["last week", "yesterday", "this morning", "just now"],
    );
    assert.equal(values[0]?.body, "about the parser");
    assert.equal(values[0]?.from, "gamma");
    assert.match(values[0]?.file ?? "", /^\d{8}T\d{12}-.*\.md$/);
  });

  test("a reply stands indented under what it answers, a reply to that one further in", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    const asked = await reply(alpha, "beta", "which port?");
    await reply(alpha, "beta", "something else");
    await beta.waitForPushes(2);
    const answered = await reply(beta, "alpha", "8080", asked);
    await alpha.waitForPushes(1);
    await reply(alpha, "beta", "thanks, and the host?", answered);
    const text = await log(dir);
    assert.deepEqual(
      new Set(subjects(text)),
      new Set(["which port?", "8080", "thanks, and the host?", "something else"]),
    );
    const indents = new Map(
      [...text.matchAll(/^( *)\S.*→ \S+: (.*)$/gm)].map(([, indent = "", subject = ""]) => [
        subject,
        indent.length,
      ]),
    );
    assert.equal(indents.get("which port?"), 0);
    assert.equal(indents.get("something else"), 0);
    const [first = 0, second = 0] = [indents.get("8080"), indents.get("thanks, and the host?")];
    assert.ok(first > 0 && second > first, text);
    const order = subjects(text);
    const [question, answer, thanks] = ["which port?", "8080", "thanks, and the host?"].map(
      (each) => order.indexOf(each),
    );
    assert.deepEqual(
      [answer, thanks],
      [(question ?? 0) + 1, (question ?? 0) + 2],
      "not right under it",
    );
    assert.match(text, /^ +body of 8080$/m);
  });

  test("replies that answer each other, or a missing message, are printed once each", async (t) => {
    const dir = tempDir(t);
    const [one, two] = [1, 2].map((n) => `${stamp(0, n)}-0a1b2c3d-alpha-beta-x.md`) as [
      string,
      string,
    ];
    writeMail(dir, one, mail({ from: "alpha", to: "beta", subject: "one", reply_to: two }));
    writeMail(dir, two, mail({ from: "beta", to: "alpha", subject: "two", reply_to: one }));
    writeMail(
      dir,
      `${stamp(0, 3)}-0a1b2c3d-alpha-beta-x.md`,
      mail({ from: "alpha", to: "beta", subject: "three", reply_to: "gone.md" }),
    );
    writeMail(
      dir,
      `${stamp(0, 4)}-0a1b2c3d-alpha-beta-x.md`,
      mail({
        from: "alpha",
        to: "beta",
        subject: "four",
        reply_to: `${stamp(0, 4)}-0a1b2c3d-alpha-beta-x.md`,
      }),
    );
    assert.deepEqual(subjects(await log(dir)).sort(), ["four", "one", "three", "two"]);
  });

  test("--thread prints the whole exchange in order, whoever took part, the archive's too", async (t) => {
    const dir = tempDir(t);
    const asked = put(dir, 8, { subject: "asked" }, "text", "archive");
    put(dir, 7, { from: "gamma", to: "delta", subject: "unrelated" });
    const first = put(dir, 6, { from: "beta", to: "alpha", subject: "first", reply_to: asked });
    put(dir, 5, { from: "gamma", to: "alpha", subject: "second", reply_to: asked });
    put(
      dir,
      4,
      { from: "alpha", to: "beta", subject: "thanks", reply_to: first },
      "text",
      "archive",
    );
    put(dir, 3, { from: "gamma", to: "delta", subject: "more", reply_to: "gone.md" });
    const lost = put(dir, 2, { from: "delta", to: "gamma", subject: "lost", reply_to: "gone.md" });
    const expected = ["asked", "first", "second", "thanks"];
    for (const spelling of [
      asked,
      `archive/${asked}`,
      `"${first}"`,
      first.slice(0, -3),
      first.slice(0, 40),
    ]) {
      const text = await log(dir, "--thread", spelling);
      assert.deepEqual(subjects(text), expected, spelling);
      assert.doesNotMatch(text, /^ /m, "in the order of sending, not as a tree");
    }
    assert.deepEqual(subjects(await log(dir, "--thread", lost)), ["more", "lost"]);
    assert.deepEqual(subjects(await log(dir, "--thread", first, "--with", "gamma")), ["second"]);
    const lines = (await log(dir, "--json", "--thread", first)).trim().split("\n");
    assert.equal(lines.length, expected.length);

    for (const none of ["2026", "../../etc/passwd", ""]) {
      const { code, stderr, stdout } = await runHere(dir, ["log", "--thread", none]);
      assert.equal(code, 1, none);
      assert.match(stderr, /^t9-ipc: Nothing shown: ".*" is not a message .+`t9-ipc log` shows/);
      assert.equal(stdout, "");
    }
  });

  test("a chain of 12,000 replies is printed once each, indented by four levels at most", async (t) => {
    const dir = tempDir(t);
    mkdirSync(join(dir, "inbox"), { recursive: true });
    const time = stamp();
    const fileOf = (n: number) =>
      `${time.slice(0, -6)}${String(n).padStart(6, "0")}-0a1b2c3d-x-x-x.md`;
    for (let n = 0; n < 12_000; n++) {
      const reply_to = n === 0 ? "" : fileOf(n - 1);
      const text = mail({ from: "alpha", to: "beta", subject: `s${n}`, created: "x", reply_to });
      writeFileSync(join(dir, "inbox", fileOf(n)), text);
    }
    const text = await log(dir);
    assert.equal(subjects(text).length, 12_000);
    assert.equal(subjects(text).at(-1), "s11999");
    assert.equal(Math.max(...[...text.matchAll(/^ */gm)].map(([indent]) => indent.length)), 16);
    assert.ok(text.length < 3_000_000, `${text.length} characters`);
    assert.equal(subjects(await log(dir, "--thread", fileOf(7000))).length, 12_000);
  });

  test("marks nothing as read, and needs no session to be there", async (t) => {
    const dir = tempDir(t);
    history(dir);
    await log(dir);
    const alpha = await startSession("alpha", { dir });
    assert.match((await alpha.call("unread")).text, /^1 unread message:.*subject: yesterday/s);
  });

  test("prints nothing for an empty or a missing folder, and succeeds", async (t) => {
    const dir = tempDir(t);
    assert.deepEqual(subjects(await log(dir)), []);
  });

  test("prints messages without their control characters", async (t) => {
    const dir = tempDir(t);
    put(dir, 0.01, { subject: "red \u001b[31m alert" }, "\u001b]0;title\u0007 body");
    const text = await log(dir);
    assert.match(text, /red .* alert/);
    assert.doesNotMatch(text, /(?!\n)\p{Cc}/u);
  });

  test("is listed in the help with its options", async (t) => {
    const { stdout } = await run(tempDir(t), ["--help"]);
    assert.match(stdout, /^ *log\b.*--with.*--since/ms);
  });
});
