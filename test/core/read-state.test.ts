import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Header } from "../../src/core/message.ts";
import {
  isAddressee,
  isUnread,
  knownNames,
  ReadState,
  type ReadView,
} from "../../src/core/read-state.ts";
import { ReadStates } from "../../src/core/read-states.ts";
import type { Timestamp } from "../../src/core/timestamps.ts";
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

const PATH = "/ipc/read/ann";
const SINCE = "20261122T120000000000" as Timestamp;
const file = (n: number): string => `20261122T15300000000${n}-0a1b2c3d-bob-ann-x.md`;

let world: World;
let system: FakeSystem;
let state: ReadState;

beforeEach(() => {
  world = createWorld();
  system = systemOf(world);
  state = new ReadState(FOLDER, system, named("ann"));
});

const reopened = () => new ReadState(FOLDER, system, named("ann")).view();
const text = () => world.disk.text(PATH);
const header = (to: string, name = file(1)): Header => ({
  file: name,
  from: "bob",
  to,
  type: "ipc",
  subject: "",
  priority: "normal",
  created: "",
});

test("what is marked counts at once, and is on the disk after save", async () => {
  state.markRead([file(1), file(2), file(1)]);
  assert.equal(state.view().hasRead(file(1)), true);
  assert.equal(text(), undefined);
  await state.save();
  assert.equal(text(), `${file(1)}\n${file(2)}\n`);
  assert.deepEqual([...reopened().files()], [file(1), file(2)]);
});

test("a save with nothing to write does not create the file", async () => {
  await state.save();
  await state.save({ folder: "/work" });
  assert.equal(text(), undefined);
});

test("notes are written once, and again only if they differ", async () => {
  const notes = { since: SINCE, conversation: "c1", folder: "/work" };
  await state.save(notes);
  await state.save(notes);
  const first = `# since ${SINCE}\n# conversation c1\n# folder /work\n`;
  assert.equal(text(), first);
  await state.save({ ...notes, since: "20261122T130000000000" as Timestamp, conversation: "c2" });
  assert.equal(text(), `${first}# conversation c2\n`);
  assert.deepEqual(reopened().notes, { since: SINCE, conversation: "c2", folder: "/work" });
});

test("a folder with a line end in its name is not noted", async () => {
  await state.save({ since: SINCE, folder: "/work\n# since 1" });
  assert.equal(text(), `# since ${SINCE}\n`);
});

test("the file's time tells when the name was last in use", async () => {
  await state.save({ since: SINCE });
  await world.time.advance(60_000);
  await state.save({ since: SINCE });
  assert.equal(world.disk.stat(PATH)?.mtimeMs, START + 60_000);
});

test("how far a long message was shown is kept", async () => {
  state.markPart(file(1), 2);
  assert.equal(state.view().partsShown(file(1)), 2);
  await state.save();
  assert.equal(reopened().partsShown(file(1)), 2);
  assert.equal(reopened().partsShown(file(2)), 0);
  assert.deepEqual([...reopened().files()], [file(1)], "so that the line goes with the message");
});

test("a torn last line is not read, and the next line does not continue it", async () => {
  world.disk.put(PATH, `${file(1)}\n${file(2).slice(0, 30)}`);
  assert.deepEqual([...state.view().files()], [file(1)]);
  state.markRead([file(2)]);
  await state.save();
  assert.equal(reopened().hasRead(file(2)), true);
  assert.equal(reopened().hasRead(file(1)), true);
});

test("a line that another process has torn since the marks were read is not continued", async () => {
  world.disk.put(PATH, `${file(1)}\n`);
  state.markRead([file(2)]);
  world.disk.put(PATH, `${file(1)}\n${file(3).slice(0, 20)}`);
  await state.save();
  assert.equal(new ReadState(FOLDER, system, named("ann")).view().hasRead(file(2)), true);
});

test("a whole name in a last line without its end is not taken for read", () => {
  world.disk.put(PATH, `${file(1)}\n${file(2)}`);
  assert.equal(state.view().hasRead(file(2)), false);
});

test("NUL bytes and bytes that are not UTF-8 spoil only their line", () => {
  const bytes = Buffer.from(`${file(1)}\n\0\0\0\0\n?\n${file(2)}\n`);
  bytes[bytes.indexOf("?")] = 0xff;
  world.disk.put(PATH, bytes);
  assert.equal(state.view().hasRead(file(1)), true);
  assert.equal(state.view().hasRead(file(2)), true);
});

