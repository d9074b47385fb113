import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { UserError } from "../../src/core/errors.ts";
import { conversationDigits, uniqueName } from "../../src/core/naming.ts";
import type { WithLock } from "../../src/core/system.ts";
import {
  createSession,
  createWorld,
  entriesOf,
  type FakeSession,
  FOLDER,
  fakeAgent,
  named,
  startSession,
  systemOf,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

let world: World;
let pid: number;

beforeEach(() => {
  world = createWorld();
  pid = 100;
});

/** A program that has a conversation open, with one server. */
async function program(
  open: string | undefined,
  env?: string,
  agentPid = ++pid,
): Promise<FakeSession> {
  world.processes.running.set(agentPid, `start-${agentPid}`);
  return startSession(world, env, fakeAgent({ open, pid: agentPid }));
}
/** One more server of the same program. */
async function secondServer(first: FakeSession): Promise<FakeSession> {
  const session = await startSession(world, undefined, first.agent);
  await world.time.settle();
  return session;
}
/** The process ends without a word. */
function kill(session: FakeSession): void {
  world.processes.running.delete(session.system.processes.pid);
  session.inbox.close();
  void session.presence.leave();
}
async function leave(session: FakeSession): Promise<void> {
  session.inbox.close();
  await world.time.wait(session.presence.leave());
  world.processes.running.delete(session.system.processes.pid);
}
const names = ({ presence }: FakeSession) => [...presence.names] as string[];
const state = ({ presence }: FakeSession) => presence.state;
const listed = () => Object.keys(entriesOf(world)).sort();
const call = (session: FakeSession, isSubAgent = false) =>
  world.time.wait(session.presence.onCall(isSubAgent));
const rename = (session: FakeSession, name: string, workingOn?: string) =>
  world.time.wait(session.presence.rename(named(name), workingOn));
/** What conversations.json says of a conversation. */
const record = (id: string) => JSON.parse(world.disk.text(FOLDER.conversations) ?? "{}")[id];
/** Everybody has looked at the list, and beaten. */
const later = () => world.time.advance(40_000);

describe("a session that joins", () => {
  test("is listed with its process, its folder and its conversation", async () => {
    const ann = await startSession(
      world,
      "ann",
      fakeAgent({ open: "c1", pid: 7, client: "codex" }),
      { details: { version: "1" } },
    );
    const { timestamp, since, pid: own, beat, started, ...rest } = entriesOf(world).ann ?? {};
    assert.deepEqual(rest, {
      status: "active",
      working_on: "",
      host: "host",
      cwd: "/work/shop",
      names: [],
      borrowed: {},
      client: "codex",
      claude_pid: 7,
      claude_session: "c1",
      version: "1",
    });
    assert.equal(timestamp, "2026-11-22 15:30:00");
    assert.equal(since, ann.presence.since);
    assert.equal(own, ann.system.processes.pid);
    assert.equal(started, `start-${own}`);
    assert.ok(typeof beat === "number");
    assert.equal(state(ann), "active");
  });

  for (const [what, act] of [
    ["looks at the folder", () => world.time.advance(2000)],
    ["is called", (session: FakeSession) => call(session)],
  ] as const) {
    test(`does not join before the agent allows it, and then when it ${what}`, async () => {
      const agent = fakeAgent({ isAllowed: false });
      const ann = await startSession(world, "ann", agent);
      await call(ann);
      await assert.rejects(rename(ann, "bob"), /not on the list/);
      const { hasJoined, isReceiving, since } = ann.presence;
      assert.deepEqual([hasJoined, isReceiving, since, listed()], [false, false, undefined, []]);
      agent.isAllowed = true;
      await act(ann);
      assert.deepEqual([names(ann), listed()], [["ann"], ["ann"]]);
    });
  }

  test("yields to whoever has its name, in whatever spelling", async () => {
    await program("c1", "ann");
    const other = await program("c2", "ANN");
    assert.deepEqual(names(other), ["ANN-2"]);
    assert.equal(other.presence.lostName, undefined, "it has never had that name");
  });

  test("goes by its conversation's own name until it can claim one, and tries when called", async () => {
    world.lock.held.add(FOLDER.heartbeats);
    const ann = await program("c1", "ann");
    assert.equal(ann.presence.name, uniqueName("/work/shop", conversationDigits("c1")));
    assert.deepEqual([state(ann), ann.presence.isReceiving], ["joining", true]);
    world.lock.held.clear();
    await call(ann);
    assert.deepEqual([names(ann), world.log], [["ann"], []]);
  });

  test("announces that it receives mail though it could not enter the list", async () => {
    world.lock.held.add(FOLDER.heartbeats);
    const { presence } = createSession(world, fakeAgent({ open: "c1" }));
    const receiving: boolean[] = [];
    presence.on("change", () => receiving.push(presence.isReceiving));
    await world.time.wait(presence.join());
    assert.equal(receiving.at(-1), true);
  });

  test("keeps a name that it went by while it was called, since answers come to it", async () => {
    world.lock.held.add(FOLDER.heartbeats);
    const ann = await program("c1", "ann");
    const { name } = ann.presence;
    await call(ann);
    world.lock.held.clear();
    await later();
    assert.deepEqual(names(ann), ["ann", name]);
  });

  test("neither sends nor reads while the list cannot be read, and joins when it can", async () => {
    world.disk.put(FOLDER.heartbeats, "{}");
    const session = createSession(world, fakeAgent({ open: "c1" }));
    session.system.fault = (name) => {
      if (name === "read") throw systemError("EIO");
    };
    await world.time.wait(session.presence.join());
    assert.throws(() => session.presence.check(), UserError);
    world.log.length = 0;
    session.presence.tryCheck();
    assert.match(world.log.join(), /does not answer: EIO/);
    session.system.fault = undefined;
    await later();
    assert.equal(state(session), "active");
  });

  test("leaves the entries of others as they are", async () => {
    const original = { timestamp: "2026-11-22 15:30:00", status: "active", pid: 7, extra: [1] };
    world.processes.running.set(7, undefined);
    world.disk.put(FOLDER.heartbeats, JSON.stringify({ bob: original }));
    await program("c1", "bob");
    assert.deepEqual([listed(), entriesOf(world).bob], [["bob", "bob-2"], original]);
  });

  test("gets its own names once conversations.json can be read", async () => {
    const first = await program("c1");
    await rename(first, "ann");
    await leave(first);
    const session = createSession(world, fakeAgent({ open: "c1" }));
    session.system.fault = (name, path) => {
      if (name === "read" && path === FOLDER.conversations) throw systemError("EIO");
    };
    await world.time.wait(session.presence.join());
    assert.equal(state(session), "joining");
    session.system.fault = undefined;
    await later();
    assert.equal(names(session)[0], "ann");
  });

  test("repeats a beat that failed, with growing pauses", async () => {
    const ann = await program("c1", "ann");
    let tries = 0;
    ann.system.fault = (name, path) => {
      if (name === "create" && path.startsWith("/ipc/.tmp-")) {
        tries++;
        throw systemError("ENOSPC");
      }
    };
    ann.presence.update({ push: "channel" });
    await world.time.advance(120_000);
    assert.ok(tries > 5 && tries < 15, `${tries} tries`);
    assert.match(world.log.join("\n"), /heartbeat was not written: ENOSPC/);
    ann.system.fault = undefined;
    await world.time.advance(40_000);
    assert.equal(entriesOf(world).ann?.push, "channel");
  });
});

describe("a listed session", () => {
  test("beats every 30 seconds", async () => {
    await program("c1", "ann");
    const before = entriesOf(world).ann?.beat as number;
    await world.time.advance(30_000);
    assert.equal((entriesOf(world).ann?.beat as number) - before, 30_000);
  });

  test("tells others what has changed within two seconds, several changes at once", async () => {
    const ann = await program("c1", "ann");
    ann.presence.update({ push: "channel" });
    ann.presence.update({ push_note: "x" });
    await world.time.advance(2000);
    const { push, push_note } = entriesOf(world).ann ?? {};
    assert.deepEqual([push, push_note], ["channel", "x"]);
  });

  test("writes its new folder within two seconds after it has moved", async () => {
    const ann = await program("c1", "ann");
    ann.agent.cwd = "/work/other";
    ann.presence.check();
    await world.time.advance(2000);
    assert.equal(entriesOf(world).ann?.cwd, "/work/other");
  });

  test("announces its first call and writes it within two seconds, later ones with its next beat", async () => {
    const ann = await program("c1", "ann");
    const first = ann.system.clock.now();
    let changes = 0;
    ann.presence.on("change", () => changes++);
    const lastCall = () => entriesOf(world).ann?.last_call;
    for (const _ of ["first", "later"]) {
      await call(ann);
      await world.time.advance(2000);
      assert.deepEqual([lastCall(), changes], [first, 1]);
    }
    await world.time.advance(30_000);
    assert.equal(lastCall(), first + 2000);
  });

  test("writes nothing when it is given details that it has already", async () => {
    const ann = await program("c1", "ann");
    ann.presence.update({ push: "channel" });
    await world.time.advance(2000);
    const before = world.disk.text(FOLDER.heartbeats);
    ann.presence.update({ push: "channel" });
    await world.time.advance(2000);
    assert.equal(world.disk.text(FOLDER.heartbeats), before);
  });

  test("keeps what others have written into its entry", async () => {
    await program("c1", "ann");
    const entries = entriesOf(world);
    world.disk.put(FOLDER.heartbeats, JSON.stringify({ ann: { ...entries.ann, extra: 1 } }));
    await world.time.advance(30_000);
    assert.equal(entriesOf(world).ann?.extra, 1);
  });

  test("leaves the list when it leaves, and no sooner", async () => {
    const ann = await program("c1", "ann");
    const bob = await program("c2", "bob");
    await leave(ann);
    assert.deepEqual(listed(), ["bob"]);
    await later();
    assert.deepEqual([listed(), state(ann), state(bob)], [["bob"], "left", "active"]);
    await assert.rejects(rename(ann, "cleo"), /not on the list/);
    ann.presence.check();
    await world.time.wait(ann.presence.join());
    assert.deepEqual([listed(), state(ann)], [["bob"], "left"]);
  });

  test("has left for good, even while it finds another server of its session", async () => {
    await program("c1", "ann");
    const second = createSession(world, fakeAgent({ open: "c1", pid: ++pid }));
    const { withLock } = second.system;
    let left: Promise<void> | undefined;
    const leaveMeanwhile: WithLock = (path, work) => {
      left ??= second.presence.leave();
      return withLock(path, work);
    };
    Object.assign(second.system, { withLock: leaveMeanwhile });
    await world.time.wait(second.presence.join());
    await world.time.wait(left ?? Promise.reject());
    assert.equal(state(second), "left");
  });

  test("creates no folder if it leaves before it has joined", async () => {
    await world.time.wait(createSession(world).presence.leave());
    assert.deepEqual(world.disk.paths(), ["/"]);
  });

  test("writes nothing if it leaves before its first beat", async () => {
    const { presence } = createSession(world);
    void presence.join();
    await world.time.wait(presence.leave());
    assert.equal(world.disk.text(FOLDER.heartbeats), undefined);
  });

  test("is not on the list if it leaves while its entry is being written", async () => {
    const { presence, system } = createSession(world);
    let left: Promise<void> | undefined;
    system.fault = (name) => {
      if (name === "create") left ??= presence.leave();
    };
    await world.time.wait(presence.join());
    await left;
    assert.deepEqual([presence.state, listed()], ["left", []]);
  });

  test("keeps its names when the list is lost, unless somebody was faster", async () => {
    const ann = await program("c1", "ann");
    const bob = await program("c2", "bob");
    world.disk.erase(FOLDER.heartbeats);
    const other = createSession(world, fakeAgent({ open: "c3" }), {
      nameFromEnvironment: named("bob"),
    });
    await world.time.wait(other.presence.join());
    bob.presence.check();
    assert.match(bob.presence.name, /^shop-[0-9a-f]{12}$/, "the other one has the name by now");
    await later();
    assert.deepEqual([names(ann), names(other), names(bob)], [["ann"], ["bob"], ["bob-2"]]);
    assert.equal(state(bob), "active");
  });

  test("drops an earlier name that somebody else has taken meanwhile", async () => {
    const ann = await program("c1", "ann");
    await rename(ann, "api");
    const entries = entriesOf(world);
    // The Python original asks nobody.
    world.processes.running.set(7, undefined);
    world.disk.put(
      FOLDER.heartbeats,
      JSON.stringify({
        ...entries,
        ann: { timestamp: "2026-11-22 15:30:00", status: "active", pid: 7, working_on: "" },
      }),
    );
    ann.presence.check();
    assert.deepEqual(names(ann), ["api"]);
  });

  test("goes by another name if the original takes its name", async () => {
    const ann = await program("c1", "ann");
    world.processes.running.set(7, undefined);
    world.disk.put(
      FOLDER.heartbeats,
      '{"ann": {"timestamp": "2026-11-22 15:30:00", "status": "active", "pid": 7}}',
    );
    ann.presence.check();
    assert.match(ann.presence.name, /^shop-[0-9a-f]{12}$/);
    await later();
    assert.deepEqual(names(ann), ["ann-2"]);
    assert.deepEqual(ann.presence.lostName, { name: "ann", holder: "ann" });
    assert.equal(entriesOf(world).ann?.pid, 7);
  });

  test("announces each change of its names or its state once", async () => {
    const ann = await program("c1", "ann");
    let changes = 0;
    ann.presence.on("change", () => changes++);
    await later();
    assert.equal(changes, 0);
    await rename(ann, "api");
    assert.equal(changes, 1);
    await rename(ann, "API");
    assert.deepEqual([names(ann), changes], [["API", "ann"], 2]);
    world.lock.held.add(FOLDER.heartbeats);
    await later();
    assert.equal(changes, 2, "a beat that fails changes neither");
  });
});

describe("a rename", () => {
  test("takes the name and keeps the earlier one", async () => {
    const ann = await program("c1", "ann");
    await rename(ann, "api", "tests");
    const { api } = entriesOf(world);
    assert.deepEqual([names(ann), api?.names, api?.working_on], [["api", "ann"], ["ann"], "tests"]);
    assert.equal(ann.presence.workingOn, "tests");
    await rename(ann, "ANN");
    assert.deepEqual(names(ann), ["ANN", "api"]);
    assert.equal(ann.presence.workingOn, "tests", "is kept if none is given");
  });

  test("to a name that somebody holds is refused, and changes nothing", async () => {
    const ann = await program("c1", "ann");
    const bob = await program("c2", "bob");
    await rename(bob, "api");
    const before = world.disk.text(FOLDER.heartbeats);
    for (const name of ["api", "BOB"]) {
      await assert.rejects(rename(ann, name, "x"), /Not renamed, this session is still ann.*-2/);
    }
    assert.equal(world.disk.text(FOLDER.heartbeats), before);
    assert.deepEqual([names(ann), ann.presence.workingOn], [["ann"], ""]);
  });

  test("that cannot be written leaves everything as it was", async () => {
    const ann = await program("c1", "ann");
    ann.system.fault = (name, path) => {
      if (name === "create" && path.startsWith("/ipc/.tmp-")) throw systemError("ENOSPC");
    };
    await assert.rejects(rename(ann, "api", "x"), /still ann.*cannot be written: ENOSPC/);
    ann.system.fault = undefined;
    assert.deepEqual([names(ann), ann.presence.workingOn, listed()], [["ann"], "", ["ann"]]);
    await later();
    assert.deepEqual([listed(), entriesOf(world).ann?.working_on], [["ann"], ""]);
  });

  test("without the lock is refused", async () => {
    const ann = await program("c1", "ann");
    world.lock.held.add(FOLDER.heartbeats);
    await assert.rejects(rename(ann, "api"), /still ann.*locked/);
  });

  test("of a session that could not claim its name yet keeps that name", async () => {
    world.lock.held.add(FOLDER.heartbeats);
    const ann = await program("c1", "ann");
    world.lock.held.clear();
    await rename(ann, "api");
    assert.deepEqual([names(ann), state(ann)], [["api", "ann"], "active"]);
  });
});

describe("a conversation", () => {
  test("has its names again when it is opened, with what it worked on", async () => {
    const ann = await program("c1", "ann");
    await rename(ann, "api", "tests");
    await leave(ann);
    const again = await program("c1");
    assert.deepEqual([names(again), again.presence.workingOn], [["api", "ann"], "tests"]);
  });

  test("that somebody's set_name took a name from is told who has it", async () => {
    const ann = await program("c1");
    await rename(ann, "api");
    await leave(ann);
    const bob = await program("c2", "bob");
    await rename(bob, "api");
    const again = await program("c1");
    assert.deepEqual(again.presence.lostName, { name: "api", holder: "api" });
    assert.equal(names(again)[0], "api-2");
    assert.equal(ann.presence.lostName, undefined);
  });

  test("with names takes the place of the one before, and lets go of its names", async () => {
    const first = await program("c1");
    await rename(first, "ann");
    await leave(first);
    const session = await program("c2");
    await rename(session, "bob");
    session.agent.open = "c1";
    session.presence.check();
    assert.match(session.presence.name, /^shop-[0-9a-f]{12}$/, "not bob any more, not ann yet");
    assert.equal(session.presence.isReceiving, false);
    await call(session);
    assert.deepEqual([names(session)[0], listed()], ["ann", ["ann"]]);
    assert.ok(!names(session).includes("bob"));
    const other = await program("c2");
    assert.equal(names(other)[0], "bob");
  });

  test("that changes while its entry is being written is entered at the next beat", async () => {
    const first = await program("c1");
    await rename(first, "ann");
    await leave(first);
    const session = createSession(world, fakeAgent({ open: "c2" }));
    const joined = session.presence.join();
    session.agent.open = "c1";
    session.presence.check();
    await world.time.wait(joined);
    await later();
    assert.deepEqual([names(session)[0], state(session), listed()], ["ann", "active", ["ann"]]);
    assert.doesNotMatch(world.disk.text(FOLDER.conversations) ?? "", /"c2"/);
  });

  test("without names keeps those of the one before, which gets them back elsewhere", async () => {
    const cleared = await program("c1");
    await rename(cleared, "ann");
    await rename(cleared, "api");
    cleared.agent.open = "c2";
    await later();
    assert.deepEqual([names(cleared).slice(0, 2), state(cleared)], [["api", "ann"], "active"]);
    assert.equal(entriesOf(world).api?.claude_session, "c2");
    assert.doesNotMatch(world.disk.text(FOLDER.conversations) ?? "", /"c2"/);
    const resumed = await program("c1");
    assert.deepEqual(names(resumed).slice(0, 2), ["api", "ann"]);
    cleared.presence.check();
    assert.ok(!names(cleared).includes("api") && !names(cleared).includes("ann"));
    await later();
    assert.deepEqual([names(resumed).slice(0, 2), state(cleared)], [["api", "ann"], "active"]);
    assert.match(names(cleared)[0] ?? "", /^api-2$|^shop-/);
  });

  test("that takes a name for itself keeps it, and still gives back what it had borrowed", async () => {
    const cleared = await program("c1");
    await rename(cleared, "ann");
    cleared.agent.open = "c2";
    await later();
    await rename(cleared, "bob");
    assert.deepEqual(names(cleared).slice(0, 2), ["bob", "ann"]);
    const resumed = await program("c1");
    assert.equal(names(resumed)[0], "ann");
    assert.deepEqual(entriesOf(world).bob?.names, []);
    cleared.presence.check();
    assert.deepEqual([names(cleared), state(cleared)], [["bob"], "active"]);
    await leave(cleared);
    await leave(resumed);
    const c2 = await program("c2");
    assert.equal(names(c2)[0], "bob");
    assert.ok(!names(c2).includes("ann"));
  });

  test("keeps a borrowed name that it took with set_name", async () => {
    const cleared = await program("c1");
    await rename(cleared, "ann");
    cleared.agent.open = "c2";
    await later();
    await rename(cleared, "ann");
    const resumed = await program("c1");
    assert.deepEqual([names(cleared)[0], names(resumed)[0]], ["ann", "ann-2"]);
  });

  test("gets a name back as an earlier one if it goes by another by now", async () => {
    const cleared = await program("c1", "ann");
    cleared.agent.open = "c2";
    await later();
    const resumed = await program("c1");
    assert.deepEqual([names(resumed)[1], listed()], ["ann", [resumed.presence.name]]);
  });

  test("gets its names back through two others without names", async () => {
    const cleared = await program("c1");
    await rename(cleared, "ann");
    for (const open of ["c2", "c3"]) {
      cleared.agent.open = open;
      await later();
    }
    const resumed = await program("c1");
    assert.equal(names(resumed)[0], "ann");
  });

  test("that is known late keeps the name that others have seen", async () => {
    const session = await program(undefined);
    const before = session.presence.name;
    assert.equal(world.disk.text(FOLDER.conversations), undefined);
    session.agent.open = "c1";
    await later();
    assert.equal(names(session).length, 2);
    assert.equal(names(session)[1], before);
    session.agent.open = undefined;
    await later();
    assert.equal(session.presence.conversation, "c1", "is not forgotten");
  });

  test("in the background takes the names of the one it goes on with, once that has ended", async () => {
    const front = await program("c1");
    await rename(front, "ann");
    const back = await startSession(world, undefined, fakeAgent({ open: "c2", former: "c1" }));
    assert.ok(!names(back).includes("ann"));
    const own = back.presence.name;
    await leave(front);
    await later();
    assert.deepEqual(names(back), ["ann", names(front)[1], own]);
  });

  test("in the background takes them also if that ends while its entry is written", async () => {
    const front = await program("c1", "ann");
    const back = await startSession(world, undefined, fakeAgent({ open: "c2", former: "c1" }));
    back.inbox.close(); // it looks when its entry is written, and at no other time
    const { withLock } = back.system;
    const endMeanwhile: WithLock = async (path, work) => {
      const result = await withLock(path, work);
      await front.presence.leave();
      back.presence.check();
      return result;
    };
    Object.assign(back.system, { withLock: endMeanwhile });
    back.presence.update({ waiting: "input" });
    await later();
    assert.equal(names(back)[0], "ann");
  });

  test("in the background lets go of them when another conversation is opened", async () => {
    const other = await program("c5");
    const five = names(other)[0];
    await leave(other);
    const front = await program("c1");
    await rename(front, "ann");
    const back = await program("c2");
    back.agent.former = "c1";
    await leave(front);
    await later();
    assert.equal(names(back)[0], "ann");
    back.agent.open = "c5";
    await later();
    assert.deepEqual([names(back), record("c5").name], [[five], five]);
  });

  test("in the background leaves them to the original when the list is lost", async () => {
    const front = await program("c1");
    await rename(front, "ann");
    const back = await startSession(
      world,
      undefined,
      fakeAgent({ open: "c2", former: "c1", pid: ++pid }),
    );
    await later();
    world.disk.erase(FOLDER.heartbeats);
    back.presence.check();
    await later();
    assert.deepEqual([names(front)[0], names(back).includes("ann")], ["ann", false]);
  });

  test("in the background that was left does not take them to the next conversation", async () => {
    const front = await program("c1");
    await rename(front, "ann");
    const back = await startSession(
      world,
      undefined,
      fakeAgent({ open: "c2", former: "c1", pid: ++pid }),
    );
    const own = back.presence.name;
    back.agent.open = "c7";
    await later();
    await leave(front);
    await later();
    const resumed = await program("c2");
    assert.equal(names(resumed)[0], own);
  });

  test("in the background keeps a name that it took itself", async () => {
    const front = await program("c1");
    await rename(front, "ann");
    const back = await startSession(world, undefined, fakeAgent({ open: "c2", former: "c1" }));
    await rename(back, "bob");
    await leave(front);
    await later();
    assert.equal(names(back)[0], "bob");
  });

  test("in the background has its own name if the one it goes on with has none", async () => {
    const back = await startSession(world, undefined, fakeAgent({ open: "c2", former: "c1" }));
    await later();
    assert.deepEqual([state(back), names(back).length, world.log], ["active", 1, []]);
  });

  test("in the background asks once for a name that somebody has", async () => {
    await leave(await program("c1", "ann"));
    await program("c3", "ann");
    const back = await startSession(world, undefined, fakeAgent({ open: "c2", former: "c1" }));
    await later();
    assert.equal(names(back)[0], "ann-2");
    const writes = entriesOf(world)["ann-2"]?.beat;
    await world.time.advance(10_000);
    assert.equal(entriesOf(world)["ann-2"]?.beat, writes, "does not write again and again");
  });

  test("goes by its newest name when the list is lost, though that was not remembered", async () => {
    const ann = await program("c1", "ann");
    world.lock.held.add(FOLDER.conversations);
    await rename(ann, "api");
    world.disk.erase(FOLDER.heartbeats);
    await later();
    assert.deepEqual(names(ann), ["api", "ann"]);
  });

  test("keeps a borrowed name that it took with set_name in another spelling", async () => {
    const cleared = await program("c1");
    await rename(cleared, "ann");
    cleared.agent.open = "c2";
    await later();
    await rename(cleared, "ANN");
    const resumed = await program("c1");
    cleared.presence.check();
    assert.deepEqual([names(cleared)[0], names(resumed)[0]], ["ANN", "ann-2"]);
  });

  test("keeps a borrowed name that another server of it took with set_name", async () => {
    const first = await program("c1");
    await rename(first, "ann");
    first.agent.open = "c3";
    await later();
    const second = await program("c3");
    await world.time.advance(2000);
    await call(second);
    first.inbox.close();
    await rename(second, "ann");
    assert.equal(record("c3").name, "ann");
    await leave(second);
    await later();
    assert.equal(names(first)[0], "ann");
    const resumed = await program("c1");
    assert.equal(names(resumed)[0], "ann-2");
  });

  test("without names keeps those of the one before also if the serving server was killed", async () => {
    const first = await program("c1");
    await rename(first, "ann");
    const second = await secondServer(first);
    await world.time.advance(2000);
    assert.equal(state(first), "replaced");
    first.agent.open = "c2";
    kill(second);
    await later();
    assert.equal(names(first)[0], "ann");
  });

  /** A second server of c1 is called in the next conversation, and cannot change the list yet. */
  async function blockedInNext(conversation: string): Promise<FakeSession> {
    const first = await program("c1");
    await rename(first, "ann");
    const second = await secondServer(first);
    await later();
    await call(first);
    second.presence.check();
    first.inbox.close();
    first.agent.open = conversation;
    world.lock.held.add(FOLDER.heartbeats);
    await call(second);
    world.lock.held.clear();
    return second;
  }

  test("without names has only the name that a second server takes for it", async () => {
    await rename(await blockedInNext("c2"), "bob");
    assert.deepEqual(record("c2").names, []);
    const resumed = await program("c1");
    assert.equal(names(resumed)[0], "ann");
  });

  test("with names keeps them when a second server renames it", async () => {
    const six = await program("c6");
    await rename(six, "mail");
    await leave(six);
    const second = await blockedInNext("c6");
    await rename(second, "bob");
    assert.ok(names(second).includes("mail"), names(second).join());
    assert.ok(!names(second).includes("ann"), names(second).join());
  });

  test("goes by its newest name when the list is lost, though the record could not be read", async () => {
    const ann = await program("c1", "ann");
    ann.system.fault = (name, path) => {
      if (name === "stat" && path === FOLDER.conversations) throw systemError("EIO");
    };
    await rename(ann, "api");
    ann.system.fault = undefined;
    world.disk.erase(FOLDER.heartbeats);
    await later();
    assert.deepEqual(names(ann), ["api", "ann"]);
  });

  test("that is opened during a rename refuses it", async () => {
    const other = await program("c2");
    await rename(other, "bob");
    await leave(other);
    const ann = await program("c1", "ann");
    const { withLock } = ann.system;
    const meanwhile: WithLock = async (path, work) => {
      const result = await withLock(path, work);
      if (path === FOLDER.heartbeats) {
        ann.agent.open = "c2";
        ann.presence.check();
      }
      return result;
    };
    Object.assign(ann.system, { withLock: meanwhile });
    await assert.rejects(rename(ann, "api"));
  });

  test("does not take the name of an entry of the original when it gives one back", async () => {
    const cleared = await program("c1");
    await rename(cleared, "api");
    await rename(cleared, "ann");
    cleared.agent.open = "c2";
    await later();
    cleared.inbox.close();
    world.processes.running.set(7, undefined);
    const original = { timestamp: "2026-11-22 15:30:00", status: "active", pid: 7, working_on: "" };
    world.disk.put(FOLDER.heartbeats, JSON.stringify({ ...entriesOf(world), api: original }));
    await program("c1");
    assert.equal(entriesOf(world).api?.pid, 7);
  });

  test("of a run that nobody watches leaves no name unless a tool was called", async () => {
    const agent = fakeAgent({ open: "c1", details: { unattended: true } });
    const run = await startSession(world, "ann", agent);
    assert.equal(world.disk.text(FOLDER.conversations), undefined);
    assert.equal(entriesOf(world).ann?.unattended, true);
    await call(run);
    await world.time.advance(30_000);
    assert.match(world.disk.text(FOLDER.conversations) ?? "", /"ann"/);
  });

  test("of a run that nobody watches goes on under the run's name if the list is lost", async () => {
    await leave(await program("c1", "ann"));
    const agent = fakeAgent({ open: "c1", details: { unattended: true } });
    const run = await startSession(world, "bob", agent);
    world.disk.erase(FOLDER.heartbeats);
    await later();
    assert.deepEqual(names(run), ["bob", "ann"]);
  });

  test("is remembered again when that failed, and once a day", async () => {
    world.lock.held.add(FOLDER.conversations);
    await program("c1", "ann");
    assert.match(world.log.join("\n"), /conversations.json was not written: .*locked/);
    world.lock.held.clear();
    await world.time.advance(30_000);
    const seen = () => JSON.parse(world.disk.text(FOLDER.conversations) ?? "{}").c1?.seen;
    const first = seen();
    assert.ok(first);
    await world.time.advance(60_000);
    assert.equal(seen(), first);
    await world.time.advance(24 * 3_600_000);
    assert.ok(seen() > first);
  });
});

describe("the user's name for a session", () => {
  test("is followed while nobody has set another", async () => {
    const session = await program("c1");
    const own = session.presence.name;
    session.agent.given = "my app";
    await world.time.advance(3000);
    assert.deepEqual(names(session), ["my-app", own]);
    session.agent.given = "my"; // a beginning of the old name, and too short
    await world.time.advance(3000);
    assert.equal(names(session)[0], "session-my");
    await rename(session, "ann");
    session.agent.given = "other";
    await later();
    assert.equal(names(session)[0], "ann");
  });

  test("is not followed if the environment names the session", async () => {
    const session = await program("c1", "env");
    session.agent.given = "other";
    await later();
    assert.deepEqual(names(session), ["env"]);
  });

  test("is asked for once if somebody has it", async () => {
    await program("c1", "app");
    const session = await program("c2");
    session.agent.given = "app";
    await later();
    assert.equal(names(session)[0], "app-2");
    assert.deepEqual(world.log, ["the name app is taken: this session is app-2"]);
  });
});

describe("two servers of one session", () => {
  test("are one entry: a new server takes over, and the older one is replaced", async () => {
    const first = await program("c1", "ann");
    await rename(first, "api", "tests");
    const second = await secondServer(first);
    await world.time.advance(2000);
    assert.deepEqual([state(first), state(second)], ["replaced", "active"]);
    assert.deepEqual(
      [names(second), names(first)],
      [
        ["api", "ann"],
        ["api", "ann"],
      ],
    );
    assert.deepEqual([listed(), second.presence.workingOn], [["api"], "tests"]);
    assert.equal(entriesOf(world).api?.pid, second.system.processes.pid);
    assert.deepEqual([first.presence.isReceiving, second.presence.isReceiving], [false, true]);
    await rename(second, "web");
    first.presence.check();
    assert.deepEqual([state(first), names(first)], ["replaced", ["web", "api", "ann"]]);
  });

  test("are one entry once both have beaten, though the older one has not looked", async () => {
    const agent = fakeAgent({ open: "c1", pid: 7 });
    const [first, second] = [createSession(world, agent), createSession(world, agent)];
    await world.time.wait(first.presence.join());
    await world.time.wait(second.presence.join());
    await world.time.advance(30_000);
    assert.deepEqual([state(first), state(second)], ["replaced", "active"]);
    for (const session of [first, second]) {
      await call(session);
      await world.time.advance(1);
    }
    await world.time.advance(30_000);
    assert.deepEqual([state(first), state(second)], ["replaced", "active"]);
  });

  test("announce no message twice, however one takes over from the other", async () => {
    const before = "20261122T150000000000-0a1b2c3d-bob-ann-x.md";
    const others = "20261122T150000000000-0a1b2c3d-bob-cleo-x.md";
    for (const file of [before, others]) world.disk.put(`${FOLDER.inbox}/${file}`, "");
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    await later();
    assert.deepEqual([...second.presence.announcedBefore], [before]);
    first.presence.check();
    await rename(first, "api");
    assert.deepEqual([...first.presence.announcedBefore], [before]);
  });

  test("change places only when the inbox can be listed", async () => {
    const first = await program("c1", "ann");
    const second = createSession(world, first.agent);
    second.system.fault = (call, path) => {
      if (call === "list" && path === FOLDER.inbox) throw systemError("EIO");
    };
    await world.time.wait(second.presence.join());
    assert.deepEqual([state(first), state(second)], ["active", "joining"]);
    second.system.fault = undefined;
    await later();
    first.presence.check();
    assert.deepEqual([state(first), state(second)], ["replaced", "active"]);
  });

  test("let go of a name that the original takes, also the replaced one", async () => {
    const first = await program("c1", "ann");
    await rename(first, "api");
    await secondServer(first);
    await later();
    first.presence.check();
    assert.deepEqual([state(first), names(first)], ["replaced", ["api", "ann"]]);
    world.processes.running.set(7, undefined);
    const original = { timestamp: "2026-11-22 15:30:00", status: "active", pid: 7 };
    world.disk.put(FOLDER.heartbeats, JSON.stringify({ ...entriesOf(world), ann: original }));
    first.presence.check();
    assert.deepEqual([state(first), names(first)], ["replaced", ["api"]]);
  });

  test("serve by turns: the latest call wins, if it is not a sub-agent's", async () => {
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    await later();
    await call(first, true);
    assert.equal(state(first), "replaced");
    await call(first);
    assert.deepEqual(state(first), "active");
    assert.deepEqual(
      [second, first].map(({ presence }) => presence.hasInterrupted),
      [false, true],
    );
    second.presence.check();
    assert.deepEqual([state(second), listed()], ["replaced", ["ann"]]);
    await later();
    assert.deepEqual([state(first), state(second)], ["active", "replaced"]);
  });

  test("keep what was set by the other", async () => {
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    await rename(second, "api", "tests");
    await call(first);
    assert.deepEqual([names(first), first.presence.workingOn], [["api", "ann"], "tests"]);
    await leave(first);
    await leave(second);
    assert.equal(names(await program("c1"))[0], "api", "and it still was set_name that took it");
  });

  test("follow each other when one ends, orderly or not", async () => {
    for (const end of [leave, kill]) {
      const first = await program(`c-${end.name}`, end.name);
      const second = await secondServer(first);
      await later();
      await end(second);
      await later();
      assert.deepEqual([state(first), names(first)], ["active", [end.name]]);
    }
  });

  test("stay two when the list is lost: the one that served goes on", async () => {
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    await later();
    await call(first, true);
    world.disk.erase(FOLDER.heartbeats);
    for (const { presence } of [second, first]) presence.check();
    await later();
    assert.deepEqual([state(first), state(second), listed()], ["replaced", "active", ["ann"]]);
  });

  test("are one entry again after an entry of the replaced one has come back", async () => {
    const agent = fakeAgent({ open: "c1", pid: 7 });
    const [first, second] = [createSession(world, agent), createSession(world, agent)];
    await world.time.wait(first.presence.join());
    const former = entriesOf(world);
    await world.time.wait(second.presence.join());
    await rename(second, "ann");
    first.presence.check();
    world.disk.put(FOLDER.heartbeats, JSON.stringify({ ...former, ...entriesOf(world) }));
    await world.time.advance(30_000);
    assert.deepEqual([state(first), state(second), listed()], ["replaced", "active", ["ann"]]);
  });

  test("take over with the call even if the list is locked at that moment", async () => {
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    await later();
    world.lock.held.add(FOLDER.heartbeats);
    await call(first);
    assert.equal(state(first), "replaced");
    world.lock.held.clear();
    await later();
    assert.deepEqual([state(first), state(second)], ["active", "replaced"]);
  });

  test("are each what the conversation is, if the new one starts after it has changed", async () => {
    const resumed = await program("c2");
    await rename(resumed, "bob");
    await leave(resumed);
    for (const [open, expected] of [
      ["c2", "bob"],
      ["c3", "ann"],
    ] as const) {
      const first = await program("c1");
      await rename(first, "ann");
      first.agent.open = open;
      const session = createSession(world, first.agent);
      await world.time.wait(session.presence.join());
      assert.equal(names(session)[0], expected);
      await leave(first);
      await leave(session);
    }
    assert.equal(names(await program("c1"))[0], "ann");
  });

  test("take the conversation's names with the new one, if the other did not know them yet", async () => {
    const former = await program("c1");
    await rename(former, "api");
    await leave(former);
    const first = await program(undefined, "ann");
    first.inbox.close();
    first.agent.open = "c1";
    const second = await secondServer(first);
    assert.deepEqual(names(second), ["api", "shop-d0f6", "ann"]);
    assert.match(world.disk.text(FOLDER.conversations) ?? "", /"c1": \{\s+"name": "api"/);
  });

  test("do not both announce mail while the new one cannot enter the list", async () => {
    const first = await program("c1", "ann");
    world.lock.held.add(FOLDER.heartbeats);
    const second = await secondServer(first);
    second.presence.check();
    assert.deepEqual([first.presence.isReceiving, second.presence.isReceiving], [true, false]);
    world.lock.held.clear();
    await later();
    assert.deepEqual([first.presence.isReceiving, second.presence.isReceiving], [false, true]);
  });

  test("serve by turns, and a sub-agent's call does not undo the session's", async () => {
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    await later();
    world.lock.held.add(FOLDER.heartbeats);
    await call(first);
    await call(first, true);
    world.lock.held.clear();
    await later();
    assert.deepEqual([state(first), state(second)], ["active", "replaced"]);
  });

  for (const by of ["set_name", "environment"]) {
    test(`keep a name by ${by} in the next conversation, whatever the user calls it`, async () => {
      const first = await program("c1", by === "environment" ? "ann" : undefined);
      if (by === "set_name") await rename(first, "ann");
      first.agent.given = "app";
      first.agent.open = "c2";
      await later();
      const second = await secondServer(first);
      await later();
      assert.deepEqual([names(first)[0], names(second)[0]], ["ann", "ann"]);
    });
  }

  test("take the names of the next conversation, whichever of them is called first", async () => {
    const other = await program("c2");
    await rename(other, "bob");
    await leave(other);
    const first = await program("c1", "ann");
    const second = await secondServer(first);
    second.inbox.close();
    first.agent.open = "c2";
    await call(first);
    assert.deepEqual([state(first), names(first)[0]], ["active", "bob"]);
  });

  test("both follow when the conversation in their program changes", async () => {
    const other = await program("c2");
    await rename(other, "bob");
    await leave(other);
    const first = await program("c1", undefined);
    const second = await secondServer(first);
    await later();
    first.agent.open = "c2";
    await later();
    assert.deepEqual([state(first), state(second)], ["replaced", "active"]);
    assert.deepEqual([names(second)[0], names(first)[0]], ["bob", "bob"]);
  });
});

describe("two programs with one conversation", () => {
  test("are one session: the one that was called last", async () => {
    const first = await program("c1", "ann");
    const second = await program("c1");
    let writes = 0;
    second.system.fault = (name) => {
      if (name === "create") writes++;
    };
    await later();
    assert.deepEqual([state(first), state(second), listed()], ["active", "replaced", ["ann"]]);
    assert.equal(writes, 0, "the replaced one does not beat");
    await call(second);
    await later();
    assert.deepEqual([state(first), state(second), listed()], ["replaced", "active", ["ann"]]);
    assert.equal(second.presence.announcedBefore.size, 0, "its program was told nothing yet");
    await leave(second);
    await later();
    assert.deepEqual([state(first), names(first)], ["active", ["ann"]]);
  });

  test("let the one go on that had the conversation first, when the other resumes it", async () => {
    const first = await program("c1", "ann");
    const second = await program("c2", "bob");
    second.agent.open = "c1";
    await later();
    assert.deepEqual([state(first), state(second), listed()], ["active", "replaced", ["ann"]]);
  });

  test("let the one go on when the other's conversation had no names either", async () => {
    const first = await program("c1", "ann");
    first.agent.open = "c3";
    await later();
    const second = await program("c2");
    await rename(second, "bob");
    second.agent.open = "c3";
    await later();
    assert.deepEqual([state(first), state(second), listed()], ["active", "replaced", ["ann"]]);
    const resumed = await program("c2");
    assert.equal(names(resumed)[0], "bob", "the conversation it has left is opened elsewhere");
  });

  for (const who of ["first", "second"] as const) {
    test(`keep the name that the ${who} took before it ended, though the other had not looked`, async () => {
      const first = await program("c1", "ann");
      const second = await program("c1");
      await world.time.advance(2000);
      const [taker, other] = who === "first" ? [first, second] : [second, first];
      await call(taker);
      await rename(taker, "api", "tests");
      await leave(taker);
      await later();
      assert.deepEqual([names(other), other.presence.workingOn], [["api", "ann"], "tests"]);
    });
  }

  test("keep that name also if the other has only names of another conversation", async () => {
    const first = await program("c1", "ann");
    first.agent.open = "c3";
    await later();
    const newer = await secondServer(first);
    await leave(first);
    newer.inbox.close(); // it does not look meanwhile
    const second = await program("c3");
    await call(second);
    await rename(second, "api");
    await leave(second);
    await call(newer);
    assert.deepEqual([state(newer), names(newer)[0]], ["active", "api"]);
  });

  test("keep that name also if the other beats before it looks", async () => {
    const first = await program("c1", "ann");
    const second = await program("c1");
    first.inbox.close();
    await call(second);
    await rename(second, "api");
    await leave(second);
    await later();
    assert.deepEqual([state(first), names(first)], ["active", ["api", "ann"]]);
  });

  test("keep that name also if the other could not write down its own", async () => {
    const first = await program("c1", "ann");
    world.lock.held.add(FOLDER.conversations);
    await rename(first, "bob");
    world.lock.held.clear();
    world.disk.erase(FOLDER.heartbeats);
    await later();
    assert.equal(names(first)[0], "bob", "which is newer than the record");
    world.lock.held.add(FOLDER.conversations);
    await rename(first, "cleo");
    world.lock.held.clear();
    first.inbox.close();
    const second = await program("c1");
    await call(second);
    await rename(second, "api");
    await leave(second);
    await later();
    assert.equal(names(first)[0], "api", "which is newer than cleo");
  });

  for (const name of ["bob", "ann"]) {
    test(`have their names back when one renames itself ${name} and the other has gone on`, async () => {
      const first = await program("c1", "ann");
      const second = await program("c1");
      second.inbox.close();
      first.agent.open = "c3";
      first.presence.check();
      await world.time.advance(3000);
      assert.deepEqual([names(first), names(second)], [["ann"], ["ann"]]);
      await rename(second, name);
      await later();
      assert.deepEqual(names(second), name === "ann" ? ["ann"] : ["bob", "ann"]);
      assert.ok(!names(first).includes("ann"));
    });
  }

  test("keep that name also if the other is renamed before it looks", async () => {
    const first = await program("c1", "ann");
    const second = await program("c1");
    first.inbox.close();
    await call(second);
    await rename(second, "api");
    await leave(second);
    await rename(first, "web");
    assert.ok(names(first).includes("api"), names(first).join());
  });

  test("follow each other's names, also one that nobody watches", async () => {
    const first = await program("c1", "ann");
    const run = await startSession(
      world,
      undefined,
      fakeAgent({ open: "c1", pid: ++pid, details: { unattended: true } }),
    );
    await world.time.advance(2000);
    assert.equal(state(run), "replaced");
    await rename(first, "api");
    await leave(first);
    await later();
    await call(run);
    await later();
    assert.deepEqual([names(run), record("c1").name], [["api", "ann"], "api"]);
  });

  test("of two programs are not one that nobody watches once that has ended", async () => {
    const first = await program("c1", "ann");
    const run = await startSession(
      world,
      undefined,
      fakeAgent({ open: "c1", pid: ++pid, details: { unattended: true } }),
    );
    await call(run);
    await world.time.advance(3000);
    assert.equal(entriesOf(world).ann?.unattended, true);
    await call(first);
    await leave(run);
    await later();
    assert.equal(entriesOf(world).ann?.unattended, undefined);
  });

  test("do not share a name once one has moved on with it", async () => {
    const first = await program("c1", "ann");
    const second = await program("c1");
    await world.time.advance(2000);
    first.agent.open = "c2";
    await world.time.wait(first.presence.onCall());
    await world.time.advance(0);
    world.lock.held.add(FOLDER.heartbeats);
    await call(second);
    assert.equal(first.presence.name, "ann");
    second.presence.check();
    assert.ok(!names(second).includes("ann"));
  });

  test("are two sessions if their clients differ and their conversations are not known", async () => {
    const agent = { pid: 7, client: "x" };
    await startSession(world, "ann", fakeAgent(agent));
    await startSession(world, "bob", fakeAgent(agent));
    assert.deepEqual(listed(), ["ann", "bob"]);
  });
});

test("a process that has another's PID on another host is another session", async () => {
  const ann = await program("c1", "ann");
  const far = systemOf(world, ann.system.processes.pid);
  const processes = { ...far.processes, host: "far" };
  const bob = createSession(world, fakeAgent({ open: "c2", pid: ann.agent.pid }), {
    nameFromEnvironment: named("ann"),
    system: { ...far, processes } as never,
  });
  await world.time.wait(bob.presence.join());
  assert.deepEqual([names(ann), names(bob)], [["ann"], ["ann-2"]]);
  await later();
  assert.deepEqual(listed(), ["ann", "ann-2"]);
});

test("of ten sessions that want one name at once, each has a name of its own", async () => {
  const sessions = Array.from({ length: 10 }, (_, n) =>
    createSession(world, fakeAgent({ open: `c${n}` }), { nameFromEnvironment: named("ann") }),
  );
  await world.time.wait(Promise.all(sessions.map(({ presence }) => presence.join())));
  const all = sessions.map(({ presence }) => presence.name as string);
  assert.equal(new Set(all).size, 10);
  assert.deepEqual(listed(), all.sort());
});

test("mail to everyone is hidden from no session once a clock far ahead has been set right", async () => {
  world.disk.put("/ipc/.order", "20261125T153000000000");
  const session = createSession(world, fakeAgent({ open: "c1" }));
  session.system.clock.skewMs = 72 * 3_600_000;
  await world.time.wait(session.presence.join());
  assert.equal(session.presence.since, "20261125T153000000000");
  session.system.clock.skewMs = 0;
  session.presence.check();
  assert.ok((session.presence.since ?? "9") < "20261122T153000000000");
});

test("a session that cannot know the end of the order is not listed yet", async () => {
  const session = createSession(world);
  session.system.fault = (call, path) => {
    if (call === "read" && path === "/ipc/.order") throw systemError("EIO");
  };
  await world.time.wait(session.presence.join());
  assert.deepEqual([state(session), session.presence.since], ["joining", undefined]);
  assert.throws(() => session.presence.check(), UserError);
  session.system.fault = undefined;
  await later();
  assert.equal(state(session), "active");
});
