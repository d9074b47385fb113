import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { wakeFile } from "../../src/agents/claude/wake-file.ts";
import { readConfig } from "../../src/config.ts";
import { Heartbeats } from "../../src/core/heartbeats.ts";
import { Inbox } from "../../src/core/inbox.ts";
import { Mailbox } from "../../src/core/mailbox.ts";
import type { Name } from "../../src/core/names.ts";
import { isUnread, ReadState } from "../../src/core/read-state.ts";
import { Sweep } from "../../src/upkeep/sweep.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { childEnv } from "../support/environment.ts";
import {
  createSession,
  createWorld,
  entriesOf,
  type FakeSession,
  FOLDER,
  faulty,
  startSession as startFakeSession,
} from "../support/fake-system.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, mail, readMail, stamp, writeMail } from "../support/mail.ts";
import { systemError } from "../support/memory-files.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const DAY_MS = 24 * 3600_000;

/** What one server of a folder has, as far as a sweep needs it. */
function open(dir: string) {
  const logged: string[] = [];
  const config = {
    ...readConfig({ IPC_DIR: dir }, "/", (line) => logged.push(line)),
    wakeFolders: [join(dir, "wake"), join(dir, "../default/wake")] as const,
  };
  const system = createSystem(config);
  const inbox = new Inbox({ folder: config }, system);
  inbox.scan();
  const heartbeats = new Heartbeats(config, system);
  const sweep = new Sweep(config, system, inbox, heartbeats);
  return { config, system, inbox, heartbeats, logged, sweep };
}

/** The sweep of a session in memory. */
const sweepOf = ({ system, inbox, heartbeats }: FakeSession): Sweep =>
  new Sweep({ ...FOLDER, wakeFolders: [] }, system, inbox, heartbeats);

/** Sweeps as `count` servers at one moment, and returns what they log. */
async function sweepNow(dir: string, count = 1): Promise<string[]> {
  const servers = Array.from({ length: count }, () => open(dir));
  await Promise.all(servers.map(({ sweep }) => sweep.sweep()));
  return servers.flatMap(({ logged }) => logged);
}

/** A name's read state, which others have as well. */
function readStateOf(dir: string, name: string): ReadState {
  const { config, system } = open(dir);
  return new ReadState(config, system, name as Name);
}

async function markRead(dir: string, name: string, ...files: string[]): Promise<void> {
  const state = readStateOf(dir, name);
  state.markRead(files);
  await state.save();
}

function setAge(path: string, days: number): void {
  const then = new Date(Date.now() - days * DAY_MS);
  utimesSync(path, then, then);
}

let sequence = 0;
/** A message that was stored so many days ago. */
function put(dir: string, days: number, fields: Record<string, string> = {}): string {
  const { from = "alpha", to = "beta" } = fields;
  const file = `${stamp(days, ++sequence)}-0a1b2c3d-${from.slice(0, 16)}-${to.slice(0, 16)}-x.md`;
  writeMail(dir, file, mail({ from, to, subject: `${days} days old`, ...fields }, "text"));
  setAge(join(dir, "inbox", file), days);
  return file;
}

/** `read/NAME` of a name that appeared so many days ago. */
function putName(dir: string, name: string, days: number, files: readonly string[] = []): void {
  mkdirSync(join(dir, "read"), { recursive: true });
  const lines = [`# since ${stamp(days)}`, ...files].map((line) => `${line}\n`);
  writeFileSync(join(dir, "read", name), lines.join(""));
}

test("direct mail waits 30 days, and then moves to the archive unchanged", async (t) => {
  const dir = tempDir(t);
  putName(dir, "beta", 40);
  const old = put(dir, 30.1);
  const recent = put(dir, 29.9);
  const text = readMail(dir, old);
  assert.deepEqual(await sweepNow(dir), []);
  assert.deepEqual(filesIn(dir), [recent]);
  assert.equal(readFileSync(join(dir, "archive", old), "utf8"), text);
  const { inbox } = open(dir);
  const found = inbox.find(old);
  assert.equal(found?.isArchived, true);
  assert.equal(found?.header.subject, "30.1 days old");
});