for (const [what, since] of [
  ["torn", "2026"],
  ["far ahead", "20271122T153000000000"],
  ["no date", "yesterday"],
] as const) {
  test(`a since that is ${what} is ignored, and written anew`, async () => {
    world.disk.put(PATH, `# since ${since}\n`);
    assert.equal(state.view().notes.since, undefined);
    await state.save({ since: SINCE });
    assert.equal(reopened().notes.since, SINCE);
  });
}

test("a since of a clock that was far ahead counts no longer once the clock is right", async () => {
  const ahead = "20261125T153000000000" as Timestamp;
  system.clock.skewMs = 72 * 3_600_000;
  await state.save({ since: ahead });
  assert.equal(state.view().notes.since, ahead);
  system.clock.skewMs = 0;
  assert.equal(state.view().notes.since, undefined);
  await state.save({ since: SINCE });
  await state.compact(new Set());
  assert.equal(text(), `# since ${ahead}\n# since ${SINCE}\n`);
  system.clock.skewMs = 72 * 3_600_000;
  assert.equal(reopened().notes.since, SINCE);
});

test("a default since counts until the file has one, and is not written", async () => {
  state.defaultSince = SINCE;
  assert.equal(state.view().notes.since, SINCE);
  state.markRead([file(1)]);
  await state.save();
  assert.equal(text(), `${file(1)}\n`);
});

test("a write that fails half way is repeated by the next save", async () => {
  system.fault = (call, path) => {
    if (call !== "append") return;
    world.disk.append(path, file(1).slice(0, 20));
    throw systemError("ENOSPC");
  };
  state.markRead([file(1)]);
  await state.save();
  assert.equal(reopened().hasRead(file(1)), false);
  assert.equal(state.view().hasRead(file(1)), true);
  system.fault = undefined;
  await state.save();
  assert.equal(reopened().hasRead(file(1)), true);
  assert.match(world.log[0] ?? "", /read\/ann was not written/);
});

test("what was read before counts while the file cannot be read", () => {
  world.disk.put(PATH, `${file(1)}\n`);
  assert.equal(state.view().hasRead(file(1)), true);
  world.disk.put(PATH, `${file(1)}\n${file(2)}\n`);
  system.fault = (call) => {
    if (call === "read") throw systemError("EIO");
  };
  assert.equal(state.view().hasRead(file(1)), true);
  system.fault = undefined;
  assert.equal(state.view().hasRead(file(2)), true);
});

test("what was written last counts as well while the file cannot be read", async () => {
  await state.save({ since: SINCE });
  state.markRead([file(1)]);
  state.markPart(file(2), 3);
  await state.save();
  system.fault = (call) => {
    if (call === "read" || call === "stat") throw systemError("EACCES");
  };
  const { notes, hasRead, partsShown } = state.view();
  assert.deepEqual([hasRead(file(1)), partsShown(file(2)), notes.since], [true, 3, SINCE]);
});

test("nothing is written while the file cannot be read, so no since comes of a failed read", async () => {
  world.disk.put(PATH, `# since ${SINCE}\n`);
  system.fault = (call) => {
    if (call === "read") throw systemError("EIO");
  };
  await state.save({ since: "20261122T150000000000" as Timestamp });
  system.fault = undefined;
  assert.equal(text(), `# since ${SINCE}\n`);
});

test("nothing is written without the lock", async () => {
  world.lock.held.add(PATH);
  state.markRead([file(1)]);
  await state.save();
  assert.equal(text(), undefined);
  world.lock.held.clear();
  await state.save();
  assert.equal(text(), `${file(1)}\n`);
});

test("compaction keeps which conversation has made a mark, and which uses the name", async () => {
  world.disk.put(
    PATH,
    `${file(1)}\n# conversation c0\n# folder /a\n${file(2)}\n# conversation c1\n`,
  );
  await state.compact(new Set([file(3)]));
  const { readIn, notes } = state.view();
  assert.deepEqual([readIn(file(1)), readIn(file(2))], [undefined, "c0"]);
  assert.deepEqual(notes, { conversation: "c1", folder: "/a", since: undefined });
  const before = text();
  await state.compact(new Set([file(3)]));
  assert.equal(text(), before);
});

test("compaction drops messages that are gone, and keeps notes and time", async () => {
  state.markPart(file(3), 1);
  state.markPart(file(4), 1);
  state.markRead([file(1), file(2)]);
  await state.save({ since: SINCE });
  await world.time.advance(1000);
  await state.compact(new Set([file(1), file(3)]));
  assert.equal(text(), `# since ${SINCE}\n# part 1 of ${file(4)}\n${file(2)}\n`);
  assert.equal(world.disk.stat(PATH)?.mtimeMs, START);
});

