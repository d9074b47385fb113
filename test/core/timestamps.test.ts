import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import {
  endOfOrder,
  isImplausible,
  isTimestamp,
  localTime,
  nextTimestamps,
  timestampNow,
  timestampOf,
} from "../../src/core/timestamps.ts";
import {
  createWorld,
  type FakeSystem,
  FOLDER,
  systemOf,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

const HOUR = 3_600_000;
let world: World;
let system: FakeSystem;

beforeEach(() => {
  world = createWorld();
  world.disk.makeFolder("/ipc");
  system = systemOf(world);
});

const end = () => endOfOrder(system.files, system.clock, FOLDER);
const next = (count = 1, by = system) => nextTimestamps(by.files, by.clock, FOLDER, count);

test("a timestamp is local time to the microsecond", () => {
  system.clock.zoneMs = 9 * HOUR;
  assert.equal(timestampNow(system.clock), "20261123T003000000000");
  assert.equal(localTime(system.clock), "2026-11-23 00:30:00");
});

test("timestamps of one call follow each other", () => {
  assert.deepEqual(next(3), [
    "20261122T153000000000",
    "20261122T153000000001",
    "20261122T153000000002",
  ]);
});

test("a timestamp comes after the last one, whatever the sender's clock and zone say", () => {
  const [first = ""] = next();
  const other = systemOf(world, 2);
  other.clock.zoneMs = -8 * HOUR;
  other.clock.skewMs = -2 * HOUR;
  const [second = ""] = next(1, other);
  assert.ok(second > first, `${second} after ${first}`);
  assert.ok((next()[0] ?? "") > second);
});

test("a last timestamp that no clock can have said is ignored", () => {
  world.disk.put("/ipc/.order", "29991231T000000000000");
  assert.equal(next()[0], "20261122T153000000000");
});

test("a last timestamp of the zone that is farthest ahead, from a clock a day ahead, counts", () => {
  world.disk.put("/ipc/.order", "20261124T052959000000"); // 38 hours ahead of UTC, less a second
  assert.equal(next()[0], "20261124T052959000001");
});

for (const content of ["", "nonsense", "20261399T999999999999"]) {
  test(`the order starts from the clock if .order holds ${JSON.stringify(content)}`, () => {
    world.disk.put("/ipc/.order", content);
    assert.equal(next()[0], "20261122T153000000000");
  });
}

test("a link in the place of .order is removed and not followed", () => {
  world.disk.putOther("/ipc/.order", "link");
  next();
  assert.equal(world.disk.text("/ipc/.order"), "20261122T153000000000");
});

/** A message that was sent by a clock ahead of ours. */
const AHEAD = "20261122T170000000000-0a1b2c3d-bob-ann-x.md";
const lostOrders: [string, () => void][] = [
  ["is missing", () => world.disk.erase("/ipc/.order")],
  ["is damaged", () => world.disk.put("/ipc/.order", "nonsense")],
  ["is a link", () => world.disk.putOther("/ipc/.order", "link")],
];
function failing(...[call, code]: [string, string]): void {
  system.fault = (each, path) => {
    if (each === call && path === "/ipc/.order") throw systemError(code);
  };
}

for (const [what, lose] of lostOrders) {
  test(`if .order ${what}, the next timestamp comes after the newest message`, () => {
    world.disk.put(`${FOLDER.inbox}/${AHEAD}`, "");
    world.disk.put(`${FOLDER.inbox}/29991231T000000000000-0a1b2c3d-bob-ann-x.md`, "");
    world.disk.put(`${FOLDER.inbox}/note.md`, "");
    world.disk.put("/ipc/.order", timestampOf(AHEAD));
    lose();
    assert.deepEqual(next(), ["20261122T170000000001"]);
  });
}

test("nothing is issued while .order cannot be read", () => {
  world.disk.put("/ipc/.order", timestampOf(AHEAD));
  failing("read", "EIO");
  assert.throws(() => next(), /EIO/);
  assert.throws(() => end(), /EIO/);
  system.fault = undefined;
  assert.deepEqual(next(), ["20261122T170000000001"]);
});

test("the end of the order is the last timestamp, and issues none", () => {
  assert.equal(end(), "19700101T000000000000");
  const [, last = ""] = next(2);
  assert.equal(end(), last);
  assert.equal(world.disk.text("/ipc/.order"), last);
});

test("a timestamp comes after one that could not be written to .order", () => {
  next();
  failing("overwrite", "ENOSPC");
  system.clock.skewMs = HOUR;
  const [ahead = ""] = next();
  world.disk.put(`${FOLDER.inbox}/${ahead}-0a1b2c3d-bob-ann-x.md`, "");
  system.fault = undefined;
  system.clock.skewMs = 0;
  assert.ok((next()[0] ?? "") > ahead);
});

for (const [text, is] of [
  ["20261122T153000123456", true],
  ["20261122T153000", false],
  ["20261322T153000123456", false],
  ["20261122T153000123456x", false],
  ["", false],
] as const) {
  test(`${JSON.stringify(text)} ${is ? "is" : "is not"} a timestamp`, () => {
    assert.equal(isTimestamp(text), is);
  });
}

test("a timestamp over 38 hours ahead is implausible", () => {
  const at = (text: string) =>
    isImplausible(timestampOf(`${text}-0a1b2c3d-a-b-c.md`), system.clock);
  assert.equal(at("20261124T053000000000"), false);
  assert.equal(at("20261124T053000000001"), true);
  assert.equal(at("20200101T000000000000"), false);
});
