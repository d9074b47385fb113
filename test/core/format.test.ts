import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { readConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Inbox } from "../../src/core/inbox.ts";
import {
  type Draft,
  formatMessage,
  messageFileName,
  PRIORITIES,
  parseMessage,
} from "../../src/core/message.ts";
import type { Name } from "../../src/core/names.ts";
import type { Timestamp } from "../../src/core/timestamps.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, readByLine, readMail } from "../support/mail.ts";

const FILE = "20260406T153000123456-0a1b2c3d-alpha-beta-x.md";
const TIMESTAMP = "20261122T153000123456" as Timestamp;
/** Any text is taken for a name here. */
const named = (text: string): Name => text as Name;
const CREATED = "2026-04-06 15:30:00";
/** Characters that Python's `splitlines` takes for the end of a line. */
const PYTHON_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029";
const draft = (subject: string, body = ""): Draft => ({
  from: named("20261122_3655_8201"),
  to: named("session_beta"),
  type: "ipc",
  subject,
  priority: "normal",
  body,
});
const written = (subject: string, body?: string): string =>
  formatMessage(draft(subject, body), CREATED);
const read = (text: string, file = FILE) => parseMessage(file, text, CREATED);

/** Any text that a tool call can hold: no NUL, no half characters. */
const storable = (text: string): string => text.replaceAll("\0", "0").toWellFormed();
const text = (options: { minLength?: number } = {}) =>
  fc.string({ unit: "binary", ...options }).map(storable);
/** Text that looks like YAML, headers or quotes more often than chance would have it. */
const pieces =
  "- |: |#| #|[|]|{|}|&|*|!|%|@|`|'|\"|,|?|---|...|~|null|true|no|1|0x|.5|e3|2026-11-22|12:30|\\|\\n|=|<<|가|é|🎉| |\t|\r|\n|\u0085|\u2028|\ufeff|from: x|to: y|!!js/function|\n---\n";
/** Everything that some reader takes for a space or for the end of a line. */
const spaces = " \t\n\r\v\f\u0085\u00a0\u1680\u2000\u200b\u2028\u2029\u202f\u205f\u3000\ufeff";
const tricky = fc
  .array(fc.oneof(fc.constantFrom(...pieces.split("|"), "|"), fc.constantFrom(...spaces), text()), {
    maxLength: 6,
  })
  .map((each) => storable(each.join("")));
const anything = fc.oneof(tricky, text({ minLength: 1 }), fc.string({ minLength: 1 }));
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
  fc.constantFrom("20261122_3655_8201", "session_beta"),
);

test("a message is read as it was written: names, subject and body to the letter", () => {
  fc.assert(
    fc.property(
      names,
      names,
      anything,
      anything,
      fc.constantFrom(...PRIORITIES),
      fc.constantFrom(undefined, FILE),
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
        const { header, body: again } = read(formatMessage(message, CREATED));
        const { body: _, ...expected } = { ...message, file: FILE, created: CREATED };
        assert.deepEqual(header, expected);
        assert.equal(again, body);
      },
    ),
    { numRuns: 4000 },
  );
});

test("a line reader finds the same fields, a quoted subject in its quotes", () => {
  fc.assert(
    fc.property(anything, (subject) => {
      const lines = [...written(subject, "body")]
        .map((char) => (PYTHON_LINE_ENDS.includes(char) ? "\n" : char))
        .join("")
        .split("\n");
      assert.equal(lines.length, 11, "six header lines, no more");
      const { fields, body } = readByLine(lines.join("\n"));
      assert.deepEqual(Object.keys(fields), [
        "from",
        "to",
        "type",
        "subject",
        "priority",
        "created",
      ]);
      assert.equal(fields.from, "20261122_3655_8201");
      assert.equal(fields.to, "session_beta");
      assert.equal(fields.created, CREATED);
      assert.ok(
        fields.subject === subject || JSON.parse(fields.subject ?? "") === subject,
        fields.subject,
      );
      assert.equal(body, "body");
    }),
    { numRuns: 2000 },
  );
});

test("a subject is quoted only if YAML would misread it", () => {
  for (const subject of [
    "status update",
    "done, 3 of 4 (75%)",
    "진행 상황",
    "v1.2.3",
    "a-b_c",
    "it's",
  ]) {
    assert.ok(written(subject).includes(`\nsubject: ${subject}\n`), subject);
  }
  for (const subject of [
    "a: b",
    "#1",
    "yes",
    "No",
    "null",
    "~",
    "12",
    "1e3",
    "2026-11-22",
    "[x]",
    "@me",
    "a #b",
    "=",
    "1_",
    "0x_",
    ".5_",
    " x",
  ]) {
    assert.ok(written(subject).includes(`\nsubject: ${JSON.stringify(subject)}\n`), subject);
  }
});

