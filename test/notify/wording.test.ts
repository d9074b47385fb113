import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Header } from "../../src/core/message.ts";
import { toChannelNotification } from "../../src/notify/channel.ts";
import { mailNotice } from "../../src/notify/notice.ts";
import { describeRoute } from "../../src/notify/routes.ts";

const header = (fields: Partial<Header> = {}): Header => ({
  file: "20260406T153000123456-0a1b2c3d-ann-bob-x.md",
  from: "ann",
  to: "bob",
  type: "ipc",
  subject: "news",
  priority: "normal",
  created: "2026-04-06 15:30:00",
  ...fields,
});
const many = (count: number) =>
  Array.from({ length: count }, (_, n) => header({ from: `session-${n}`, subject: `s${n}` }));

for (const [what, headers, text] of [
  ["one message", [header()], "1 new message, from ann: “news”. Read it with x_t9_ipc_unread."],
  [
    "two of one sender",
    [header(), header({ subject: "more" })],
    "2 new messages, from ann: “news”, “more”. Read them with x_t9_ipc_unread.",
  ],
  [
    "three senders",
    many(3),
    "3 new messages, from session-0, session-1, session-2: “s0”, “s1”, “s2”. Read them with x_t9_ipc_unread.",
  ],
  [
    "five senders",
    many(5),
    "5 new messages, from session-0, session-1, session-2 and 2 more: “s0”, “s1”, “s2”, …. Read them with x_t9_ipc_unread.",
  ],
  [
    "a sender that is no name",
    [header({ from: "user" })],
    "1 new message, from “user”: “news”. Read it with x_t9_ipc_unread.",
  ],
] as const) {
  test(`a notice for ${what} is worded so`, () => {
    assert.equal(mailNotice(headers, "x_"), `t9-ipc: ${text}`);
  });
}

test("whatever sender and subject are, a notice is one line of one shape", () => {
  const text = fc.string({ unit: "binary", maxLength: 64 });
  fc.assert(
    fc.property(text, text, (from, subject) => {
      const notice = mailNotice([header({ from, subject })], "");
      assert.match(
        notice,
        /^t9-ipc: 1 new message, from (“[^“”\n]*”|[^“”\s]+): “[^“”\n]*”\. Read it/u,
      );
    }),
  );
});

test("a channel notification has the header as strings, and the file name", () => {
  const { content, meta } = toChannelNotification({
    header: header({ reply_to: "a.md" }),
    body: "hi",
  });
  assert.equal(content, "hi");
  assert.deepEqual(meta, {
    from: "ann",
    to: "bob",
    type: "ipc",
    subject: "news",
    priority: "normal",
    created: "2026-04-06 15:30:00",
    reply_to: "a.md",
    filename: header().file,
  });
  assert.ok(!("reply_to" in toChannelNotification({ header: header(), body: "" }).meta));
});

test("a long body is cut in a channel notification, with where the rest is", () => {
  const contentOf = (body: string) => toChannelNotification({ header: header(), body }).content;
  assert.equal(contentOf("🎉".repeat(10_240)), "🎉".repeat(10_240));
  const file = `inbox/${header().file}`;
  const rest = `\n[3 more characters: read the file ${file}]`;
  assert.equal(contentOf("🎉".repeat(10_243)), "🎉".repeat(10_240) + rest);
});

for (const [push, note, text] of [
  ["channel", "", "channel"],
  ["socket", undefined, "inbox socket"],
  ["tool-result", "silent", "on its next tool call (its inbox socket does not answer)"],
  ["none", "codex-exec", "on its next tool call only (codex exec ends with its turn)"],
  ["none", "some words", "on its next tool call only (some words)"],
  ["carrier pigeon", "", "carrier pigeon"],
  [undefined, undefined, "its own server's channel notification"],
  ["toString", "", "toString"],
] as const) {
  test(`the route ${push} with ${note || "no problem"} is described as "${text}"`, () => {
    assert.equal(describeRoute(push, note), text);
  });
}
