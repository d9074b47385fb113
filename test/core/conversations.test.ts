import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Conversations } from "../../src/core/conversations.ts";
import {
  createWorld,
  type FakeSystem,
  FOLDER,
  named,
  systemOf,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";
import { START } from "../support/virtual-clock.ts";

const DAY = 86_400_000;
let world: World;
let system: FakeSystem;
let conversations: Conversations;

beforeEach(() => {
  world = createWorld();
  system = systemOf(world);
  conversations = new Conversations(FOLDER, system);
});

const record = {
  name: named("api"),
  names: [named("old")],
  working_on: "tests",
  by: "set_name" as const,
};
const stored = () => JSON.parse(world.disk.text(FOLDER.conversations) ?? "{}");

test("what is remembered is got back, by every process", async () => {
  await conversations.remember("c1", { ...record, asked: "API" });
  const other = new Conversations(FOLDER, systemOf(world, 2));
  assert.deepEqual(other.get("c1"), { ...record, asked: "API", seen: START });
  assert.equal(other.get("c2"), undefined);
  assert.equal(other.get(undefined), undefined);
});

test("names are written again if they have changed, or after a day", async () => {
  const seen = () => stored().c1?.seen - START;
  await conversations.remember("c1", record);
  await world.time.advance(DAY - 1);
  await conversations.remember("c1", record);
  assert.equal(seen(), 0);
  const changed = { ...record, working_on: "docs" };
  await conversations.remember("c1", changed);
  assert.equal(seen(), DAY - 1);
  await world.time.advance(DAY);
  await conversations.remember("c1", changed);
  assert.equal(seen(), 2 * DAY - 1);
});

test("conversations that were not open for over 30 days are dropped, and others kept", async () => {
  await conversations.remember("c1", record);
  await world.time.advance(29 * DAY);
  await conversations.remember("c2", record);
  assert.deepEqual(Object.keys(stored()), ["c1", "c2"]);
  await world.time.advance(DAY);
  await conversations.remember("c3", record);
  assert.deepEqual(Object.keys(stored()), ["c1", "c2", "c3"]);
  await world.time.advance(1);
  await conversations.remember("c4", record);
  assert.deepEqual(Object.keys(stored()), ["c2", "c3", "c4"]);
});

test("a record that is not ours has no names, and is dropped at the next write", async () => {
  world.disk.put(FOLDER.conversations, JSON.stringify({ c1: { name: "all", seen: START }, c2: 3 }));
  assert.equal(conversations.get("c1"), undefined);
  assert.equal(conversations.get("c2"), undefined);
  await conversations.remember("c3", record);
  assert.ok("c3" in stored());
});

test("an older record without sources or names is understood", () => {
  world.disk.put(FOLDER.conversations, JSON.stringify({ c1: { name: "api", seen: 1 } }));
  assert.deepEqual(conversations.get("c1"), {
    name: "api",
    names: [],
    working_on: "",
    by: "set_name",
    seen: 1,
  });
});

for (const text of ["{", "[]", "7"]) {
  test(`a file with ${text} has no names, and is kept aside at the next write`, async () => {
    world.disk.put(FOLDER.conversations, text);
    assert.equal(conversations.get("c1"), undefined);
    await conversations.remember("c1", record);
    assert.equal(conversations.get("c1")?.name, "api");
    const aside = world.disk.paths().find((path) => path.includes(".bad-")) ?? "";
    assert.equal(world.disk.text(aside), text);
  });
}

test("a file that cannot be read just now is an error, and is left alone", async () => {
  await conversations.remember("c1", record);
  const before = world.disk.text(FOLDER.conversations);
  world.disk.put(FOLDER.conversations, `${before} `);
  system.fault = (call) => {
    if (call === "read") throw systemError("ESTALE");
  };
  assert.throws(() => conversations.get("c1"), /ESTALE/);
  assert.equal(conversations.get(undefined), undefined);
  await assert.rejects(conversations.remember("c2", record), /ESTALE/);
  assert.equal(world.disk.text(FOLDER.conversations), `${before} `);
});

test("nothing is remembered without the lock", async () => {
  world.lock.held.add(FOLDER.conversations);
  await assert.rejects(conversations.remember("c1", record), /locked/);
  assert.equal(world.disk.text(FOLDER.conversations), undefined);
});