test("a message is mail for its addressee in any letter case, and for nobody else", () => {
  const views = [state.view()];
  assert.equal(isAddressee(views, header("ann")), true);
  assert.equal(isAddressee(views, header("ANN")), true);
  assert.equal(isAddressee(views, header("bob")), false);
});

test("a message to everyone is mail for names that had appeared before it", () => {
  assert.equal(isAddressee([state.view()], header("all")), false);
  world.disk.put(PATH, `# since ${file(1).slice(0, 21)}\n`);
  assert.equal(isAddressee([state.view()], header("all", file(1))), false);
  assert.equal(isAddressee([state.view()], header("all", file(2))), true);
  assert.equal(isAddressee([state.view()], header("broadcast", file(2))), true);
  const later = new ReadState(FOLDER, system, named("bob")).view();
  assert.equal(isAddressee([later, state.view()], header("all", file(2))), true, "for one of them");
});

test("a file that cannot be read is logged once, until it can be or has another problem", () => {
  world.disk.put(PATH, "");
  const fail = (code: string | undefined) => {
    system.fault = () => {
      if (code) throw systemError(code);
    };
    for (const _ of [1, 2, 3]) state.view();
    return [world.log.length, state.problem];
  };
  assert.deepEqual(fail("EIO"), [1, "EIO: simulated"]);
  assert.deepEqual(fail("EACCES"), [2, "EACCES: simulated"]);
  assert.deepEqual(fail(undefined), [2, undefined]);
  assert.deepEqual(fail("EACCES"), [3, "EACCES: simulated"]);
});

test("a message that was read under one of a session's names is read", async () => {
  const other = new ReadState(FOLDER, system, named("bob"));
  world.disk.put("/ipc/read/bob", `# since ${SINCE}\n`);
  world.disk.put(PATH, `# since ${SINCE}\n${file(1)}\n`);
  assert.equal(isUnread([other.view()], header("all")), true);
  assert.equal(isUnread([other.view(), state.view()], header("all")), false);
});

/** The read states of bob, who has also got the name ann. */
function statesOfBob({
  conversation = "c1",
  inherits = false,
  since,
}: {
  conversation?: string;
  inherits?: boolean;
  since?: Timestamp;
} = {}) {
  return new ReadStates(FOLDER, system, {
    name: named("bob"),
    names: [named("bob"), named("ann")],
    notes: { conversation, since },
    inherits: () => inherits,
    check() {},
  });
}

const TAKEN = `# since ${SINCE}\n# conversation c0\n# part 2 of ${file(1)}\n${file(1)}\n${file(2)}\n`;

/** Whether ann has read both, and how much of the first. */
function view(states: ReadStates) {
  const { hasRead, partsShown } = states.viewOf(named("ann"));
  return [hasRead(file(1)), partsShown(file(1)), hasRead(file(2))];
}

test("marks and parts of another conversation stop counting for good, once it has lost the name", async () => {
  world.disk.put(PATH, TAKEN);
  const states = statesOfBob();
  await states.register(() => [file(1)]);
  assert.deepEqual(view(states), [false, 0, true]);
  await states.save();
  assert.deepEqual(
    [view(states), view(statesOfBob())],
    [
      [false, 0, true],
      [false, 0, true],
    ],
  );
  states.markPart(file(1), 1, [named("ann")]);
  states.markRead([header("all", file(3))], [named("ann")]);
  await states.save();
  assert.deepEqual(view(statesOfBob()), [false, 1, true]);
  states.markRead([header("all")], [named("ann")]);
  await states.save();
  assert.deepEqual(view(statesOfBob()), [true, 1, true]);
});

test("marks of another conversation do not count while that cannot be written", async () => {
  world.disk.put(PATH, TAKEN);
  const states = statesOfBob();
  world.lock.held.add(PATH);
  await states.register(() => [file(1)]);
  await states.save();
  assert.deepEqual([view(states)[0], view(statesOfBob())[0]], [false, true]);
  states.markRead([header("all")], [named("ann")]);
  world.lock.held.clear();
  await states.save();
  assert.deepEqual([view(states)[0], view(statesOfBob())[0]], [true, true]);
});

test("a message that nobody has read is not noted as unread", async () => {
  world.disk.put(PATH, TAKEN);
  const states = statesOfBob();
  await states.register(() => [file(3)]);
  await states.save();
  assert.equal(text(), TAKEN);
});

test("a message to everyone is marked under the names that its conversation gets later", async () => {
  const owner = {
    name: named("bob"),
    names: [named("bob")],
    notes: { conversation: "c1" },
    inherits: () => false,
    check() {},
  };
  const states = new ReadStates(FOLDER, system, owner);
  states.markSent(header("all"));
  owner.names.push(named("ann"));
  owner.notes.conversation = "c2";
  await states.register(() => []);
  assert.equal(text(), undefined);
  owner.notes.conversation = "c1";
  await states.register(() => []);
  assert.equal(text(), `# conversation c1\n${file(1)}\n`);
});