test("a message's age is that of its file, whatever timestamp its name has", async (t) => {
  const dir = tempDir(t);
  const copied = put(dir, 40);
  setAge(join(dir, "inbox", copied), 0);
  const old = put(dir, 0);
  setAge(join(dir, "inbox", old), 31);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [copied]);
  assert.deepEqual(filesIn(dir, "archive"), [old]);
});

test("mail to everyone waits seven days for those who have not read it", async (t) => {
  const dir = tempDir(t);
  putName(dir, "beta", 10);
  const old = put(dir, 7.1, { to: "all", type: "broadcast" });
  const original = put(dir, 7.1, { to: "broadcast", type: "broadcast" });
  const recent = put(dir, 6.9, { to: "all", type: "broadcast" });
  const direct = put(dir, 7.1);
  assert.deepEqual(await sweepNow(dir), []);
  assert.deepEqual(filesIn(dir), [recent, direct].sort());
  assert.deepEqual(filesIn(dir, "archive"), [old, original].sort());
});

test("a message that another process archives is not unread any more", async (t) => {
  const dir = tempDir(t);
  const old = put(dir, 31);
  const beta = await startSession("beta", { dir });
  await beta.waitForPush();
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir, "archive"), [old]);
  assert.match((await beta.call("unread")).text, /^No unread messages/);
  const again = await beta.call("unread", { file: old });
  assert.match(again.text, /^From the archive:.*subject: 31 days old/s);
});

test("direct mail leaves the inbox after a day if its addressee has read it", async (t) => {
  const dir = tempDir(t);
  const [day, fresh] = [put(dir, 1.1), put(dir, 0.9)];
  await markRead(dir, "beta", day, fresh);
  const unread = put(dir, 1.2);
  const foreign = put(dir, 1.2, { to: "gamma" });
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [unread, foreign, fresh].sort());
  assert.deepEqual(filesIn(dir, "archive"), [day]);
});

test("a broadcast leaves the inbox after a day if all names have read it", async (t) => {
  const dir = tempDir(t);
  for (const name of ["alpha", "beta", "gamma"]) putName(dir, name, 2);
  putName(dir, "delta", 1); // appeared after the broadcast, which is not delta's mail
  const file = put(dir, 1.1, { to: "all", type: "broadcast" });
  await markRead(dir, "alpha", file); // the sender's own mark
  await markRead(dir, "beta", file);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [file], "gamma has not read it");
  await markRead(dir, "gamma", file);
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), []);
  assert.deepEqual(filesIn(dir, "archive"), [file]);
});

test("mail for a name that nobody has had yet waits as long", async (t) => {
  const dir = tempDir(t);
  const waiting = put(dir, 29, { to: "latecomer" });
  await sweepNow(dir);
  assert.deepEqual(filesIn(dir), [waiting]);
  const header = open(dir).inbox.header(waiting);
  assert.ok(header && isUnread([readStateOf(dir, "latecomer").view()], header));
});

test("a name is known for 30 days, and a mere sender while its mail is there", async (t) => {
  const dir = tempDir(t);
  put(dir, 31, { from: "old-hand" });
  putName(dir, "away", 20);
  putName(dir, "long-gone", 60);
  setAge(join(dir, "read/long-gone"), 31);
  const { config, system, inbox } = open(dir);
  const owner = {
    name: "beta" as Name,
    names: ["beta" as Name],
    notes: {},
    inherits: () => true,
    check() {},
  };
  const mailbox = new Mailbox(config, system, inbox, new Heartbeats(config, system), owner);
  const send = (to: string, subject: string) =>
    mailbox.send({ to: [to], subject, body: "", priority: "normal" });
  await send("old-hand", "still there?");
  await sweepNow(dir);
  await send("away", "back?");
  assert.equal(filesIn(dir, "archive").length, 1);
  for (const name of ["old-hand", "long-gone"]) {
    const reason = new RegExp(`no session named ${name} has been here`);
    await assert.rejects(send(name, "and now?"), reason);
  }
});

