import assert from "node:assert/strict";
import { test } from "node:test";
import { describeError } from "../../src/cli/errors.ts";
import { eventLine, messageLine } from "../../src/cli/message-line.ts";
import { toJsonLine, toPlainLine, toPlainText } from "../../src/cli/print.ts";
import { UserError } from "../../src/core/errors.ts";
import { localTime } from "../support/mail.ts";

test("plain text has no control characters, and shows bidirectional overrides as escapes", () => {
  assert.equal(toPlainText("a\u001b[31mb\u001b[0m\u009b2Jc \u0007\rd\te\nf"), "abc d\te\nf");
  assert.equal(toPlainText("a\u202eb\u2066c\u2069\u202ad"), "a\\u202eb\\u2066c\\u2069\\u202ad");
  const hebrew = "שלום\u200f עולם";
  assert.equal(toPlainText(hebrew), hebrew, "marks that override nothing stay");
  assert.equal(toPlainLine("a\n\tb\u2028c"), "a b c");
});

test("a line of JSON escapes C1 controls and overrides, and reads as the same value", () => {
  const value = { subject: "a\u0085b\u009b31mc\u007f\u202ed\u2028\u001b", body: "é한" };
  const line = toJsonLine(value);
  assert.doesNotMatch(line, /[\p{Cc}\u202a-\u202e\u2066-\u2069\u2028\u2029]/u);
  assert.ok(line.includes("\\u009b31m") && line.includes("é한"));
  assert.deepEqual(JSON.parse(line), value);
});

test("an error for the terminal has no control characters", () => {
  const error = new UserError("no \u009b31mname\u202e", "list-sessions");
  assert.equal(describeError(error), "t9-ipc: no name\\u202e `t9-ipc who` lists who is online.");
});

const header = {
  file: "x.md",
  from: "api",
  to: "web",
  type: "ipc",
  subject: "schema moved",
  priority: "high",
  created: localTime(),
};

test("a message is one line: time, sender, recipient, subject and as much of the body as fits", () => {
  const time = header.created.slice(11);
  const body = "users.id is a uuid now:\nplease adapt the client.";
  const head = `${time}  api → web  schema moved [high]`;
  assert.equal(
    messageLine({ header, body }, 200),
    `${head}  users.id is a uuid now: please adapt the client.`,
  );
  assert.equal(messageLine({ header, body }, 60), `${head}  users.id is a uui…`);
  assert.equal([...messageLine({ header, body }, 60)].length, 60);
  assert.equal(messageLine({ header, body }, 45), head, "no room for a body that says anything");
  assert.equal(messageLine({ header, body: "" }, 80), head);
  assert.equal(messageLine({ header, body: "한국어로 쓴 글" }, 54), `${head}  한국어로 쓴…`);
});

test("a message of another day has its date, a broadcast goes to EVERYBODY, and nothing breaks the line", () => {
  const created = "2020-03-31 14:03:22";
  const subject = "two\nlines \u001b[31m\u202e";
  const line = messageLine(
    { header: { ...header, created, subject, to: "all", priority: "normal" }, body: "" },
    80,
  );
  assert.equal(line, "03-31 14:03  api → EVERYBODY  two lines \\u202e");
});

test("an event has the local time of its line", () => {
  const line = eventLine("api has left", new Date(2026, 2, 31, 4, 5, 6));
  assert.equal(line, "04:05:06  api has left");
});
