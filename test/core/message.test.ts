// The message format: what we write is read back to the letter, by us, by YAML and line by line.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import yaml from "js-yaml";
import { readConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Inbox } from "../../src/core/inbox.ts";
import {
  type Draft,
  formatMessage,
  isMessageFile,
  isStamped,
  mayBeAddressedTo,
  mayBeSentBy,
  messageFileName,
  PRIORITIES,
  parseMessage,
} from "../../src/core/message.ts";
import type { Timestamp } from "../../src/core/timestamps.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { named } from "../support/fake-system.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, readByLine, readMail } from "../support/mail.ts";

const FILE = "20260406T153000123456-0a1b2c3d-alpha-beta-x.md";
const TIMESTAMP = "20261122T153000123456" as Timestamp;
const CREATED = "2026-04-06 15:30:00";
/** What Python's splitlines takes for the end of a line, CR LF counted twice. */
const PYTHON_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029";

const draft = (subject: string, body = ""): Draft => ({
  from: named("20261122_3655_8201"),
  to: named("session_beta"),
  type: "ipc",
  subject,
  priority: "normal",
  body,
});
const format = (subject: string, body?: string): string =>
  formatMessage(draft(subject, body), CREATED);
const parse = (text: string, file = FILE) => parseMessage(file, text, "2000-01-01 00:00:00");

/** Any text that a tool call can hold: no NUL, no half characters. */
const storable = (text: string): string => text.replaceAll("\0", "0").toWellFormed();
const anyText = (options: { minLength?: number } = {}) =>
  fc.string({ unit: "binary", ...options }).map(storable);
/** Looks like YAML, headers or quotes more often than chance would have it. */
const pieces =
  "- |: |#| #|[|]|{|}|&|*|!|%|@|`|'|\"|,|?|---|...|~|null|true|no|1|0x|.5|e3|2026-11-22|12:30|\\|\\n|=|<<|가|é|🎉| |\t|\r|\n|\u0085|\u2028|\ufeff|from: x|to: y|!!js/function|\n---\n";
/** Everything that one reader or another takes for a space or for the end of a line. */
const spaces = " \t\n\r\v\f\u0085\u00a0\u1680\u2000\u200b\u2028\u2029\u202f\u205f\u3000\ufeff";
const tricky = fc
  .array(
    fc.oneof(fc.constantFrom(...pieces.split("|"), "|"), fc.constantFrom(...spaces), anyText()),
    { maxLength: 6 },
  )
  .map((each) => storable(each.join("")));
const subjects = fc.oneof(tricky, anyText({ minLength: 1 }), fc.string({ minLength: 1 }));
const names = fc.oneof(
  fc.stringMatching(/^[\p{L}\p{N}_-]{3,64}$/u).map((each) => each.normalize("NFC")),
  fc.constantFrom(
    "null",
    "true",
    "0123",
    "1e3",
    "2026-11-22",
    "0x1f",
    "___",
    "---",
    "constructor",
    "__proto__",
  ),
);

test("a message that we write is read back as it was, to the letter", () => {
  fc.assert(
    fc.property(
      names,
      names,
      subjects,
      subjects,
      fc.constantFrom(...PRIORITIES),
      fc.option(fc.constant(FILE), { nil: undefined }),
      (from, to, subject, body, priority, reply_to) => {
        const message = {
          from: named(from),
          to: named(to),
          type: "ipc" as const,
          subject,
          priority,
          body,
          ...(reply_to !== undefined && { reply_to }),
        };
        const { header, body: again } = parse(formatMessage(message, CREATED));
        const { body: _body, ...expected } = { ...message, file: FILE, created: CREATED };
        assert.deepEqual(header, expected);
        assert.equal(again, body);
      },
    ),
    { numRuns: 4000 },
  );
});

test("a subject is read by YAML as it was written", () => {
  fc.assert(
    fc.property(subjects, (subject) => {
      const [, header = ""] = format(subject).split(/^---$/m);
      assert.equal((yaml.load(header) as { subject: string }).subject, subject);
    }),
    { numRuns: 1500 },
  );
});

