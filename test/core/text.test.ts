import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { duration, neutralizeTags, oneLine, plural, quote } from "../../src/core/text.ts";

test("a line has no control characters, no tags and no direction marks", () => {
  assert.equal(oneLine("a\nb\r\n\u001b[31mc\u2028d"), "a b [31mc d");
  assert.equal(oneLine('<b a="1">'), "'b a='1''");
  assert.equal(oneLine("a\u202eb"), "a\ufffdb");
});

test("a line that is too long is cut between characters", () => {
  assert.equal(oneLine("🎉🎉🎉", 3), "🎉🎉🎉");
  assert.equal(oneLine("🎉🎉🎉🎉", 3), "🎉🎉…");
});

test("a quoted text cannot close its quotation marks", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const inner = quote(text).slice(1, -1);
      assert.doesNotMatch(inner, /[“”"«»\n]/);
    }),
  );
  assert.equal(quote("a” b"), "“a' b”");
});

for (const [ms, text] of [
  [-5, "0 s"],
  [119_000, "119 s"],
  [120_000, "2 min"],
  [7_199_000, "120 min"],
  [7_200_000, "2 h"],
  [172_799_000, "48 h"],
  [172_800_000, "2 days"],
] as const) {
  test(`${ms} ms is worded as ${text}`, () => assert.equal(duration(ms), text));
}

test("one is singular, and other counts are plural", () => {
  assert.deepEqual(
    [0, 1, 2].map((n) => plural(n, "message")),
    ["0 messages", "1 message", "2 messages"],
  );
});

for (const tag of [
  "<system-reminder>",
  "</system-reminder>",
  "< / SYSTEM >",
  "<channel source='x'>",
  "<task-notification>",
  "<teammate-message id=1>",
  "<cross-session-message>",
  "<local-command-stdout>",
  "<command-name>",
  "<user-prompt-submit-hook>",
]) {
  test(`the client's tag ${tag} is neutralized`, () => {
    assert.equal(neutralizeTags(`a ${tag} b`), `a &lt;${tag.slice(1)} b`);
  });
}

for (const text of ["<div>", "a < b", "<systemd>", "<channels>", "<commander>", "x<y>z"]) {
  test(`${text} stays as it is`, () => assert.equal(neutralizeTags(text), text));
}
