import assert from "node:assert/strict";
import { test } from "node:test";
import { isEveryone } from "../../src/core/names.ts";
import type { WithLock } from "../../src/core/system.ts";
import { HandwrittenFiles } from "../../src/upkeep/handwritten-files.ts";
import { createWorld, FOLDER, startSession } from "../support/fake-system.ts";

const note = (to: string): string => `---\nfrom: hand\nto: ${to}\nsubject: hi\n---\n\ntext\n`;

/** A session whose lock takes a second, and which looks at what people write. */
async function start() {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const handwritten = new HandwrittenFiles(FOLDER.inbox, ann.inbox, ann.system);
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