test("servers that sweep at one moment move each message once and log nothing", async (t) => {
  const dir = tempDir(t);
  const files = Array.from({ length: 5 }, () => put(dir, 31));
  putName(dir, "beta", 40, files);
  assert.deepEqual(await sweepNow(dir, 3), []);
  assert.deepEqual(filesIn(dir), []);
  assert.deepEqual(filesIn(dir, "archive"), files);
  const marks = readFileSync(join(dir, "read/beta"), "utf8");
  assert.match(marks, /^# since \S+\n$/, "marks of messages that have gone");
});

test("the servers of a folder share one sweep an hour", async (t) => {
  const dir = tempDir(t);
  const mark = join(dir, ".swept");
  /** True if another server's turn sweeps the folder. */
  async function isSwept(): Promise<boolean> {
    const old = put(dir, 31);
    await open(dir).sweep.sweepIfDue();
    return !filesIn(dir).includes(old);
  }
  assert.equal(await isSwept(), true);
  assert.equal(await isSwept(), false, "another server has just swept");
  for (const minutes of [61, -61]) {
    setAge(mark, minutes / (24 * 60));
    assert.equal(await isSwept(), true, `the last sweep was ${minutes} min ago`);
    assert.equal(await isSwept(), false);
  }
});

test("a sweep is made 15 s after the start, and then every minute if it is due", async (t) => {
  const dir = tempDir(t);
  const { config, system, inbox, heartbeats } = open(dir);
  const timers: { ms: number; run: () => void }[] = [];
  const addTimer = (ms: number, run: () => void) => {
    timers.push({ ms, run });
    return { cancel() {} };
  };
  const clock = { ...system.clock, after: addTimer, every: addTimer };
  new Sweep(config, { ...system, clock }, inbox, heartbeats).start();
  for (const [index, ms] of [15_000, 60_000].entries()) {
    const old = put(dir, 31);
    inbox.scan();
    rmSync(join(dir, ".swept"), { force: true });
    assert.equal(timers[index]?.ms, ms);
    timers[index]?.run();
    await waitFor(() => !filesIn(dir).includes(old), "the sweep");
  }
});

test("temporary files go after an hour, and one that is being written stays", async (t) => {
  const dir = tempDir(t);
  mkdirSync(join(dir, "read"), { recursive: true });
  mkdirSync(join(dir, "inbox"));
  const [left, written] = [".tmp-1-00000000", ".tmp-2-00000000"];
  mkdirSync(join(dir, "wake"));
  for (const folder of ["", "inbox", "read", "wake"].map((name) => join(dir, name))) {
    for (const name of [left, written]) writeFileSync(join(folder, name), "torn");
    setAge(join(folder, left), 61 / (24 * 60));
  }
  await sweepNow(dir);
  const paths = (readdirSync(dir, { recursive: true }) as string[]).filter((path) =>
    path.includes(".tmp-"),
  );
  assert.deepEqual(paths.sort(), [
    written,
    ...["inbox", "read", "wake"].map((folder) => join(folder, written)),
  ]);
});

for (const folder of ["wake", "../default/wake"]) {
  test(`in ${folder}, wake files go with their session; those of another host wait 30 days`, async (t) => {
    const dir = tempDir(t);
    const wake = join(dir, folder);
    mkdirSync(wake, { recursive: true });
    const { processes } = open(dir).system;
    const ended = spawnSync(process.execPath, ["-e", "0"], { env: childEnv() }).pid;
    const elsewhere = { ...processes, host: "another boot" };
    const files = {
      live: wakeFile(wake, processes, process.pid),
      ended: wakeFile(wake, processes, ended),
      remote: wakeFile(wake, elsewhere, ended),
      old: wakeFile(wake, elsewhere, process.pid),
    };
    for (const file of Object.values(files)) writeFileSync(file, "notice");
    setAge(files.old, 31);
    await sweepNow(dir);
    const kept = [files.live, files.remote].map((path) => basename(path));
    assert.deepEqual(readdirSync(wake).sort(), kept.sort());
  });
}

test("a wake folder that cannot be listed stops no sweep", async (t) => {
  const dir = tempDir(t);
  const old = put(dir, 31);
  const { config, system, inbox, heartbeats, logged } = open(dir);
  const files = faulty(system.files, (call, path) => {
    if (call === "list" && path.includes("default")) throw systemError("EACCES");
  });
  await new Sweep(config, { ...system, files }, inbox, heartbeats).sweep();
  assert.deepEqual(filesIn(dir, "archive"), [old]);
  assert.match(String(logged), /default.wake cannot be swept: EACCES/);
});

test("a left-over that cannot be removed stays alone", async () => {
  const world = createWorld();
  const ann = createSession(world);
  for (const n of [1, 2]) world.disk.put(`${FOLDER.inbox}/.tmp-${n}-a`, "");
  await world.time.advance(2 * 3600_000);
  ann.system.fault = (call, path) => {
    if (call === "remove" && path.endsWith(".tmp-1-a")) throw systemError("EPERM");
  };
  await world.time.wait(sweepOf(ann).sweep());
  assert.deepEqual(world.disk.list(FOLDER.inbox), [".tmp-1-a"]);
});

test("a mark of a message that cannot be looked at just now is kept", async () => {
  const world = createWorld();
  const ann = createSession(world);
  const { system } = ann;
  const file = "20261122T150000000000-0a1b2c3d-bob-ann-x.md";
  for (const path of [`${FOLDER.inbox}/${file}`, `${FOLDER.read}/ann`]) {
    world.disk.put(path, `${file}\n`);
  }
  system.fault = (call, path) => {
    if (call === "stat" && path.endsWith(file)) throw systemError("EIO");
  };
  await world.time.wait(sweepOf(ann).sweep());
  assert.equal(world.disk.text(`${FOLDER.read}/ann`), `${file}\n`);
  system.fault = undefined;
  world.disk.erase(`${FOLDER.inbox}/${file}`);
  await world.time.wait(sweepOf(ann).sweep());
  assert.equal(world.disk.text(`${FOLDER.read}/ann`), "");
});

test("nothing counts as read by all while the marks of one name cannot be read", async () => {
  const world = createWorld();
  const ann = createSession(world);
  const { system } = ann;
  const file = "20261122T150000000000-0a1b2c3d-bob-all-x.md";
  world.disk.put(`${FOLDER.inbox}/${file}`, "---\nfrom: bob\nto: all\n---\nx\n");
  world.disk.put(`${FOLDER.read}/ann`, "# since 20261122T120000000000\n");
  world.disk.put(`${FOLDER.read}/bob`, `# since 20261122T120000000000\n${file}\n`);
  system.clock.skewMs = 2 * DAY_MS;
  const sweep = sweepOf(ann);
  system.fault = (_call, path) => {
    if (path === `${FOLDER.read}/ann`) throw systemError("EIO");
  };
  await world.time.wait(sweep.sweep());
  assert.deepEqual(world.disk.list(FOLDER.inbox), [file]);
  system.fault = undefined;
  world.disk.put(`${FOLDER.read}/ann`, `# since 20261122T120000000000\n${file}\n`);
  await world.time.wait(sweep.sweep());
  assert.deepEqual(world.disk.list(FOLDER.archive), [file]);
});

test("a session on the list that has no file of marks yet has read nothing", async () => {
  const world = createWorld();
  const ann = await startFakeSession(world, "ann");
  const bob = await startFakeSession(world, "bob");
  const request = { to: ["all"], subject: "news", body: "", priority: "normal" as const };
  const { deliveries } = await world.time.wait(ann.mailbox.send(request));
  const { file } = deliveries[0]?.header ?? assert.fail();
  world.disk.erase(`${FOLDER.read}/bob`);
  ann.system.clock.skewMs = 2 * DAY_MS;
  const sweep = sweepOf(ann);
  await world.time.wait(sweep.sweep());
  assert.deepEqual(world.disk.list(FOLDER.inbox), [file]);
  bob.mailbox.markRead(bob.mailbox.unread().headers);
  await world.time.wait(bob.mailbox.close());
  await world.time.wait(sweep.sweep());
  assert.deepEqual(world.disk.list(FOLDER.archive), [file]);
});

test("a part that was shown of a message is forgotten when the message is gone", async () => {
  const world = createWorld();
  const ann = createSession(world);
  const [gone, there] = ["20261122T150000000000-0a1b2c3d-bob-ann-x.md", "note.md"];
  world.disk.put(`${FOLDER.inbox}/${there}`, "");
  world.disk.put(`${FOLDER.read}/ann`, `# part 1 of ${gone}\n# part 2 of ${there}\n`);
  await world.time.wait(sweepOf(ann).sweep());
  assert.equal(world.disk.text(`${FOLDER.read}/ann`), `# part 2 of ${there}\n`);
});

test("a name is known for as long as its mail cannot be read", async () => {
  const world = createWorld();
  const bob = createSession(world);
  const file = "20261122T150000000000-0a1b2c3d-bob-ann-x.md";
  world.disk.put(`${FOLDER.read}/ann`, "# since 20261122T120000000000\n");
  bob.system.clock.skewMs = 31 * DAY_MS;
  world.disk.put(`${FOLDER.inbox}/${file}`, "---\nfrom: bob\nto: ann\n---\nx\n");
  world.disk.touch(`${FOLDER.inbox}/${file}`, bob.system.clock.now());
  const sweepWith = async (broken: "read" | "list" | undefined): Promise<boolean> => {
    bob.system.fault = (call, path) => {
      if (call === broken && path.startsWith(FOLDER.inbox)) throw systemError("EIO");
    };
    await world.time.wait(
      sweepOf(bob)
        .sweep()
        .catch(() => {}),
    );
    return world.disk.stat(`${FOLDER.read}/ann`) !== undefined;
  };
  assert.equal(await sweepWith("list"), true);
  assert.equal(await sweepWith("read"), true);
  assert.equal(await sweepWith(undefined), true, "it waits for ann");
  world.disk.erase(`${FOLDER.inbox}/${file}`);
  assert.equal(await sweepWith(undefined), false);
});

test("a session on a host with a wrong clock is online to the sweep as well", async () => {
  const world = createWorld();
  const ann = await startFakeSession(world, "ann");
  const beat = 1_000_000;
  const entry = {
    timestamp: "",
    status: "active",
    pid: 7,
    host: "elsewhere",
    since: "20260101T000000000000",
  };
  const write = (n: number): void => {
    const entries = { ...entriesOf(world), far: { ...entry, beat: beat + n } };
    world.disk.put(FOLDER.heartbeats, JSON.stringify(entries));
    ann.heartbeats.online();
  };
  write(1);
  write(2); // a beat that changes is one, whatever its time
  const request = { to: ["all"], subject: "news", body: "", priority: "normal" as const };
  const { deliveries } = await world.time.wait(ann.mailbox.send(request));
  const { file } = deliveries[0]?.header ?? assert.fail();
  world.disk.touch(`${FOLDER.inbox}/${file}`, ann.system.clock.now() - 2 * DAY_MS);
  await world.time.wait(sweepOf(ann).sweep());
  assert.deepEqual(world.disk.list(FOLDER.inbox), [file], "far has not read it");
});
