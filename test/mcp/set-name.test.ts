// What `set_name` answers if the disk fails.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ToolContext } from "../../src/mcp/session.ts";
import { TOOLS } from "../../src/mcp/tools.ts";
import {
  createWorld,
  type FakeSession,
  FOLDER,
  fakeAgent,
  startSession,
  type World,
} from "../support/fake-system.ts";
import { mail } from "../support/mail.ts";
import { systemError } from "../support/memory-files.ts";

async function setName(world: World, session: FakeSession, name: string): Promise<string> {
  const tool = TOOLS.find((each) => each.name === "t9_ipc_set_name") ?? assert.fail();
  const { mailbox, presence } = session;
  const context = { mailbox, presence } as unknown as ToolContext;
  return (await world.time.wait(Promise.resolve(tool.run(context, { name })))).text;
}

test("a name that is not saved for a resume yet is called so, and saved later", async () => {
  const world = createWorld();
  const ann = await startSession(world, "ann", fakeAgent({ open: "c1" }));
  world.lock.held.add(FOLDER.conversations);
  const text = await setName(world, ann, "painter");
  assert.match(text, /^This session is now painter\. Its name is not saved for a resume yet: /);
  world.lock.held.clear();
  await world.time.advance(60_000);
  assert.match(world.disk.text(FOLDER.conversations) ?? "", /"name":\s*"painter"/);
  const again = await setName(world, ann, "drawer");
  assert.equal(again, "This session is now drawer. No unread messages are waiting.");
});

test("a session with mail that cannot be read just now is not told that there is none", async () => {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const file = "20260406T153000000001-0a1b2c3d-hand-ann-x.md";
  world.disk.put(`${FOLDER.inbox}/${file}`, mail({ from: "hand", to: "ann", subject: "x" }));
  ann.system.fault = (call, path) => {
    if (call === "read" && path.endsWith(file)) throw systemError("EIO");
  };
  assert.match(await setName(world, ann, "painter"), new RegExp(`${file} cannot be read just now`));
});
