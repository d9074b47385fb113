// What `unread` answers if the disk fails while it reads.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mailbox } from "../../src/core/mailbox.ts";
import { ownMailText } from "../../src/mcp/mail-text.ts";
import { createWorld, type FakeSession, startSession, type World } from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

async function scene(): Promise<{ world: World; bob: FakeSession; text: () => string }> {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const bob = await startSession(world, "bob");
  for (const subject of ["one", "two"]) {
    const request = { to: ["bob"], subject, body: "", priority: "normal" as const };
    await world.time.wait(ann.mailbox.send(request));
  }
  const around = (mailbox: Mailbox) => ({
    mailbox,
    maxBytes: 8000,
    statusOf: () => undefined,
    unlisted: () => [],
    now: () => 0,
  });
  return { world, bob, text: () => ownMailText(around(bob.mailbox)).text };
}

test("a message that cannot be read in the middle of the answer is named, and the others are shown", async () => {
  const { bob, text } = await scene();
  bob.mailbox.unread(); // the headers are known
  bob.system.fault = (call, path) => {
    if (call === "read" && path.endsWith("-one.md")) throw systemError("EIO");
  };
  const answer = text();
  assert.match(answer, /^1 unread message:/);
  assert.match(answer, /^subject: two$/m);
  assert.match(answer, /^\S+-one\.md cannot be read just now: EIO/m);
});

test("if none can be read, the answer is not that there are none", async () => {
  const { bob, text } = await scene();
  bob.mailbox.unread();
  bob.system.fault = (call, path) => {
    if (call === "read" && path.endsWith(".md")) throw systemError("EIO");
  };
  assert.match(
    text(),
    /^No unread message can be read just now:\n\S+-one\.md cannot.+\n\S+-two\.md/,
  );
});