test("marks under a name that was lost are written with the next notes", async () => {
  const owner = {
    name: named("bob"),
    names: [named("bob"), named("ann")],
    notes: { conversation: "c1" },
    inherits: () => false,
    check() {},
  };
  const states = new ReadStates(FOLDER, system, owner);
  world.lock.held.add(PATH);
  states.markRead([header("all")], owner.names);
  await states.save();
  world.lock.held.clear();
  owner.names.pop();
  await states.register(() => []);
  assert.equal(text(), `# conversation c1\n${file(1)}\n`);
});

test("mail to everyone counts for a name that was taken since the owner is here", async () => {
  world.disk.put(PATH, TAKEN);
  const here = file(2).slice(0, 21) as Timestamp;
  let views: readonly ReadView[] = [];
  await statesOfBob({ since: here }).register((all) => {
    views = all;
    return [];
  });
  assert.deepEqual(
    views.map(({ name, notes: { since }, hasRead }) => [name, since, hasRead(file(2))]),
    [
      ["bob", here, false],
      ["ann", here, false],
    ],
  );
});

test("nothing is noted about a name while it is unknown whose marks it has", async () => {
  world.disk.put(PATH, TAKEN);
  const states = statesOfBob();
  let reads = 0;
  system.fault = (call, path) => {
    if (call === "read" && path === PATH && ++reads === 1) throw systemError("EIO");
  };
  await states.register(() => [file(1)]);
  assert.deepEqual([text(), reads], [TAKEN, 1]);
  await states.register(() => [file(1)]);
  assert.equal(view(statesOfBob())[0], false);
});

for (const [what, options, lines] of [
  ["of the same conversation", { conversation: "c0" }, TAKEN],
  ["of an unknown conversation", {}, TAKEN.replace(/# conversation .*\n/, "")],
  ["that the name brings with it", { inherits: true }, TAKEN],
] as const) {
  test(`marks ${what} go on counting`, async () => {
    world.disk.put(PATH, lines);
    const states = statesOfBob(options);
    await states.register(() => [file(1)]);
    await states.save();
    assert.deepEqual([view(states), text()], [[true, 2, true], lines]);
  });
}

test("the names that were used are those of the files", () => {
  assert.deepEqual(knownNames(FOLDER, system), []);
  for (const name of ["ann", ".tmp-1", "all", "x"]) world.disk.put(`/ipc/read/${name}`, "");
  assert.deepEqual(knownNames(FOLDER, system), ["ann"]);
  system.fault = () => {
    throw systemError("EACCES");
  };
  assert.deepEqual(knownNames(FOLDER, system), []);
  system.fault = () => {
    throw systemError("EIO");
  };
  assert.throws(() => knownNames(FOLDER, system), /EIO/);
});

test("what a name has read counts for its other spellings, and stays in one file", async () => {
  state.markRead([file(1)]);
  await state.save();
  const other = new ReadState(FOLDER, system, named("ANN"));
  assert.equal(other.view().hasRead(file(1)), true);
  other.markRead([file(2)]);
  await other.save();
  assert.equal(state.view().hasRead(file(2)), true);
  assert.deepEqual(knownNames(FOLDER, system), ["ann"]);
});

test("a file under another spelling is not written without that file's lock", async () => {
  world.disk.put(PATH, "");
  world.lock.held.add(PATH);
  await new ReadState(FOLDER, system, named("ANN")).save({ since: SINCE });
  assert.equal(text(), "");
});

test("a view costs one stat of the file, and a missing file is not read twice", () => {
  const callsOf = (read: ReadState): string[] => {
    const calls: string[] = [];
    system.fault = (call) => void calls.push(call);
    read.view();
    system.fault = undefined;
    return calls;
  };
  assert.ok(callsOf(state).includes("read"));
  assert.ok(!callsOf(state).includes("read"), "it is still missing");
  world.disk.put(PATH, `${file(1)}\n`);
  assert.ok(!callsOf(state).includes("list"), "it has this spelling");
  assert.deepEqual(callsOf(state), ["stat"]);
});

test("a spelling that appears later is found as well", async () => {
  const other = new ReadState(FOLDER, system, named("ANN"));
  assert.equal(other.view().hasRead(file(1)), false);
  state.markRead([file(1)]);
  await state.save();
  assert.equal(other.view().hasRead(file(1)), true);
});
