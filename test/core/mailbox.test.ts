import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { UserError } from "../../src/core/errors.ts";
import type { SendRequest } from "../../src/core/mailbox.ts";
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

const HOUR = 3_600_000;
let world: World;
let ann: FakeSession;
let bob: FakeSession;

beforeEach(async () => {
  world = createWorld();
  ann = await startSession(world, "ann");
  bob = await startSession(world, "bob");
});

const send = (from: FakeSession, to: string, fields: Partial<SendRequest> = {}) =>
  world.time.wait(
    from.mailbox.send({
      to: to.split(","),
      subject: "news",
      body: "hi",
      priority: "normal",
      ...fields,
    }),
  );
const unread = (session: FakeSession) =>
  session.mailbox.unread().headers.map(({ subject }) => subject);
const filesIn = (folder: string) =>
  world.disk.paths().filter((path) => path.startsWith(`${folder}/2`));
async function read(session: FakeSession): Promise<void> {
  session.mailbox.markRead(session.mailbox.unread().headers);
  await world.time.settle();
}
const refusal = (message: RegExp, hint?: string) => (error: unknown) => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.message, message);
  if (hint) assert.equal(error.hint, hint);
  return true;
};

test("a message is unread mail of its addressee until it is marked, and of nobody else", async () => {
  const { deliveries } = await send(ann, "bob");
  assert.deepEqual(
    deliveries.map(({ online }) => online.map(({ name }) => name)),
    [["bob"]],
  );
  await world.time.settle();
  assert.deepEqual([unread(bob), unread(ann)], [["news"], []]);
  await read(bob);
  assert.deepEqual(unread(bob), []);
  assert.match(world.disk.text("/ipc/read/bob") ?? "", /-ann-bob-news\.md\n$/);
});

test("a message to everyone is mail of all the others", async () => {
  const { deliveries } = await send(ann, "all");
  assert.equal(deliveries[0]?.header.type, "broadcast");
  await world.time.settle();
  assert.deepEqual([unread(ann), unread(bob)], [[], ["news"]]);
});

test("a session's own message to everyone is marked before the answer", async () => {
  await send(ann, "all");
  assert.match(world.disk.text("/ipc/read/ann") ?? "", /-ann-all-news\.md\n$/);
});

test("a session's own message to everyone is not its mail if the rename only seems to fail", async () => {
  const { files } = ann.system;
  const rename: typeof files.rename = (from, to) => {
    files.rename(from, to);
    if (to.endsWith(".md")) throw systemError("EIO");
  };
  Object.assign(ann.system, { files: { ...files, rename } });
  await assert.rejects(send(ann, "all"), refusal(/not known whether inbox\/.*\.md was stored/));
  await world.time.advance(5000);
  assert.deepEqual([unread(ann), unread(bob)], [[], ["news"]]);
});

test("a session that comes later does not get what was sent to everyone before", async () => {
  await send(ann, "all");
  const cleo = await startSession(world, "cleo");
  assert.deepEqual(unread(cleo), []);
  await send(ann, "all", { subject: "more" });
  await world.time.settle();
  assert.deepEqual(unread(cleo), ["more"]);
});

test("mail to everyone and to others is one message to everyone", async () => {
  const { deliveries } = await send(ann, "bob,all");
  assert.deepEqual(
    deliveries.map(({ header }) => header.to),
    ["all"],
  );
});

test("several recipients get a message each, and each session once", async () => {
  await startSession(world, "cleo");
  const { deliveries } = await send(ann, "bob,@Bob,cleo");
  assert.deepEqual(
    deliveries.map(({ header }) => header.to),
    ["bob", "cleo"],
  );
});

test("an earlier name of a session reaches it, once", async () => {
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  const { deliveries } = await send(ann, "bob,robert");
  assert.deepEqual(
    deliveries.map(({ header }) => header.to),
    ["bob"],
  );
  assert.deepEqual(
    deliveries[0]?.online.map(({ name }) => name),
    ["robert"],
  );
  await world.time.settle();
  assert.deepEqual(unread(bob), ["news"]);
});

