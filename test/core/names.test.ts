import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  explainInvalidName,
  firstFreeName,
  isEveryone,
  isKnownForm,
  isName,
  isSameName,
  meansEveryone,
  meansSelf,
  toName,
} from "../../src/core/names.ts";
import { named } from "../support/fake-system.ts";

for (const [text, isValid] of [
  ["api", true],
  ["결제-서버", true],
  ["a_b-3", true],
  ["a".repeat(64), true],
  ["constructor", true],
  ["__proto__", true],
  ["ab", false],
  ["a".repeat(65), false],
  ["a b", false],
  ["a.b", false],
  ["../x", false],
  ["", false],
  [`${"𠀀".repeat(62)}ab`, true], // 250 bytes
  ["𠀀".repeat(63), false], // 252 bytes
  ["user\u3164", false],
  ["user\u{13441}", false],
  ["us\u200der", false],
  ["All", false],
  ["broadcast", false],
  ["everyone", false],
  ["Everybody", false],
  ["here", false],
  ["self", false],
  ["me", false],
  ["ｕｓｅｒ", false],
  ["User", false],
  ["human", false],
  ["system", false],
  ["assistant", false],
  ["claude", false],
  ["T9-IPC", false],
  ["con", false],
  ["COM1", false],
  ["lpt9", false],
  ["com10", true],
  ["claude-2", true],
] as const) {
  const shown = text.length > 20 ? `${text.slice(0, 4)}… (${text.length})` : text;
  test(`${JSON.stringify(shown)} ${isValid ? "can" : "cannot"} be a session's name`, () => {
    assert.equal(isName(text), isValid);
    assert.equal(explainInvalidName(text) === undefined, isValid);
  });
}

test("a reserved word is a known form, since mail may come from it, but `all` is not", () => {
  assert.equal(isKnownForm("user"), true);
  assert.equal(isKnownForm("all"), false);
  assert.equal(isKnownForm("Broadcast"), false);
  assert.equal(isKnownForm("user\u3164"), false);
});

test("letter case and width do not tell names apart", () => {
  assert.equal(isSameName("Api", "aPI"), true);
  assert.equal(isSameName("ａｐｉ", "api"), true);
  assert.equal(isSameName("api", "api-2"), false);
});

test("words for everyone and for oneself are known in any letter case", () => {
  assert.deepEqual(["all", "broadcast", "All", "here"].map(isEveryone), [true, true, false, false]);
  assert.deepEqual(["ALL", "Everyone", "everybody", "*", "api"].map(meansEveryone), [
    true,
    true,
    true,
    true,
    false,
  ]);
  assert.deepEqual(["self", "Me", "my"].map(meansSelf), [true, true, false]);
});

for (const [text, name] of [
  ["my app", "my-app"],
  ["--x y--", "x-y"],
  ["", "session"],
  ["a", "session-a"],
  ["user", "session-user"],
  ["us\u200der", "session-user"],
  ["a/b\\c", "a-b-c"],
  ["e\u0301te", "éte"],
] as const) {
  test(`the closest name to ${JSON.stringify(text)} is ${name}`, () => {
    assert.equal(toName(text), name);
  });
}

test("the closest name to any text is a name, with room for a suffix", () => {
  const long = fc.constantFrom("a".repeat(70), "𠀀".repeat(70));
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.string(), long);
  fc.assert(
    fc.property(text, (each) => {
      const name = toName(each);
      assert.ok(isName(name), name);
      assert.ok(isName(`${name}-123456789abc`), name);
    }),
  );
});

test("the first free name counts up from 2", () => {
  const taken =
    (...names: string[]) =>
    (name: string) =>
      names.includes(name);
  assert.equal(firstFreeName(named("api"), taken()), "api");
  assert.equal(firstFreeName(named("api"), taken("api")), "api-2");
  assert.equal(firstFreeName(named("api"), taken("api", "api-2")), "api-3");
});

test("a taken name of 64 letters gets its number within the 64", () => {
  const long = named("a".repeat(64));
  assert.equal(
    firstFreeName(long, (name) => name === long),
    `${"a".repeat(62)}-2`,
  );
});

test("an invalid name is explained with its limits, or with why it is reserved", () => {
  assert.match(explainInvalidName("a b") ?? "", /3 characters in 3 bytes.*"a-b"/);
  assert.match(explainInvalidName("user") ?? "", /make mail seem to come from it.*session-user/);
  assert.match(explainInvalidName("here") ?? "", /meaning of its own/);
  assert.match(explainInvalidName("all") ?? "", /means every session/);
  assert.match(explainInvalidName("nul") ?? "", /device/);
  assert.match(explainInvalidName("\u202ex".repeat(100)) ?? "", /^"(\ufffdx){40}"/);
});