test("a reader that goes line by line finds the same header, a quoted subject in its quotes", () => {
  fc.assert(
    fc.property(subjects, (subject) => {
      const lines = [...format(subject, "body")]
        .map((character) => (PYTHON_LINE_ENDS.includes(character) ? "\n" : character))
        .join("")
        .split("\n");
      assert.equal(lines.length, 11, "six header lines, no more");
      const { fields, body } = readByLine(lines.join("\n"));
      const keys = ["from", "to", "type", "subject", "priority", "created"];
      assert.deepEqual(Object.keys(fields), keys);
      assert.equal(fields.from, "20261122_3655_8201");
      assert.ok(fields.subject === subject || JSON.parse(fields.subject ?? "") === subject);
      assert.equal(body, "body");
    }),
    { numRuns: 1000 },
  );
});

for (const subject of [
  "status update",
  "done, 3 of 4 (75%)",
  "진행 상황",
  "v1.2.3",
  "it's",
  "3 of 4",
]) {
  test(`the subject ${subject} is written without quotes`, () => {
    assert.ok(format(subject).includes(`\nsubject: ${subject}\n`));
  });
}

for (const subject of [
  "a: b",
  "a:",
  "#1",
  "a #b",
  "yes",
  "No",
  "true",
  "False",
  "null",
  "~",
  "12",
  "1e3",
  "2026-11-22",
  "[x]",
  "@me",
  "=",
  "1_",
  "0x_",
  ".5_",
  " x",
  "x ",
  "- x",
]) {
  test(`the subject ${JSON.stringify(subject)} is written in quotes`, () => {
    assert.ok(format(subject).includes(`\nsubject: ${JSON.stringify(subject)}\n`));
  });
}

test("a subject that a person writes on one line without quotes is read as it stands", () => {
  const lines = subjects
    .map((each) => each.replace(/[\r\n]/g, " ").trim())
    .filter((each) => !/^(".*"|'.*')$/s.test(each));
  fc.assert(
    fc.property(lines, (subject) => {
      const { header } = parse(
        `---\nfrom: a: b\nto: 007\nsubject: ${subject}\ncreated: 2026-04-06\n---\nx`,
      );
      assert.equal(header.subject, subject);
      assert.deepEqual([header.from, header.to, header.created], ["a: b", "007", "2026-04-06"]);
    }),
    { numRuns: 1000 },
  );
});

const HAND = "from: ann\nto: bob";
const LONG = "a".repeat(64);
for (const [what, text, expected, body] of [
  ["without optional keys", `---\n${HAND}\n---\nhi\n`, { subject: "", type: "ipc" }, "hi"],
  ["to everyone", "---\nfrom: ann\nto: all\n---\n", { type: "broadcast", to: "all" }, ""],
  ["with quotes", `---\n${HAND}\nsubject: "a: b"\n---\n`, { subject: "a: b" }, ""],
  ["with single quotes", `---\n${HAND}\nsubject: 'it''s'\n---\n`, { subject: "it's" }, ""],
  ["with half a quote", `---\n${HAND}\nsubject: "a\n---\n`, { subject: '"a' }, ""],
  ["with quotes inside", `---\n${HAND}\nsubject: 'a' or 'b'\n---\n`, { subject: "'a' or 'b'" }, ""],
  ["with CRLF", "---\r\nfrom: ann\r\nto: bob\r\n---\r\n\r\nhi\r\n", { to: "bob" }, "hi"],
  ["with empty values", `---\n${HAND}\npriority:\ntype:\n---\n`, { priority: "normal" }, ""],
  ["with keys in capitals", "---\nFrom: ann\nTO: bob\n---\n", { from: "ann", to: "bob" }, ""],
  ["with a key twice", `---\n${HAND}\nto: eve\n---\n`, { to: "bob" }, ""],
  ["with a ---yaml header", `---yaml\n${HAND}\n---\nx`, { to: "bob" }, "x"],
  ["with a decomposed name", "---\nfrom: ann\nto: e\u0301te\n---\n", { to: "éte" }, ""],
  ["with long names", `---\nfrom: ${LONG}\nto: ${LONG}\n---\n`, { from: LONG, to: LONG }, ""],
  ["with a --- in its body", `---\n${HAND}\n---\n\na\n---\nb\n`, {}, "a\n---\nb"],
  ["with blank lines around its body", `---\n${HAND}\n---\n\n\na\n\n`, {}, "\na\n"],
] as const) {
  test(`a message ${what} is read as a person means it`, () => {
    const message = parse(text);
    const header = message.header as unknown as Record<string, string>;
    for (const [key, value] of Object.entries(expected)) assert.equal(header[key], value);
    assert.equal(message.body, body);
  });
}