for (const [what, to, fields, message, hint] of [
  ["an empty subject", "bob", { subject: " " }, /subject is empty/, undefined],
  [
    "a long subject",
    "bob",
    { subject: "x".repeat(201) },
    /201 characters, the limit is 200/,
    undefined,
  ],
  ["a long body", "bob", { body: "🎉".repeat(10_241) }, /10241 characters/, undefined],
  ["a NUL", "bob", { body: "\0" }, /NUL/, undefined],
  ["half a character", "bob", { subject: "\ud800" }, /half a character/, undefined],
  [
    "a name that is nobody's",
    "cleo",
    {},
    /no session named cleo has been here\. Online: bob/,
    "allow-unknown",
  ],
  ["a name like another", "bo-2", {}, /Did you mean bob/, "allow-unknown"],
  ["no name at all", "a b", {}, /cannot be a session's name/, "list-sessions"],
  ["its own name", "ann", {}, /is this session itself|means this session/, "list-sessions"],
  ["a reserved word", "user", { allowUnknown: true }, /cannot be a session's name/, undefined],
  [
    "a reply to nothing",
    "bob",
    { reply_to: "x.md" },
    /reply_to "x.md" is not a message/,
    "copy-file-name",
  ],
] as const) {
  test(`a message with ${what} is refused, and nothing is stored`, async () => {
    await assert.rejects(send(ann, to, fields), refusal(message, hint));
    assert.deepEqual(filesIn(FOLDER.inbox), []);
  });
}

test("texts at their limits are stored", async () => {
  await send(ann, "bob", { subject: "x".repeat(200), body: "🎉".repeat(10_240) });
  assert.equal(filesIn(FOLDER.inbox).length, 1);
});

test("one wrong recipient of several keeps all from being stored", async () => {
  await assert.rejects(send(ann, "bob,cleo"), refusal(/cleo/));
  assert.deepEqual(filesIn(FOLDER.inbox), []);
});

test("a message waits for a name that nobody has used if that is allowed", async () => {
  const { deliveries } = await send(ann, "cleo", { allowUnknown: true });
  assert.deepEqual(deliveries[0]?.online, []);
  const cleo = await startSession(world, "cleo");
  assert.deepEqual(unread(cleo), ["news"]);
});

test("a name that was used, or that mail is from, needs no allowance", async () => {
  await world.time.wait(bob.presence.leave());
  bob.inbox.close();
  assert.deepEqual((await send(ann, "BOB")).deliveries[0]?.header.to, "bob");
  world.disk.deliver = () => {}; // the event is lost
  world.disk.put(
    `${FOLDER.inbox}/20261122T150000000000-0a1b2c3d-dora-ann-x.md`,
    "---\nfrom: dora\nto: ann\n---\n",
  );
  assert.equal((await send(ann, "dora")).deliveries[0]?.header.to, "dora");
});

test("the same message again is refused for a minute, to the same recipient only", async () => {
  await send(ann, "bob");
  await assert.rejects(send(ann, "bob"), refusal(/went out 0 s ago \(2026.*\.md\)/));
  await assert.rejects(send(ann, "bob", { priority: "critical" }), refusal(/went out 0 s ago/));
  await send(ann, "bob", { body: "other" });
  await send(ann, "bob", { subject: "other" });
  await send(ann, "all");
  await send(bob, "ann");
  await world.time.advance(60_000);
  await assert.rejects(send(ann, "bob"), refusal(/60 s ago/));
  await world.time.advance(1);
  await send(ann, "bob");
});

test("two calls at once with the same message store it once", async () => {
  const results = await Promise.allSettled([send(ann, "bob"), send(ann, "bob")]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.equal(filesIn(FOLDER.inbox).length, 1);
});

test("a message that could not be stored can be sent again", async () => {
  ann.system.fault = (call) => {
    if (call === "create") throw systemError("ENOSPC");
  };
  await assert.rejects(send(ann, "bob"), refusal(/nothing was stored: ENOSPC/));
  ann.system.fault = undefined;
  await send(ann, "bob");
});

test("a partly stored message says what is stored, and only the rest can be sent again", async () => {
  const cleo = await startSession(world, "cleo");
  await startSession(world, "dora");
  let renames = 0;
  ann.system.fault = (call, path) => {
    if (call === "rename" && path.includes(".tmp-") && ++renames === 2) throw systemError("ENOSPC");
  };
  await assert.rejects(
    send(ann, "bob,cleo,dora"),
    refusal(/Sent in part: stored for bob \(.*\.md\); not stored for the other 2: ENOSPC/),
  );
  ann.system.fault = undefined;
  await assert.rejects(send(ann, "bob"), refusal(/Not sent again/));
  await send(ann, "cleo,dora");
  await world.time.settle();
  assert.deepEqual([unread(bob), unread(cleo)], [["news"], ["news"]]);
});

for (const [renames, message] of [
  [1, /not known whether inbox\/.*\.md was stored/],
  [2, /stored for bob \(.*\); unknown for inbox\/.*\.md; not stored for the other 1/],
  [3, /stored for bob \(.*\), cleo \(.*\); unknown for inbox\/[^;]*\.md: EIO/],
] as const) {
  test(`a network failure at rename ${renames} of 3 is said as it is`, async () => {
    for (const name of ["cleo", "dora"]) await startSession(world, name);
    let left = renames as number;
    ann.system.fault = (call, path) => {
      if (call === "rename" && path.includes(".tmp-") && --left === 0) throw systemError("EIO");
    };
    await assert.rejects(send(ann, "bob,cleo,dora"), refusal(message));
  });
}

test("a folder that does not answer is said, and nothing is sent", async () => {
  ann.system.fault = (call) => {
    if (call === "create") throw systemError("ETIMEDOUT");
  };
  await assert.rejects(send(ann, "bob"), refusal(/does not answer.*mount it again/));
});

test("messages of ten minutes are counted, a broadcast once for each session", async () => {
  const cleo = await startSession(world, "cleo");
  assert.equal((await send(ann, "bob", { body: "1" })).recentCount, 1);
  assert.equal((await send(ann, "all", { body: "2" })).recentCount, 3);
  await world.time.advance(600_000);
  assert.equal((await send(ann, "bob,cleo", { body: "3" })).recentCount, 5);
  await world.time.advance(1);
  assert.equal((await send(ann, "bob", { body: "4" })).recentCount, 3);
  assert.equal((await send(cleo, "bob")).recentCount, 1);
});

test("unread mail comes by priority, and then in the order of sending", async () => {
  for (const priority of ["low", "normal", "critical", "high", "normal", "critical"] as const) {
    await send(ann, "bob", { subject: `${priority} ${filesIn(FOLDER.inbox).length}`, priority });
  }
  world.disk.put(
    `${FOLDER.inbox}/29990101T150000000000-0a1b2c3d-dora-bob-x.md`,
    "---\nfrom: dora\nto: bob\nsubject: odd\npriority: soon\n---\n",
  );
  assert.deepEqual(unread(bob), [
    "critical 2",
    "critical 5",
    "high 3",
    "normal 1",
    "normal 4",
    "odd",
    "low 0",
  ]);
});

test("a file that cannot be read just now is reported with the unread mail", async () => {
  await send(ann, "bob");
  const fresh = await startSession(world, undefined);
  bob.system.fault = undefined;
  await world.time.settle();
  world.disk.put(
    `${FOLDER.inbox}/20261122T160000000000-0a1b2c3d-dora-bob-x.md`,
    "---\nfrom: dora\nto: bob\n---\n",
  );
  bob.system.fault = (call, path) => {
    if (call === "read" && path.includes("dora")) throw systemError("EIO");
  };
  const { headers, unreadable } = bob.mailbox.unread();
  assert.deepEqual(
    [headers.length, unreadable.map(({ file }) => file.slice(-15))],
    [1, ["-dora-bob-x.md"].map((f) => `d${f}`)],
  );
  assert.deepEqual(fresh.mailbox.unread().unreadable, []);
});

test("nothing is read or sent while it is unknown who holds the names", async () => {
  world.disk.put(FOLDER.heartbeats, `${world.disk.text(FOLDER.heartbeats)} `);
  ann.system.fault = (call, path) => {
    if (call === "read" && path === FOLDER.heartbeats) throw systemError("EIO");
  };
  assert.throws(() => ann.mailbox.unread(), refusal(/does not answer/));
  await assert.rejects(send(ann, "bob"), refusal(/does not answer/));
});

test("a session that has just lost its name does not send under it", async () => {
  world.disk.erase(FOLDER.heartbeats);
  await startSession(world, "ann");
  const { deliveries } = await send(ann, "all");
  assert.match(deliveries[0]?.header.from ?? "", /^shop-/);
});

test("an inbox that cannot be listed is never taken for empty", () => {
  for (const [code, message] of [
    ["EIO", /does not answer/],
    ["EACCES", /EACCES.*Fix the problem/],
  ] as const) {
    ann.system.fault = (call) => {
      if (call === "list") throw systemError(code);
    };
    assert.throws(() => ann.mailbox.unread(), refusal(message));
    assert.throws(() => ann.mailbox.unreadOf("bob"), refusal(message));
    assert.throws(() => ann.mailbox.find("x.md", "file"), refusal(message));
    assert.throws(() => ann.mailbox.deliveryStatus([]), refusal(message));
  }
});

test("another session's mail is shown and stays unread, by any spelling of its name", async () => {
  await send(ann, "bob");
  for (const name of ["bob", "@BOB"]) {
    const { headers, name: meant } = ann.mailbox.unreadOf(name);
    assert.deepEqual([headers.length, meant], [1, "bob"]);
  }
  assert.deepEqual(unread(bob), ["news"]);
});

test("mail of an earlier name is shown as that of the session", async () => {
  await send(ann, "bob");
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  const { headers, name } = ann.mailbox.unreadOf("bob");
  assert.deepEqual([headers.length, name], [1, "robert"]);
});

test("nobody's mail is refused and not called empty", () => {
  assert.throws(
    () => ann.mailbox.unreadOf("cleo"),
    refusal(/nobody.*"cleo".*ann, bob/, "list-sessions"),
  );
});

test("an offline session's mail is shown", async () => {
  await world.time.wait(bob.presence.leave());
  await send(ann, "bob");
  assert.equal(ann.mailbox.unreadOf("bob").headers.length, 1);
});

test("a mark counts for the names the session had when it was shown the message", async () => {
  await send(ann, "bob");
  await world.time.settle();
  const { headers } = bob.mailbox.unread();
  const { names } = bob.presence;
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  bob.mailbox.markRead(headers, names);
  await world.time.settle();
  assert.deepEqual(unread(bob), []);
  assert.match(world.disk.text("/ipc/read/bob") ?? "", /-ann-bob-news/);
  assert.doesNotMatch(world.disk.text("/ipc/read/robert") ?? "", /news/);
});

test("what was read under an earlier name is read", async () => {
  const { deliveries } = await send(ann, "all");
  await world.time.settle();
  await read(bob);
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  assert.deepEqual(unread(bob), []);
  assert.equal(ann.mailbox.hasBeenRead(named("robert"), deliveries[0]?.header.file ?? ""), true);
});

test("mail stays unread under a name whose former holder has read it", async () => {
  const former = await startSession(world, "robert", fakeAgent({ open: "c2" }));
  await send(ann, "all", { subject: "old" });
  const cleo = await startSession(world, "cleo", fakeAgent({ open: "c1" }));
  await send(ann, "all");
  await read(former);
  await world.time.wait(former.presence.leave());
  await world.time.wait(cleo.presence.rename(named("robert"), undefined));
  await world.time.settle();
  assert.deepEqual(unread(cleo), ["news"]);
  await world.time.wait(cleo.presence.leave());
  const again = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  assert.deepEqual([again.presence.name, unread(again)], ["robert", ["news"]]);
});

/** Another conversation takes the name robert, reads a message to everyone, and ends. */
async function readAsRobert(): Promise<void> {
  const former = await startSession(world, undefined, fakeAgent({ open: "c2" }));
  await world.time.wait(former.presence.rename(named("robert"), undefined));
  await send(ann, "all");
  await read(former);
  await world.time.wait(former.presence.leave());
}

test("a name that the user gives a session hides no mail by another conversation's marks", async () => {
  const agent = fakeAgent({ open: "c1" });
  const cleo = await startSession(world, undefined, agent);
  await readAsRobert();
  agent.given = "robert";
  await world.time.wait(cleo.presence.onCall());
  await world.time.settle();
  assert.deepEqual([cleo.presence.name, unread(cleo)], ["robert", ["news"]]);
});

test("a name that a conversation gets back hides no mail by another one's marks", async () => {
  const former = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  await world.time.wait(former.presence.rename(named("robert"), undefined));
  await world.time.settle();
  await world.time.wait(former.presence.leave());
  await readAsRobert();
  const again = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  assert.deepEqual([again.presence.name, unread(again)], ["robert", ["news"]]);
});

test("mail that cannot be read when its name is taken is not hidden either", async () => {
  const cleo = await startSession(world, undefined, fakeAgent({ open: "c1" }));
  await readAsRobert();
  cleo.system.fault = (call, path) => {
    if (call === "read" && path.startsWith(FOLDER.inbox)) throw systemError("EIO");
  };
  await world.time.wait(cleo.presence.rename(named("robert"), undefined));
  await world.time.settle();
  assert.match(cleo.mailbox.unread().unreadable[0]?.file ?? "", /-ann-all-news\.md$/);
  cleo.system.fault = undefined;
  assert.deepEqual(unread(cleo), ["news"]);
});

test("how far a long message was shown is kept over restarts", async () => {
  const { deliveries } = await send(ann, "bob");
  const file = deliveries[0]?.header.file ?? "";
  bob.mailbox.markPart(file, 2);
  assert.equal(bob.mailbox.partsShown(file), 2);
  await world.time.settle();
  await world.time.wait(bob.presence.leave());
  bob.inbox.close();
  const again = await startSession(world, "bob");
  assert.equal(again.mailbox.partsShown(file), 2);
  assert.equal(again.mailbox.partsShown("other.md"), 0);
});

test("marks that wait are written at the end", async () => {
  await send(ann, "bob");
  await world.time.settle();
  world.lock.held.add("/ipc/read/bob");
  await read(bob);
  world.lock.held.clear();
  await world.time.wait(bob.mailbox.close());
  assert.match(world.disk.text("/ipc/read/bob") ?? "", /news/);
});

test("no read file is locked any more once the mailbox is closed", async () => {
  await send(ann, "bob");
  await world.time.settle();
  let locks = 0;
  const { clock, withLock } = bob.system;
  const slowLock: typeof withLock = async (path, work) => {
    locks++;
    await clock.nextTurn();
    return withLock(path, work).finally(() => locks--);
  };
  Object.assign(bob.system, { withLock: slowLock });
  bob.mailbox.markRead(bob.mailbox.unread().headers);
  assert.equal(await world.time.wait(bob.mailbox.close().then(() => locks)), 0);
});

test("a name that is taken hides no mail by its former marks, and brings no mail of one's own", async () => {
  const cleo = await startSession(world, "cleo", fakeAgent({ open: "c1" }));
  const dan = await startSession(world, "dan", fakeAgent({ open: "c2" }));
  await send(ann, "all");
  await send(dan, "all", { subject: "own" });
  await world.time.settle();
  await read(cleo);
  await world.time.wait(cleo.presence.leave());
  await world.time.wait(dan.presence.rename(named("cleo"), undefined));
  await world.time.settle();
  assert.deepEqual(unread(dan), ["news"]);
});

test("a file may be unread if none of the names has read it", async () => {
  const { deliveries } = await send(ann, "bob");
  const file = deliveries[0]?.header.file ?? "";
  await world.time.settle();
  assert.equal(bob.mailbox.mayBeUnread(file), true);
  await read(bob);
  assert.equal(bob.mailbox.mayBeUnread(file), false);
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  assert.equal(bob.mailbox.mayBeUnread(file), false, "it was read under the name before");
  assert.equal(bob.mailbox.areMarksKnown, true);
  bob.system.fault = (_call, path) => {
    if (path === "/ipc/read/robert") throw systemError("EIO");
  };
  assert.equal(bob.mailbox.mayBeUnread(file), false);
  assert.equal(bob.mailbox.areMarksKnown, false, "those of one name are not");
});

test("a session finds the messages that it sent or received, and no others", async () => {
  const { deliveries } = await send(ann, "bob");
  const file = deliveries[0]?.header.file ?? "";
  const cleo = await startSession(world, "cleo");
  for (const session of [ann, bob]) assert.equal(session.mailbox.find(file, "x").body, "hi");
  assert.throws(() => cleo.mailbox.find(file, "file"), refusal(/^file ".*" is not a message that/));
  assert.equal(cleo.mailbox.findAnswered(file), undefined);
  assert.equal(bob.mailbox.findAnswered(file)?.body, "hi");
  bob.inbox.archive(file);
  assert.equal(bob.mailbox.find(file, "x").isArchived, true);
  const all = (await send(ann, "all")).deliveries[0]?.header.file ?? "";
  assert.equal(cleo.mailbox.find(all, "x").body, "hi");
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  assert.equal(bob.mailbox.find(file, "x").body, "hi", "sent to an earlier name");
});

test("the start of a file name is enough if one message begins like that", async () => {
  const { deliveries } = await send(ann, "bob");
  const file = deliveries[0]?.header.file ?? "";
  assert.equal(ann.mailbox.find(file.slice(0, 40), "x").header.file, file);
  await send(ann, "bob", { body: "another" });
  for (const text of ["2026", "inbox/"]) {
    assert.throws(() => ann.mailbox.find(text, "x"), refusal(/" is not a message/));
  }
});

test("a reply names the message that it answers, and is counted", async () => {
  const { deliveries } = await send(ann, "bob");
  const file = deliveries[0]?.header.file ?? "";
  const reply = await send(bob, "ann", { reply_to: `inbox/${file}` });
  assert.equal(reply.deliveries[0]?.header.reply_to, file);
  assert.equal(ann.mailbox.answersTo(file), 1);
  assert.equal(ann.mailbox.answersTo("x"), 0);
});

test("an escalation is stored as one", async () => {
  await startSession(world, "cleo");
  const { deliveries } = await send(ann, "bob,cleo", { escalate: true });
  assert.deepEqual(
    deliveries.map(({ header }) => header.type),
    ["escalation", "escalation"],
  );
});

test("what became of a sender's mail is told for each session and each offline name", async () => {
  await startSession(world, "cleo");
  await send(ann, "bob", { subject: "1" });
  await send(ann, "all", { subject: "2" });
  await send(ann, "dora", { subject: "3", allowUnknown: true });
  await send(bob, "cleo", { subject: "not ann's" });
  await read(bob);
  await send(ann, "bob", { subject: "4" });
  const { sessions, offline } = ann.mailbox.deliveryStatus(ann.heartbeats.online());
  const told = (
    status: ReadonlyMap<
      string,
      { sent: readonly object[]; unread: readonly { subject: string }[] }
    >,
  ) =>
    [...status].map(([name, { sent, unread }]) => [
      name,
      sent.length,
      unread.map((h) => h.subject),
    ]);
  assert.deepEqual(told(sessions), [
    ["ann", 1, []],
    ["bob", 3, ["4"]],
    ["cleo", 1, ["2"]],
  ]);
  assert.deepEqual(told(offline), [["dora", 1, ["3"]]]);
});

test("mail to an earlier name of a session that is online is not mail to an offline name", async () => {
  await send(ann, "bob");
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  const { sessions, offline } = ann.mailbox.deliveryStatus(ann.heartbeats.online());
  assert.deepEqual([...offline.keys()], []);
  assert.equal(sessions.get("robert")?.unread.length, 1);
});

test("a name is abandoned if it was used here, over an hour ago, and has direct mail", async () => {
  await send(ann, "bob");
  await send(ann, "all");
  bob.inbox.close();
  await world.time.wait(bob.presence.leave());
  world.processes.running.delete(bob.system.processes.pid);
  const abandoned = (folder: string) => ann.mailbox.abandonedIn(folder);
  await world.time.advance(HOUR);
  assert.deepEqual(abandoned("/work/shop"), []);
  await world.time.advance(1);
  assert.deepEqual(abandoned("/work/shop"), [{ name: "bob", unread: 1 }]);
  assert.deepEqual(abandoned("/work/other"), []);
  const again = await startSession(world, "bob");
  await world.time.advance(2 * HOUR);
  assert.deepEqual(abandoned("/work/shop"), [], "is online again");
  await read(again);
  again.inbox.close();
  await world.time.wait(again.presence.leave());
  await world.time.advance(2 * HOUR);
  assert.deepEqual(abandoned("/work/shop"), [], "has read its direct mail");
});

test("sessions in the folder of an offline name are those that work there now", async () => {
  await startSession(world, "cleo", fakeAgent({ cwd: "/work/other" }));
  await world.time.wait(bob.presence.leave());
  const names = (name: string) =>
    ann.mailbox.directory.sessionsInFolderOf(name).map((each) => each.name);
  assert.deepEqual(names("bob"), [], "the sender itself is not suggested");
  await startSession(world, "dora");
  assert.deepEqual(names("bob"), ["dora"]);
  assert.deepEqual(names("nobody"), []);
  world.disk.put("/ipc/note", "# folder /work/shop\n");
  assert.deepEqual(names("../note"), [], "not a name");
});

test("a name in use is noted, with when it appeared, its conversation and its folder", async () => {
  await startSession(world, "cleo", fakeAgent({ open: "c1" }));
  assert.match(
    world.disk.text("/ipc/read/cleo") ?? "",
    /^# since \d{8}T\d{12}\n# conversation c1\n# folder \/work\/shop\n$/,
  );
});
