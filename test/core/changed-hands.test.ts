// Names that change hands, while locks are held, files cannot be written, or a process is late:
// whose marks count. A mark is read by the conversation that has made it, and by no other.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ReadState } from "../../src/core/read-state.ts";
import {
  createWorld,
  type FakeSession,
  FOLDER,
  fakeAgent,
  named,
  startSession,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

const ROBERT = "/ipc/read/robert";
let world: World;
let ann: FakeSession;

beforeEach(async () => {
  world = createWorld();
  ann = await startSession(world, "ann", fakeAgent({ open: "c0" }));
});

/** To everyone. */
async function send(from: FakeSession, subject = "news"): Promise<void> {
  await world.time.wait(from.mailbox.send({ to: ["all"], subject, body: "", priority: "normal" }));
  await world.time.settle();
}

const unread = ({ mailbox }: FakeSession) => mailbox.unread().headers.map((each) => each.subject);

async function read({ mailbox }: FakeSession): Promise<void> {
  mailbox.markRead(mailbox.unread().headers);
  await world.time.settle();
}

async function register({ mailbox }: FakeSession): Promise<void> {
  await world.time.wait(mailbox.register());
  await world.time.settle();
}

async function rename({ presence }: FakeSession): Promise<void> {
  await world.time.wait(presence.rename(named("robert"), undefined));
  await world.time.settle();
}

/** Another conversation takes the name, reads a message to everyone, and ends. */
async function readAsRobert(): Promise<void> {
  const former = await startSession(world, undefined, fakeAgent({ open: "c2" }));
  await rename(former);
  await send(ann);
  await read(former);
  await world.time.wait(former.presence.leave());
}

test("what a session reads before its name could be noted stays read", async () => {
  const agent = () => fakeAgent({ open: "c1", given: "robert" });
  const former = await startSession(world, undefined, agent());
  await world.time.wait(former.presence.leave());
  await readAsRobert();
  world.lock.held.add(ROBERT);
  const again = await startSession(world, undefined, agent());
  world.lock.held.clear();
  await send(ann, "later");
  assert.deepEqual([again.presence.names, unread(again)], [["robert"], ["later"]]);
  await read(again);
  await register(again);
  assert.deepEqual(unread(again), []);
});

test("a process that has not seen yet that it has lost a name makes no mail unread", async () => {
  const agent = fakeAgent({ open: "c1", pid: 50 });
  const cleared = await startSession(world, undefined, agent);
  await rename(cleared);
  agent.open = "c9"; // by /clear
  await world.time.wait(cleared.presence.onCall());
  await world.time.settle();
  const resumed = await startSession(world, undefined, fakeAgent({ open: "c1", pid: 51 }));
  await register(cleared);
  await send(ann);
  assert.deepEqual([resumed.presence.name, unread(resumed)], ["robert", ["news"]]);
  await read(resumed);
  await register(cleared);
  await register(resumed);
  assert.deepEqual(unread(resumed), []);
});

test("the marks of a session stay its own when its agent names the conversation", async () => {
  const agent = fakeAgent({ pid: 77 });
  const cleo = await startSession(world, undefined, agent);
  await send(ann);
  await read(cleo);
  await send(cleo, "own");
  agent.open = "c1";
  cleo.presence.tryCheck();
  await world.time.settle();
  await world.time.wait(cleo.presence.onCall());
  await register(cleo);
  assert.deepEqual(unread(cleo), []);
});

test("a mark that is late counts for its own conversation, and not for the name's next one", async () => {
  const cleo = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  const former = await startSession(world, undefined, fakeAgent({ open: "c2" }));
  await rename(former);
  await send(ann);
  const { withLock } = former.system;
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  Object.assign(former.system, {
    withLock: async (...args: Parameters<typeof withLock>) => {
      if (args[0] === ROBERT) await held;
      return withLock(...args);
    },
  });
  former.mailbox.markRead(former.mailbox.unread().headers);
  const closed = former.mailbox.close();
  await world.time.wait(former.presence.leave());
  await rename(cleo);
  release();
  await world.time.wait(closed);
  await register(cleo);
  assert.deepEqual(unread(cleo), ["news"]);
});

test("a session's own message is not its mail, also if its mark stopped counting", async () => {
  await send(ann, "own");
  const [file = ""] = ann.inbox.files;
  world.disk.append("/ipc/read/ann", `# conversation c1\n# unread ${file}\n# conversation c0\n`);
  assert.deepEqual(unread(ann), []);
});

test("a mark that is made after a /resume is the conversation's that was shown the mail", async () => {
  const agent = fakeAgent({ open: "c1" });
  const cleo = await startSession(world, undefined, agent);
  await rename(cleo);
  await send(ann);
  const { names, notes } = cleo.presence;
  const { headers } = cleo.mailbox.unread();
  agent.open = "c3";
  await world.time.wait(cleo.presence.onCall());
  await world.time.settle();
  cleo.mailbox.markRead(headers, names, notes.conversation);
  await world.time.settle();
  agent.open = "c1";
  await world.time.wait(cleo.presence.onCall());
  await register(cleo);
  assert.deepEqual(unread(cleo), []);
});

test("a name that was noted by half an append is looked at again after a kill", async () => {
  const cleo = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  await readAsRobert();
  cleo.system.fault = (call, path) => {
    if (call !== "append" || path !== ROBERT) return;
    world.disk.append(ROBERT, "# conversation c1\n# unread 2026");
    throw systemError("ENOSPC");
  };
  await rename(cleo);
  world.processes.running.delete(cleo.system.processes.pid);
  const again = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  assert.deepEqual([again.presence.name, unread(again)], ["robert", ["news"]]);
});

test("marks of own messages that have left the inbox do not come back after a sweep", async () => {
  await send(ann);
  const files = [...ann.inbox.files];
  for (const file of files) ann.inbox.archive(file);
  await new ReadState(FOLDER, ann.system, named("ann")).compact(new Set(files));
  await register(ann);
  assert.doesNotMatch(world.disk.text("/ipc/read/ann") ?? "", /\.md/);
});
