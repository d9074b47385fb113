import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findMeantName,
  findMessageFile,
  similarNames,
  toAddress,
  toMessageFile,
} from "../../src/core/addresses.ts";
import { named } from "../support/fake-system.ts";

const KNOWN = ["api", "Web", "web-2", "shop-1a2b"].map(named);

for (const [text, meant] of [
  ["api", "api"],
  [" @api, ", "api"],
  ["“api”", "api"],
  ["`API`", "api"],
  ["<api>:", "api"],
  ["- api", "api"],
  ["web", "Web"],
  ["web-2", "web-2"],
  ["ａｐｉ", "api"],
  ["shop", undefined],
  ["", undefined],
] as const) {
  test(`${JSON.stringify(text)} means ${meant ?? "nobody"}`, () => {
    assert.equal(findMeantName(text, KNOWN), meant);
  });
}

test("an exact match wins over one that differs in letter case", () => {
  assert.equal(findMeantName("web", ["Web", "web"].map(named)), "web");
});

test("nobody is meant if two names differ from the text in letter case only", () => {
  assert.equal(findMeantName("WEB", ["Web", "web"].map(named)), undefined);
});

for (const [text, address] of [
  ["all", "all"],
  ["@Everyone", "all"],
  ["*", "all"],
  ['"broadcast"', "all"],
  ["@api", "api"],
  ["a b", undefined],
  ["../etc", undefined],
] as const) {
  test(`${JSON.stringify(text)} is ${address ? `the address ${address}` : "no address"}`, () => {
    assert.equal(toAddress(text), address);
  });
}

test("similar names begin alike, contain the text or are contained in it", () => {
  const known = ["api", "api-tests", "web", "shop-1a2b"].map(named);
  assert.deepEqual(similarNames("API-x", known), ["api", "api-tests"]);
  assert.deepEqual(similarNames("tests", known), ["api-tests"]);
  assert.deepEqual(similarNames("@", known), []);
});

const FILE = "20260406T153000123456-0a1b2c3d-alpha-beta-x.md";
for (const [text, file] of [
  [FILE, FILE],
  [FILE.slice(0, -3), FILE],
  [`inbox/${FILE}`, FILE],
  [`C:\\ipc\\inbox\\${FILE}`, FILE],
  [`"${FILE}"`, FILE],
  ["../../.ssh/id", "id.md"],
  [".hidden", undefined],
  ["", undefined],
  ["inbox/", undefined],
] as const) {
  test(`${JSON.stringify(text)} is ${file ? `the file ${file}` : "no message file"}`, () => {
    assert.equal(toMessageFile(text), file);
  });
}

test("the name of a message file has at most 255 bytes, and no NUL", () => {
  const longest = "é".repeat(126);
  assert.equal(toMessageFile(longest), `${longest}.md`);
  assert.equal(toMessageFile(`${longest}x`), undefined);
  assert.equal(toMessageFile("a\0b"), undefined);
});

for (const [text, file] of [
  ["inbox/a-one.md", "a-one.md"],
  ["b", "b.md"],
  ["a-t", "a-two.md"],
  ["a-", undefined],
  ["c", undefined],
  ["", undefined],
] as const) {
  test(`of three files ${JSON.stringify(text)} means ${file ?? "none"}`, () => {
    assert.equal(findMessageFile(text, new Set(["a-one.md", "a-two.md", "b.md"])), file);
  });
}