test("a one-line subject that a person writes without quotes is read as it stands", () => {
  const subjects = anything
    .map((each) => each.replace(/[\r\n]/g, " ").trim())
    .filter((each) => !/^(".*"|'.*')$/s.test(each));
  fc.assert(
    fc.property(subjects, (subject) => {
      const { header } = read(
        `---\nfrom: a: b\nto: 007\nsubject: ${subject}\ncreated: 2026-04-06\n---\nx`,
      );
      assert.equal(header.subject, subject);
      assert.deepEqual([header.from, header.to, header.created], ["a: b", "007", "2026-04-06"]);
    }),
    { numRuns: 2000 },
  );
});

test("a text that is not a message is rejected with the reason", () => {
  for (const [bad, reason] of [
    ["", /does not start with ---/],
    ["hello", /does not start with ---/],
    ["---\nfrom: a\nto: b\n", /not closed/],
    ["---\nto: b\n---\n", /has no "from"/],
    ["---\nfrom: a\n---\n", /has no "to"/],
    ["---\n---\n", /has no "from"/],
    ["---json\n{}\n---\n", /not plain YAML/],
    ["----\nfrom: a\nto: b\n---\n", /not plain YAML/],
    [`---\nfrom: ${"a".repeat(65)}\nto: b\n---\n`, /over 64 characters/],
    ["---\nfrom: a\nto: b\n---\n\0", /NUL/],
  ] as const) {
    assert.throws(() => read(bad), { name: "Error", message: reason });
  }
});

test("the parser makes strings of any text, or says why it is not a message", () => {
  const good = written('"a": b', "x");
  const cut = fc
    .tuple(fc.nat(good.length), fc.nat(20), anything)
    .map(([at, length, put]) => good.slice(0, at) + put + good.slice(at + length));
  const repeated = fc
    .tuple(
      fc.constantFrom("---\n", "a: ", "- [", "\n", '"', " ", "'", "&a *a ", ": ", "\r"),
      fc.integer({ min: 1, max: 100_000 }),
    )
    .map(([part, n]) => `---\nfrom: ${part.repeat(n)}`);
  const texts = fc.oneof(
    { weight: 10, arbitrary: cut },
    { weight: 5, arbitrary: anything.map((rest) => `---\n${rest}`) },
    { weight: 5, arbitrary: anything.map((rest) => `---\n${rest}\n---\n`) },
    anything,
    repeated,
  );
  const files = fc.constantFrom(
    FILE,
    "note.md",
    "99999999T999999999999-00000000-x.md",
    "00000000T000000000000-00000000-x.md",
  );
  fc.assert(
    fc.property(texts, files, (input, file) => {
      const start = process.cpuUsage(); // the clock would count what else this machine does
      try {
        const { header, body } = read(input, file);
        const { from, to, reply_to = "", ...rest } = header;
        for (const value of [from, to, reply_to, ...Object.values(rest), body]) {
          assert.equal(typeof value, "string");
        }
        assert.deepEqual(Object.keys(rest), ["file", "type", "subject", "priority", "created"]);
        assert.ok(from && to);
      } catch (error) {
        assert.ok(error instanceof Error && error.name === "Error", (error as Error).stack);
        assert.match(error.message, /header|does not start with ---|over 64 characters|NUL/);
      }
      assert.ok(process.cpuUsage(start).user < 1_000_000, "the parser hangs");
    }),
    { numRuns: 5000 },
  );
});

test("a file name has at most 200 bytes in any script, and says who, to whom and about what", () => {
  const korean = "가나다라마바사아자차카타파하가나다라마바사아자차카타파하가나다라마바사아자차카타";
  const name = messageFileName(TIMESTAMP, {
    from: "결제-서버-담당-세션-이름이-길다",
    to: "주문-서버",
    subject: korean,
  });
  assert.ok(Buffer.byteLength(name) <= 200, `${Buffer.byteLength(name)} bytes`);
  assert.match(
    name,
    /^20261122T153000123456-[0-9a-f]{8}-결제-서버-담당-세션-이름이--주문-서버-가나다라마바사아자차카타.*\.md$/,
  );
  const id = fc.oneof(text(), fc.constantFrom("𠀀".repeat(16), "가".repeat(64)));
  fc.assert(
    fc.property(id, id, fc.oneof(anything, id), (from, to, subject) => {
      const file = messageFileName(TIMESTAMP, { from, to, subject });
      assert.ok(Buffer.byteLength(file) <= 200);
      assert.match(file, /^20261122T153000123456-[0-9a-f]{8}-[\p{L}\p{N}_-]*\.md$/u);
      assert.equal(file, file.normalize("NFC"));
    }),
  );
});

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
  const [from, to] = ["결제-서버-담당-세션-이름이-길다", "주문-서버-담당-세션-이름이-길다"].map(
    named,
  );
  const subject = "가나다라마바사아자차카타파하".repeat(14).slice(0, 190);
  const { inbox, file } = await store(t, { ...draft(subject), from: from as Name, to: to as Name });
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
