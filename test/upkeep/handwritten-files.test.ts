import assert from "node:assert/strict";
import { test } from "node:test";
import { isEveryone } from "../../src/core/names.ts";
import type { WithLock } from "../../src/core/system.ts";
import { localTime } from "../../src/core/timestamps.ts";
import { HandwrittenFiles } from "../../src/upkeep/handwritten-files.ts";
import { Sweep } from "../../src/upkeep/sweep.ts";
import { createWorld, FOLDER, startSession } from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

const DAY_MS = 24 * 3600_000;

const note = (to: string): string => `---\nfrom: hand\nto: ${to}\nsubject: hi\n---\n\ntext\n`;

/** A session whose lock takes a second, and which looks at what people write. */
async function start() {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const handwritten = new HandwrittenFiles(ann.inbox, ann.system);
  handwritten.start();
  const { clock, withLock } = ann.system;
  const waitForLock: WithLock = async (path, work) => {
    await new Promise<void>((resolve) => clock.after(1000, resolve));
    return withLock(path, work);
  };
  Object.assign(ann.system, { withLock: waitForLock });
  return { world, ann, handwritten };
}

test("a note that changes while the inbox is locked is named after its last content", async () => {
  const { world, ann, handwritten } = await start();
  world.disk.put(`${FOLDER.inbox}/note.md`, note("bob"));
  await world.time.advance(2000);
  world.disk.put(`${FOLDER.inbox}/note.md`, note("all"));
  await world.time.advance(5000);
  const [header, ...others] = ann.mailbox.unread().headers;
  assert.ok(header && isEveryone(header.to) && others.length === 0);
  assert.match(header.file, /-hand-all-hi\.md$/);
  handwritten.close();
});

test("a note that changes while the inbox is locked is left alone after the end", async () => {
  const { world, ann, handwritten } = await start();
  world.disk.put(`${FOLDER.inbox}/note.md`, note("bob"));
  await world.time.advance(2000);
  world.disk.put(`${FOLDER.inbox}/note.md`, note("all"));
  ann.inbox.close();
  handwritten.close();
  await world.time.advance(10_000);
  assert.equal(world.disk.text(`${FOLDER.inbox}/note.md`), note("all"));
});

for (const [what, days] of [
  ["40 days ago", -40],
  ["in a year", 365],
] as const) {
  test(`the age of a note whose file was changed ${what} begins when it is renamed`, async () => {
    const { world, ann, handwritten } = await start();
    const { clock } = ann.system;
    world.disk.put(`${FOLDER.inbox}/note.md`, note("ann"));
    world.disk.touch(`${FOLDER.inbox}/note.md`, clock.now() + days * DAY_MS);
    await world.time.advance(5000);
    const folder = { ...FOLDER, wakeFolders: [] };
    await world.time.wait(new Sweep(folder, ann.system, ann.inbox, ann.heartbeats).sweep());
    const [header, ...others] = ann.mailbox.unread().headers;
    assert.ok(header && others.length === 0);
    const age = clock.now() - (ann.inbox.storedAt(header.file) ?? 0);
    assert.ok(age >= 0 && age <= 5000, `${age} ms`);
    assert.equal(header.created.slice(0, 10), localTime(clock).slice(0, 10));
    handwritten.close();
  });
}

test("the time of a note that was written lately is kept", async () => {
  const { world, ann, handwritten } = await start();
  world.disk.put(`${FOLDER.inbox}/note.md`, note("ann"));
  const writtenAt = ann.system.clock.now() - 600_000;
  world.disk.touch(`${FOLDER.inbox}/note.md`, writtenAt);
  await world.time.advance(5000);
  const [header] = ann.mailbox.unread().headers;
  assert.equal(ann.inbox.storedAt(header?.file ?? ""), writtenAt);
  handwritten.close();
});

test("an old note becomes a message also if its time cannot be set", async () => {
  const { world, ann, handwritten } = await start();
  world.disk.put(`${FOLDER.inbox}/note.md`, note("ann"));
  world.disk.touch(`${FOLDER.inbox}/note.md`, ann.system.clock.now() - 2 * DAY_MS);
  ann.system.fault = (call) => {
    if (call === "touch") throw systemError("EPERM");
  };
  await world.time.advance(20_000);
  handwritten.close();
  assert.equal(ann.mailbox.unread().headers.length, 1);
  assert.match(String(world.log), /inbox\/note.md keeps its time: EPERM/);
});

test("a file that is not a message keeps its time", async () => {
  const { world, ann, handwritten } = await start();
  world.disk.put(`${FOLDER.inbox}/list.md`, "- milk");
  world.disk.touch(`${FOLDER.inbox}/list.md`, 1_700_000_000_000);
  await world.time.advance(5000);
  assert.match(String(world.log), /inbox\/list.md is not a message and stays where it is/);
  assert.equal(ann.inbox.storedAt("list.md"), 1_700_000_000_000);
  handwritten.close();
});

test("a note that cannot be read just now is renamed when it can be read", async () => {
  const { world, ann, handwritten } = await start();
  ann.system.fault = (call, path) => {
    if (call === "read" && path.endsWith("note.md")) throw systemError("EIO");
  };
  world.disk.put(`${FOLDER.inbox}/note.md`, note("ann"));
  await world.time.advance(10_000);
  assert.match(String(world.log), /inbox\/note.md could not be renamed yet: EIO/);
  assert.deepEqual(ann.mailbox.unread().headers, []);
  ann.system.fault = undefined;
  await world.time.advance(10_000);
  assert.equal(ann.mailbox.unread().headers.length, 1);
  handwritten.close();
});

test("a file that is not a message is read once, and again after a change", async () => {
  const { world, ann, handwritten } = await start();
  const path = `${FOLDER.inbox}/list.md`;
  let reads = 0;
  ann.system.fault = (call, each) => {
    if (call === "read" && each === path) reads++;
  };
  world.disk.put(path, "- milk");
  await world.time.advance(20_000);
  assert.deepEqual([reads, world.log.filter((line) => line.includes("list.md")).length], [1, 1]);
  world.disk.put(path, note("ann"));
  await world.time.advance(5000);
  assert.equal(ann.mailbox.unread().headers.length, 1);
  handwritten.close();
});

test("a note that another server renames first is not spoken of", async () => {
  const { world, ann, handwritten } = await start();
  ann.system.fault = (call, path) => {
    if (call !== "read" || !path.endsWith("note.md")) return;
    world.disk.erase(path);
    throw systemError("ENOENT");
  };
  world.disk.put(`${FOLDER.inbox}/note.md`, note("ann"));
  await world.time.advance(10_000);
  assert.deepEqual(world.log, []);
  handwritten.close();
});
