import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { findHolder, Heartbeats, namesOf } from "../../src/core/heartbeats.ts";
import {
  createWorld,
  entriesOf,
  type FakeSystem,
  FOLDER,
  systemOf,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";
import { START } from "../support/virtual-clock.ts";

let world: World;
let system: FakeSystem;
let heartbeats: Heartbeats;

beforeEach(() => {
  world = createWorld();
  system = systemOf(world, 1);
  heartbeats = new Heartbeats(FOLDER, system);
});

const put = (entries: Record<string, unknown>) =>
  world.disk.put(FOLDER.heartbeats, JSON.stringify(entries));
const entry = (fields: Record<string, unknown> = {}) => ({
  timestamp: "2026-11-22 15:30:00",
  status: "active",
  pid: 7,
  working_on: "",
  beat: START,
  host: "host",
  started: "start-7",
  ...fields,
});
const online = () => heartbeats.online().map(({ name }) => name as string);

test("sessions are sorted by name", () => {
  world.processes.running.set(7, "start-7");
  put({ web: entry(), api: entry() });
  assert.deepEqual(online(), ["api", "web"]);
});

for (const [what, running, fields, isOnline] of [
  ["its process runs", "start-7", {}, true],
  ["its process has ended", null, {}, false],
  ["another process has its PID", "start-8", {}, false],
  ["it signs off", "start-7", { status: "signing-off" }, false],
  ["the system tells no start, and the beat is fresh", undefined, {}, true],
  ["the system tells no start, and the beat is old", undefined, { beat: START - 300_000 }, false],
  ["the entry has no start, and the beat is fresh", "start-7", { started: undefined }, true],
  ["its process runs, however old the beat", "start-7", { beat: 0 }, true],
  ["it beat lately elsewhere", null, { host: "other", beat: START - 89_000 }, true],
  ["its beat elsewhere is old", null, { host: "other", beat: START - 90_000 }, false],
  ["its clock elsewhere is far ahead", null, { host: "other", beat: START + 90_000 }, false],
  ["the original wrote it, and its process runs", "x", { host: undefined }, true],
  ["the original wrote it, and its process has ended", null, { host: undefined }, false],
  [
    "the original wrote it a day ago",
    "x",
    { host: undefined, timestamp: "2026-11-21 15:30:00" },
    false,
  ],
  ["its pid is no number", "start-7", { pid: "7" }, false],
] as const) {
  test(`a session is ${isOnline ? "online" : "offline"} if ${what}`, () => {
    if (running !== null) world.processes.running.set(7, running);
    put({ api: entry(fields) });
    assert.deepEqual(online(), isOnline ? ["api"] : []);
  });
}

test("an age in the original's entry is reckoned in local time", () => {
  world.processes.running.set(7, "x");
  system.clock.zoneMs = 9 * 3_600_000;
  put({ api: entry({ host: undefined, timestamp: "2026-11-22 00:31:00" }) });
  assert.deepEqual(online(), ["api"]); // that was 23 h 59 min ago
});

test("a session elsewhere with a wrong clock is online while its beats change", async () => {
  const wrong = START - 3_600_000;
  put({ api: entry({ host: "other", beat: wrong }) });
  assert.deepEqual(online(), []);
  await world.time.advance(30_000);
  put({ api: entry({ host: "other", beat: wrong + 30_000 }) });
  assert.deepEqual(online(), ["api"]);
  await world.time.advance(89_999);
  assert.deepEqual(online(), ["api"]);
  await world.time.advance(1);
  assert.deepEqual(online(), []);
});

test("a session elsewhere with a wrong clock that comes back is online from its second beat", () => {
  const putBeat = (beat: number) => put({ api: entry({ host: "other", beat }) });
  const seen = [1, 2, undefined, 3, 4].map((beat) => {
    if (beat === undefined) put({});
    else putBeat(beat);
    return online().length;
  });
  assert.deepEqual(seen, [0, 1, 0, 0, 1]);
});

test("an update knows as well that a beat elsewhere has changed", async () => {
  put({ api: entry({ host: "other", beat: 1 }) });
  await heartbeats.update(() => undefined);
  put({ api: entry({ host: "other", beat: 2 }) });
  assert.equal(await heartbeats.update(({ online }) => online.length), 1);
});

test("a jump of our clock does not end sessions elsewhere that go on beating", async () => {
  put({ api: entry({ host: "other" }) });
  assert.deepEqual(online(), ["api"]);
  put({ api: entry({ host: "other", beat: START + 30_000 }) });
  assert.deepEqual(online(), ["api"]);
  system.clock.skewMs = 3_600_000;
  assert.deepEqual(online(), ["api"]);
});

for (const name of ["__proto__", "constructor"]) {
  test(`a session named ${name} is one like any other`, async () => {
    world.processes.running.set(7, "start-7");
    world.disk.put(FOLDER.heartbeats, `{${JSON.stringify(name)}: ${JSON.stringify(entry())}}`);
    assert.deepEqual(online(), [name]);
    await heartbeats.update(() => true);
    assert.match(world.disk.text(FOLDER.heartbeats) ?? "", new RegExp(`"${name}"`));
  });
}

test("names that cannot be are left out of a session's names", () => {
  const session = { name: "api", entry: entry({ names: ["old", "all", ""] }) };
  assert.deepEqual(namesOf(session as never), ["api", "old"]);
  assert.equal(findHolder([session as never], "OLD"), session);
  assert.equal(findHolder([session as never], "web"), undefined);
});

test("a name is the session's that goes by it, and not another's that had it before", () => {
  const before = { name: "ann", entry: entry({ names: ["bob"] }) } as never;
  const original = { name: "bob", entry: entry() } as never;
  assert.equal(findHolder([before, original], "Bob"), original);
});

test("an unusable list lists nobody", () => {
  for (const text of ["{", "[]", "null", "3"]) {
    world.disk.put(FOLDER.heartbeats, text);
    assert.deepEqual(online(), []);
  }
});

test("a list that cannot be read just now is an error, and nothing is changed", async () => {
  put({ api: entry() });
  system.fault = (call) => {
    if (call === "read") throw systemError("EMFILE");
  };
  assert.throws(() => heartbeats.online(), /EMFILE/);
  await assert.rejects(
    heartbeats.update(() => true),
    /EMFILE/,
  );
  assert.deepEqual(
    world.disk.paths().filter((path) => path.includes(".bad-")),
    [],
  );
});

test("an update writes what was changed, and keeps what it does not know", async () => {
  world.processes.running.set(7, "start-7");
  put({ api: entry({ extra: [1] }), "x y": "foreign", other: { some: "thing" } });
  const result = await heartbeats.update(({ entries, online }) => {
    entries.set("web", entry());
    return online.length;
  });
  assert.equal(result, 1);
  const entries = entriesOf(world);
  assert.deepEqual(Object.keys(entries), ["api", "x y", "other", "web"]);
  assert.deepEqual(entries.api?.extra, [1]);
});

test("an update drops sessions that have ended here, and keeps others for a day", async () => {
  put({
    ended: entry(),
    elsewhere: entry({ host: "other", beat: START - 86_400_000 }),
    forgotten: entry({ host: "other", beat: START - 86_400_001 }),
    original: entry({ host: undefined }),
  });
  await heartbeats.update(() => true);
  assert.deepEqual(Object.keys(entriesOf(world)), ["elsewhere"]);
});

test("an entry whose time cannot be read is left alone", async () => {
  put({ original: entry({ host: undefined, timestamp: "some day" }) });
  assert.deepEqual(online(), []);
  await heartbeats.update(() => true);
  assert.deepEqual(Object.keys(entriesOf(world)), ["original"]);
});

test("an update that returns undefined leaves the file as it is", async () => {
  put({ ended: entry() });
  assert.equal(await heartbeats.update(() => undefined), undefined);
  assert.deepEqual(Object.keys(entriesOf(world)), ["ended"]);
});

test("nothing is updated without the lock", async () => {
  world.lock.held.add(FOLDER.heartbeats);
  assert.equal(await heartbeats.update(() => assert.fail("called")), undefined);
});

for (const [what, spoil] of [
  ["torn", () => world.disk.put(FOLDER.heartbeats, '{"a')],
  ["a link", () => world.disk.putOther(FOLDER.heartbeats, "link")],
  ["a FIFO", () => world.disk.putOther(FOLDER.heartbeats, "fifo")],
  [
    "not readable",
    () => {
      put({});
      world.disk.deny(FOLDER.heartbeats);
    },
  ],
] as const) {
  test(`a list that is ${what} is moved aside, and a new one is written`, async () => {
    world.disk.makeFolder("/ipc");
    spoil();
    await heartbeats.update(({ entries }) => entries.set("api", entry()) && true);
    assert.deepEqual(Object.keys(entriesOf(world)), ["api"]);
    assert.ok(world.disk.paths().some((path) => path.startsWith(`${FOLDER.heartbeats}.bad-`)));
  });
}