test("a message without `created` has the fallback, and without reply_to no such key", () => {
  const { header } = parse("---\nfrom: ann\nto: bob\nreply_to:\n---\n");
  assert.equal(header.created, "2000-01-01 00:00:00");
  assert.ok(!("reply_to" in header));
});

for (const [text, reason] of [
  ["", /does not start with ---/],
  ["hello", /does not start with ---/],
  ["---\nfrom: a\nto: b\n", /not closed/],
  [`---\nfrom: a\nto: b\nx: ${"y".repeat(8192)}\n---\n`, /not closed/],
  ["---\nto: b\n---\n", /no "from"/],
  ["---\nfrom: a\n---\n", /no "to"/],
  ["---\n---\n", /no "from"/],
  ["---json\n{}\n---\n", /not plain YAML/],
  ["---js\nprocess.exit()\n---\n", /not plain YAML/],
  ["----\nfrom: a\nto: b\n---\n", /not plain YAML/],
  [`---\nfrom: ${"a".repeat(65)}\nto: b\n---\n`, /64/],
  [`---\nfrom: a\nto: ${"b".repeat(65)}\n---\n`, /64/],
  ["---\nfrom: a\nto: b\n---\n\0", /NUL/],
] as const) {
  test(`${JSON.stringify(text.slice(0, 40))} is not a message, and the reason is said`, () => {
    assert.throws(() => parse(text), { name: "Error", message: reason });
  });
}

test("of any text, the reader makes strings or says why not, in little time", () => {
  const good = format('"a": b', "x");
  const changed = fc
    .tuple(fc.nat(good.length), fc.nat(20), subjects)
    .map(([at, length, put]) => good.slice(0, at) + put + good.slice(at + length));
  const repeated = fc
    .tuple(
      fc.constantFrom("---\n", "a: ", "- [", "\n", '"', " ", "'", "&a *a ", ": ", "\r"),
      fc.integer({ min: 1, max: 100_000 }),
    )
    .map(([part, n]) => `---\nfrom: ${part.repeat(n)}`);
  const texts = fc.oneof(
    { weight: 10, arbitrary: changed },
    { weight: 5, arbitrary: subjects.map((rest) => `---\n${rest}`) },
    { weight: 5, arbitrary: subjects.map((rest) => `---\n${rest}\n---\n`) },
    subjects,
    repeated,
  );
  fc.assert(
    fc.property(texts, (input) => {
      const start = process.cpuUsage();
      try {
        const { header, body } = parse(input);
        for (const value of [...Object.values(header), body]) assert.equal(typeof value, "string");
        assert.ok(header.from && header.to);
      } catch (error) {
        assert.ok(error instanceof Error && error.name === "Error", (error as Error).stack);
        assert.match(error.message, /header|does not start with ---|over 64 characters|NUL/);
      }
      assert.ok(process.cpuUsage(start).user < 1_000_000, "the reader hangs");
    }),
    { numRuns: 2000 },
  );
});

