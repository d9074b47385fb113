// What `who` answers if the disk fails.

import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/core/errors.ts";
import { whoText } from "../../src/mcp/who-text.ts";
import { createWorld, FOLDER, startSession } from "../support/fake-system.ts";
import { mail } from "../support/mail.ts";
import { systemError } from "../support/memory-files.ts";

/** What `who` tells ann, who has written to bob and to dora, who is offline. */
async function scene() {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const bob = await startSession(world, "bob");
  for (const [n, to] of ["bob", "dora"].entries()) {
    const file = `20260406T15300000000${n}-0a1b2c3d-ann-${to}-x.md`;
    world.disk.put(`${FOLDER.inbox}/${file}`, mail({ from: "ann", to, subject: "x" }));
  }
  const around = {
    mailbox: ann.mailbox,
    maxBytes: 8000,
    statusOf: () => undefined,
    unlisted: () => [],
    now: () => world.time.elapsed,
  };
  return { world, ann, bob, who: () => whoText(around, true) };
}

test("`who` names sent mail that cannot be read just now, instead of passing over it", async () => {
  const { ann, who } = await scene();
  ann.system.fault = (call, path) => {
    if (call === "read" && path.endsWith("-dora-x.md")) throw systemError("EIO");
  };
  assert.match(who(), /^- bob: .*1 of your messages unread/m);
  assert.match(who(), /^Of what you sent, \S+-dora-x\.md cannot be read just now: EIO/m);
  ann.system.fault = undefined;
  assert.match(who(), /^Offline, with mail of yours waiting: dora \(1 of your/m);
  assert.doesNotMatch(who(), /cannot be read/);
});

test("nobody is said to have read everything while part of it cannot be read", async () => {
  const { world, ann, bob, who } = await scene();
  bob.mailbox.markRead(bob.mailbox.unread().headers);
  await world.time.wait(bob.mailbox.close());
  ann.system.fault = (call, path) => {
    if (call === "read" && path.endsWith("-dora-x.md")) throw systemError("EIO");
  };
  assert.doesNotMatch(who(), /has read all/);
  ann.system.fault = undefined;
  assert.match(who(), /^- bob: .*has read all you sent/m);
});

test("if the list cannot be read, `who` is refused in words", async () => {
  const { world, ann, who } = await scene();
  world.disk.put(FOLDER.heartbeats, `${world.disk.text(FOLDER.heartbeats)} `);
  ann.system.fault = (call, path) => {
    if (call === "read" && path === FOLDER.heartbeats) throw systemError("EIO");
  };
  assert.throws(() => who(), UserError);
});
