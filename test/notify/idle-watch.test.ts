// "Tell me when it is done": one notice when another session is idle, waits for its user, or ends.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Name } from "../../src/core/names.ts";
import { type Activity, IdleWatch } from "../../src/notify/idle-watch.ts";
import {
  createSession,
  createWorld,
  entriesOf,
  type FakeSession,
  FOLDER,
  fakeAgent,
  startSession,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

const API = "api" as Name;
const WEB2 = "web2" as Name;
const FILE = "20261122T153000000000-0a1b2c3d-web-api-x.md";

async function scene() {
  const world = createWorld();
  const web = await startSession(world, "web", fakeAgent({ pid: 7 }));
  const api = await startSession(world, "api");
  const says: { activity: Activity | undefined; hasRead: boolean } = {
    activity: { status: "busy" },
    hasRead: false,
  };
  const notices: string[] = [];
  const open = ({ presence, heartbeats }: FakeSession): IdleWatch => {
    const opened = new IdleWatch({
      presence,
      heartbeats,
      activityOf: () => says.activity,
      hasRead: (name, file) => name === API && file === FILE && says.hasRead,
      announce: (text) => void notices.push(text),
      log: (line) => void world.log.push(line),
    });
    opened.start();
    return opened;
  };
  const watch = open(web);
  const seen = (activity: Activity | undefined, hasRead = says.hasRead): string[] => {
    Object.assign(says, { activity, hasRead });
    watch.check();
    watch.check();
    return notices.splice(0);
  };
  return { world, web, api, watch, says, seen, open, notices };
}

test("a busy session that goes idle is announced once, with what it works on", async () => {
  const { world, api, watch, seen } = await scene();
  await world.time.wait(api.presence.rename(API, "the tests"));
  assert.equal(watch.watch(API), "watching");
  assert.deepEqual(seen({ status: "busy" }), []);
  const told = seen({ status: "idle" });
  assert.deepEqual(told, ["t9-ipc: api is idle now. It works on “the tests”."]);
  assert.deepEqual([...seen({ status: "busy" }), ...seen({ status: "idle" })], []);
});

test("a session that waits for its user is announced with what it waits for", async () => {
  const { watch, seen } = await scene();
  watch.watch(API);
  const told = seen({ status: "waiting", waitingFor: "permission prompt" });
  assert.deepEqual(told, ["t9-ipc: api waits for its user (permission prompt)."]);
  watch.watch(API);
  assert.deepEqual(seen({ status: "waiting" }), ["t9-ipc: api waits for its user."]);
});

test("with a message, the notice of a session that waits says if it has not read it", async () => {
  const { watch, seen } = await scene();
  const waiting: Activity = { status: "waiting", waitingFor: "permission prompt" };
  watch.watch(API, FILE);
  assert.deepEqual(seen(waiting), [
    "t9-ipc: api waits for its user (permission prompt), and has not read your message yet.",
  ]);
  assert.deepEqual([...seen({ status: "busy" }, true), ...seen({ status: "idle" })], [], "once");
  watch.watch(API, FILE);
  assert.deepEqual(seen(waiting), ["t9-ipc: api waits for its user (permission prompt)."]);
});

test("with a message, idle counts only after the message was read", async () => {
  const { watch, says, seen } = await scene();
  says.activity = { status: "idle" };
  assert.equal(watch.watch(API, FILE), "watching");
  assert.deepEqual(seen({ status: "idle" }), [], "it has not read the message yet");
  assert.deepEqual(seen({ status: "busy" }, true), []);
  assert.deepEqual(seen({ status: "idle" }), ["t9-ipc: api is idle now."]);
  watch.watch(API, FILE);
  assert.deepEqual(seen({ status: "idle" }), ["t9-ipc: api is idle now."], "it was read before");
});

test("without a message, idle counts only after the session was seen at work", async () => {
  const { world, watch, says, seen } = await scene();
  await startSession(world, "web2");
  says.activity = { status: "waiting" };
  watch.watch(API);
  assert.deepEqual(seen({ status: "idle" }), []);
  says.activity = { status: "busy" };
  watch.watch(WEB2);
  watch.watch(WEB2);
  assert.deepEqual(seen({ status: "busy" }), []);
  assert.deepEqual(seen({ status: "idle" }), [
    "t9-ipc: api is idle now.",
    "t9-ipc: web2 is idle now.",
  ]);
});

test("a check costs nothing without a watched session, and writes nothing without a change", async () => {
  const { world, web, watch } = await scene();
  const calls: string[] = [];
  web.system.fault = (call) => void calls.push(call);
  watch.check();
  assert.deepEqual(calls, []);
  watch.watch(API);
  await world.time.advance(3000);
  const { version } = world.disk.stat(FOLDER.heartbeats) ?? {};
  watch.check();
  await world.time.advance(3000);
  assert.equal(world.disk.stat(FOLDER.heartbeats)?.version, version);
});

test("while the list cannot be read, no session is taken for ended", async () => {
  const { world, web, watch, seen, open } = await scene();
  watch.watch(API);
  web.system.fault = (_call, path) => {
    if (path === FOLDER.heartbeats) throw systemError("EIO");
  };
  assert.equal(watch.watch(WEB2), "offline");
  open(web);
  assert.deepEqual(seen({ status: "busy" }), []);
  const [first = "", second = "", third = ""] = world.log;
  assert.match(first, /^web2 cannot be watched: EIO/);
  assert.match(second, /^watched sessions cannot be restored: EIO/);
  assert.match(third, /^watched sessions cannot be checked: EIO/);
  web.system.fault = undefined;
  assert.deepEqual(seen({ status: "idle" }), ["t9-ipc: api is idle now."]);
});

test("a session that ends is announced, but not one whose server starts anew", async () => {
  const { world, api, watch, seen, notices } = await scene();
  watch.watch(API);
  const entries = entriesOf(world);
  await world.time.wait(api.presence.leave());
  watch.check();
  world.disk.put("/ipc/heartbeats.json", JSON.stringify(entries)); // it is back at the next check
  assert.deepEqual(seen({ status: "busy" }), []);
  world.disk.put("/ipc/heartbeats.json", JSON.stringify({ web: entries.web }));
  watch.check();
  assert.deepEqual(notices, [], "it may be starting anew again");
  assert.deepEqual(seen({ status: "busy" }), ["t9-ipc: api has ended."]);
});

test("the answer says if no notice will come", async () => {
  const { watch, says } = await scene();
  assert.equal(watch.watch("nobody" as Name), "offline");
  says.activity = undefined;
  assert.equal(watch.watch(API), "unknown");
  says.activity = { status: "idle" };
  assert.equal(watch.watch(API), "idle");
});

test("a session that ends without having read the message is announced so", async () => {
  const { world, api, watch, seen } = await scene();
  watch.watch(API, FILE);
  await world.time.wait(api.presence.leave());
  const told = seen({ status: "busy" });
  assert.deepEqual(told, ["t9-ipc: api has ended, and has not read your message yet."]);
});

test("a check that fails in the middle announces nothing twice", async () => {
  const { world, watch, says, notices } = await scene();
  await startSession(world, "web2");
  watch.watch(API);
  watch.watch(WEB2, FILE);
  says.activity = { status: "waiting" };
  Object.defineProperty(says, "hasRead", { get: () => assert.fail("EIO"), configurable: true });
  watch.check();
  Object.defineProperty(says, "hasRead", { value: true });
  watch.check();
  assert.equal(notices.length, 2, String(notices));
});

describe("with two servers of one session", () => {
  /** A session with two servers, of which `call` makes one the session's. */
  async function sceneOfTwo() {
    const first = await scene();
    const { world, web, open, notices, says } = first;
    const other = await startSession(world, undefined, web.agent);
    const servers = [
      { ...web, watch: first.watch },
      { ...other, watch: open(other) },
    ] as const;
    const call = async (index: 0 | 1): Promise<IdleWatch> => {
      await world.time.wait(servers[index].presence.onCall());
      await world.time.advance(5000); // the list is written within two seconds, and scanned
      assert.equal(servers[index].presence.state, "active");
      assert.equal(servers[1 - index]?.presence.state, "replaced");
      return servers[index].watch;
    };
    /** The notices after `api` has gone idle. */
    const whenIdle = (): string[] => {
      says.activity = { status: "idle" };
      for (const { watch } of servers) watch.check();
      return notices.splice(0);
    };
    return { ...first, servers, call, whenIdle };
  }

  test("the one that takes over goes on to watch, and the one before does not", async () => {
    const { call, whenIdle } = await sceneOfTwo();
    (await call(0)).watch(API);
    await call(0);
    await call(1);
    assert.deepEqual(whenIdle(), ["t9-ipc: api is idle now."]);
    await call(1);
    await call(0);
    assert.deepEqual(whenIdle(), [], "it was announced by the other");
  });

  test("both lists are kept when a server takes over that has watched before", async () => {
    const { world, call, whenIdle } = await sceneOfTwo();
    await startSession(world, "web2");
    (await call(0)).watch(API);
    await call(0);
    (await call(1)).watch(WEB2);
    await call(1);
    await call(0);
    assert.deepEqual(whenIdle(), ["t9-ipc: api is idle now.", "t9-ipc: web2 is idle now."]);
  });

  test("a server goes on with its own list if the other one left without a word", async () => {
    const { world, servers, call, whenIdle } = await sceneOfTwo();
    (await call(0)).watch(API);
    await call(0);
    await call(1);
    await world.time.wait(servers[1].presence.leave());
    await world.time.advance(5000);
    assert.equal(servers[0].presence.state, "active");
    assert.deepEqual(whenIdle(), ["t9-ipc: api is idle now."]);
  });

  test("the list is taken over later if it cannot be read just now", async () => {
    const { world, servers, call, whenIdle } = await sceneOfTwo();
    (await call(0)).watch(API);
    await call(0);
    servers[1].presence.prependListener("change", () => {
      if (servers[1].presence.state !== "active") return;
      servers[1].system.fault = () => {
        throw systemError("EIO");
      };
    });
    await world.time.wait(servers[1].presence.onCall());
    servers[1].system.fault = undefined;
    assert.match(String(world.log), /watched sessions cannot be restored: EIO/);
    await world.time.advance(5000);
    assert.deepEqual(whenIdle(), ["t9-ipc: api is idle now."]);
  });
});

test("what was watched before the session could enter the list is in its entry then", async () => {
  const { world, open } = await scene();
  const late = createSession(world, fakeAgent({ pid: 8 }), { nameFromEnvironment: WEB2 });
  world.lock.held.add(FOLDER.heartbeats);
  await world.time.wait(late.presence.join());
  assert.equal(late.presence.state, "joining");
  assert.equal(open(late).watch(API), "watching");
  world.lock.held.clear();
  await world.time.wait(late.presence.onCall());
  await world.time.advance(5000);
  assert.deepEqual(entriesOf(world)[WEB2]?.watching, [{ name: API, wasBusy: true }]);
});

test("what is not a watched session in the entry is ignored", async () => {
  const { world, web, seen, open, notices } = await scene();
  const watching = [null, "x", { name: 5 }, undefined, { name: "api", wasBusy: true }];
  const entries = entriesOf(world);
  world.disk.put(
    FOLDER.heartbeats,
    JSON.stringify({ ...entries, web: { ...entries.web, watching } }),
  );
  const next = open(web);
  seen({ status: "idle" });
  next.check();
  next.check();
  assert.deepEqual([notices, world.log], [["t9-ipc: api is idle now."], []]);
});