test("a file name has at most 200 bytes in any script, and says who, to whom and about what", () => {
  const names = fc.oneof(anyText(), fc.constantFrom("𠀀".repeat(16), "가".repeat(64)));
  fc.assert(
    fc.property(names, names, fc.oneof(subjects, names), (from, to, subject) => {
      const file = messageFileName(TIMESTAMP, { from, to, subject });
      assert.ok(Buffer.byteLength(file) <= 200);
      assert.match(file, /^20261122T153000123456-[0-9a-f]{8}-[\p{L}\p{N}_-]*\.md$/u);
      assert.ok(isMessageFile(file) && isStamped(file));
      assert.ok(mayBeAddressedTo([to])(file));
      assert.ok(mayBeSentBy([from])(file));
    }),
  );
  const file = messageFileName(TIMESTAMP, { from: "a.b", to: "결제", subject: "it's é" });
  assert.match(file, /-a_b-결제-it_s_é\.md$/);
  const from = "결제-서버-담당-세션-이름이-길다";
  const subject = "가나다라마바사아자차카타파하".repeat(3);
  assert.match(
    messageFileName(TIMESTAMP, { from, to: "주문-서버", subject }),
    /-결제-서버-담당-세션-이름이--주문-서버-가나다라마바사아자차카타.*\.md$/,
  );
});

test("a file name of 200 bytes is not cut", () => {
  const to = "가".repeat(16);
  const subject = `${"가".repeat(22)}ab`;
  const file = messageFileName(TIMESTAMP, { from: to, to, subject });
  assert.equal(Buffer.byteLength(file), 200);
  assert.ok(file.endsWith(`-${subject}.md`));
});

test("a file name rules out other addressees and senders, in whatever letter case", () => {
  assert.ok(mayBeAddressedTo(["BETA"])(FILE));
  assert.ok(!mayBeAddressedTo(["alpha"])(FILE));
  assert.ok(!mayBeAddressedTo([])(FILE));
  assert.ok(mayBeAddressedTo([])(FILE.replace("beta", "all")));
  assert.ok(mayBeAddressedTo([])(FILE.replace("beta", "broadcast")));
  assert.ok(mayBeSentBy(["gamma", "alpha"])(FILE));
  assert.ok(!mayBeSentBy(["beta"])(FILE));
});

for (const [file, isMessage, isOurs] of [
  [FILE, true, true],
  ["note.md", true, false],
  [".hidden.md", false, false],
  [".tmp-1-x", false, false],
  ["a/b.md", false, false],
  ["a\\b.md", process.platform !== "win32", false], // a path on Windows only
  ["x.txt", false, false],
  ["20260406T153000-0a1b2c3d-x.md", true, false],
] as const) {
  test(`${file} is ${isMessage ? "" : "not "}a message file${isOurs ? " with a timestamp" : ""}`, () => {
    assert.equal(isMessageFile(file), isMessage);
    assert.equal(isMessage && isStamped(file), isOurs);
  });
}

/** Stores a message in an empty folder of its own. */
async function store(t: TestContext, message: Draft, clock = systemClock) {
  const dir = tempDir(t);
  const config = readConfig({ IPC_DIR: dir }, "/");
  const inbox = new Inbox({ folder: config }, { ...createSystem(config), clock });
  await inbox.store([message]);
  const [file = ""] = filesIn(dir);
  return { dir, inbox, file };
}

test("a message with a long Korean subject between Korean names is stored and read", async (t) => {
  const from = named("결제-서버-담당-세션-이름이-길다");
  const to = named("주문-서버-담당-세션-이름이-길다");
  const subject = "가나다라마바사아자차카타파하".repeat(14).slice(0, 190);
  const { inbox, file } = await store(t, { ...draft(subject), from, to });
  assert.ok(Buffer.byteLength(file) <= 200);
  const { header } = inbox.read(file) ?? assert.fail("not read");
  assert.deepEqual([header.from, header.to, header.subject], [from, to, subject]);
});

test("the times in the file name and in the header are local", async (t) => {
  const { TZ } = process.env;
  t.after(() => {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  });
  process.env.TZ = "Asia/Seoul";
  const now = Date.UTC(2026, 10, 22, 6, 30, 0, 123);
  const clock = { ...systemClock, now: () => now };
  const { dir, file } = await store(t, draft("hello"), clock);
  assert.equal(file.slice(0, 21), "20261122T153000123000");
  assert.equal(readByLine(readMail(dir, file)).fields.created, "2026-11-22 15:30:00");
});
