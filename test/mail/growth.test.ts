// What a folder and a server hold after weeks: what is in the inbox, and no more.

import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { readConfig } from "../../src/config.ts";
import { ReadMarks } from "../../src/mail/read-marks.ts";
import type { Name } from "../../src/sessions/names.ts";
import { tempDir } from "../support/folder.ts";
import {
  filesIn,
  heartbeats,
  localTime,
  mail,
  stamp,
  writeMail,
  writeMany,
} from "../support/mail.ts";
import { SERVER } from "../support/process.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** A server sweeps 15 s after its start, and then every hour. */
const BEFORE_SWEEP_MS = 13_000;
const SWEPT_MS = 60_000;

let sequence = 0;
const nameOf = (days: number, to: string): string =>
  `${stamp(days, ++sequence)}-0a1b2c3d-hand-${to.slice(0, 16)}-x.md`;

function put(dir: string, days: number, fields: Record<string, string> = {}): string {
  const { to = "beta" } = fields;
  const file = nameOf(days, to);
  writeMail(dir, file, mail({ from: "hand", to, subject: "x", ...fields }));
  return file;
}

/** A name's marks, as a session that was last here so many days ago has left them. */
function putMarks(dir: string, name: string, days: number, lines: readonly string[]): void {
  const path = join(dir, "read", name);
  if (!existsSync(dirname(path))) mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
  const then = new Date(Date.now() - days * 24 * 3600_000);
  utimesSync(path, then, then);
}

const marksOf = (dir: string, name: string): string[] =>
  readFileSync(join(dir, "read", name), "utf8")
    .split("\n")
    .slice(0, -1);
const names = (dir: string): string[] =>
  readdirSync(join(dir, "read")).filter((name) => !name.startsWith("."));

/** The server with code of ours in its process. */
const withCode = (code: string): string[] => [
  ...[process.execPath, "--import", `data:text/javascript,${encodeURIComponent(code)}`],
  SERVER,
];

describe("after a sweep", { concurrency: true }, () => {
  test("read/ has marks only of what is in the inbox, and no names that left long ago", async (t) => {
    const dir = tempDir(t);
    const [done, recent] = [put(dir, 9), put(dir, 0.1)];
    for (let n = 0; n < 20; n++) put(dir, 8, { to: "all" }); // broadcasts that the archive takes
    const waits = put(dir, 2, { to: "waited-for" });
    const since = `# since ${stamp(60)}`;
    const gone = Array.from({ length: 50 }, (_, n) =>
      stamp(50, n).concat("-0a1b2c3d-hand-beta-gone.md"),
    );
    putMarks(dir, "beta", 1, [since, ...gone, done, recent]);
    for (let n = 0; n < 100; n++) putMarks(dir, `gone-${n}`, 50, [since, ...gone]);
    putMarks(dir, "waited-for", 50, [since, ...gone]);
    putMarks(dir, "away", 3, [since]);
    const alpha = await startSession("alpha", { dir });
    const isSwept = () => names(dir).sort().join() === "alpha,away,beta,waited-for";
    await waitFor(
      isSwept,
      () => `the names that are gone to go: ${names(dir).length} left`,
      SWEPT_MS,
    );
    const isShort = () =>
      marksOf(dir, "beta").every((line) => line.startsWith("#") || line === recent);
    await waitFor(
      isShort,
      () =>
        `the marks of what is gone to go: ${marksOf(dir, "beta")}; ${filesIn(dir)}; ${alpha.stderr()}`,
      SWEPT_MS,
    );
    assert.ok(marksOf(dir, "beta").includes(recent), "a mark of what is in the inbox was lost");
    assert.ok(filesIn(dir).includes(waits) && filesIn(dir).includes(recent));
    assert.ok(!filesIn(dir).includes(done), "nothing was swept");
    for (const name of names(dir)) {
      for (const line of marksOf(dir, name)) assert.doesNotMatch(line, /gone/, `in read/${name}`);
    }
    const age = Date.now() - statSync(join(dir, "read/away")).mtimeMs;
    assert.ok(age > 2 * 24 * 3600_000, "a name that is away counts as seen today");
  });

  test("nothing is marked that was not, nor forgotten that was, by a session that reads meanwhile", async (t) => {
    const dir = tempDir(t);
    // So many that to look for them takes the sweep longer than the pause between two messages.
    const gone = Array.from({ length: 5000 }, (_, n) =>
      stamp(50, n).concat("-0a1b2c3d-hand-beta-gone.md"),
    );
    putMarks(dir, "beta", 1, [`# since ${stamp(60)}`, ...gone]);
    const start = performance.now();
    await startSession("alpha", { dir });
    const beta = await startSession("beta", { dir });
    const read: string[] = [];
    const isShort = () => !marksOf(dir, "beta").some((line) => line.includes("gone"));
    await sleep(start + BEFORE_SWEEP_MS - performance.now());
    assert.ok(!isShort(), "swept before this test looked");
    // A message each few ms: some of the marks fall into the moment when the file is made shorter.
    for (; !isShort(); await sleep(5)) {
      assert.ok(performance.now() - start < SWEPT_MS, "no sweep came");
      read.push(put(dir, 0));
      await beta.call("unread");
    }
    await beta.call("unread");
    await beta.close();
    const again = await startSession("beta", { dir });
    assert.match(
      (await again.call("unread")).text,
      /^No unread messages/,
      `${read.length} were read`,
    );
  });
});

test("to drop marks keeps those that another process has added since", async (t) => {
  const dir = tempDir(t);
  const config = readConfig({ IPC_DIR: dir }, dir);
  const [ours, theirs] = [
    new ReadMarks(config, "beta" as Name),
    new ReadMarks(config, "beta" as Name),
  ];
  theirs.mark(["added.md", "gone.md"]);
  await theirs.save();
  await ours.drop(new Set(["gone.md"]));
  assert.deepEqual(marksOf(dir, "beta"), ["added.md"]);
});

describe("a sweep of 2,000 names and 10,000 messages", () => {
  test("lets other work through: no stretch of it is longer than a few ms of the processor", async (t) => {
    const dir = tempDir(t);
    const inInbox = Array.from({ length: 10_000 }, (_, n) =>
      nameOf(1 + n / 10_000, n % 2 ? "all" : "beta"),
    );
    for (const to of ["all", "beta"]) {
      const files = inInbox.filter((file) => file.includes(`-${to}-`));
      writeMany(dir, files, mail({ from: "hand", to, subject: "x" }));
    }
    const old = put(dir, 31, { to: "beta" });
    for (let n = 0; n < 2000; n++) {
      putMarks(dir, `session-${n}`, 1, [`# since ${stamp(40)}`, ...inInbox.slice(n, n + 40)]);
    }
    putMarks(dir, "gone", 50, [`# since ${stamp(60)}`]);
    // The processor's time between two turns of a timer of 1 ms: what else this machine does is not in it.
    const measure = `let last = process.cpuUsage(); let most = 0; let on = false;
      setInterval(() => {
        const { user, system } = process.cpuUsage(last); last = process.cpuUsage();
        if (on) most = Math.max(most, (user + system) / 1000);
      }, 1).unref();
      process.on("SIGUSR2", () => { if (on) process.stderr.write("most " + most.toFixed(1) + "\\n"); else process.stderr.write("on\\n"); on = true; });`;
    const alpha = await startSession("alpha", { dir, command: withCode(measure) });
    await alpha.call("unread"); // the first look at the folder is done
    process.kill(alpha.pid, "SIGUSR2");
    await waitFor(() => alpha.stderr().includes("on\n"), "the measuring");
    // Both are known to be there, and a list of the folder would cost us more than all else here.
    const left = [join(dir, "inbox", old), join(dir, "read", "gone")];
    assert.ok(left.every(existsSync));
    await waitFor(() => !left.some(existsSync), "the sweep", SWEPT_MS);
    await alpha.call("who"); // after whatever of it is still under way
    process.kill(alpha.pid, "SIGUSR2");
    await waitFor(() => alpha.stderr().includes("most "), "the measure");
    const most = Number(/^most ([\d.]+)$/m.exec(alpha.stderr())?.[1]);
    t.diagnostic(`the longest took ${most} ms`);
    // 20 ms are wanted; the collector of garbage works in threads whose time is counted here too.
    assert.ok(most < 60, `it took ${most} ms`);
  });
});

/** Has the server write all that is in its memory, and returns the texts in it. */
async function textsIn(session: TestSession, path: string): Promise<string[]> {
  rmSync(path, { force: true });
  process.kill(session.pid, "SIGUSR2");
  await waitFor(() => existsSync(`${path}.done`), "the snapshot");
  const { strings } = JSON.parse(readFileSync(path, "utf8")) as { strings: string[] };
  rmSync(`${path}.done`);
  return strings;
}

const withSnapshot = (path: string): string[] =>
  withCode(`import { writeHeapSnapshot } from "node:v8"; import { writeFileSync } from "node:fs";
    const path = ${JSON.stringify(path)};
    process.on("SIGUSR2", () => { writeHeapSnapshot(path); writeFileSync(path + ".done", ""); });`);

describe("the memory of a server", { concurrency: true }, () => {
  test("holds nothing of messages that were pushed, read and have left the inbox", async (t) => {
    const dir = tempDir(t);
    const snapshot = join(dirname(dir), "snapshot");
    const beta = await startSession("beta", { dir, command: withSnapshot(snapshot) });
    const count = 500;
    for (let n = 0; n < count; n++) put(dir, 0, { subject: `left behind ${n}` });
    await waitFor(
      () => beta.pushes.length >= count,
      () => `${beta.pushes.length} pushes`,
    );
    // Nothing but `unread` is called, as by a session that only listens.
    for (let text = ""; !text.startsWith("No unread"); ) text = (await beta.call("unread")).text;
    const held = (strings: string[]): number =>
      strings.filter((text) => /^left behind \d+$|subject: left behind/.test(text)).length;
    assert.ok(held(await textsIn(beta, snapshot)) > 0, "the test does not see what is held");
    for (const file of filesIn(dir)) rmSync(join(dir, "inbox", file));
    // The folder is looked at every two seconds, so what is gone is known soon.
    let left = count;
    await waitFor(
      async () => {
        await beta.call("unread");
        left = held(await textsIn(beta, snapshot));
        return left <= 10;
      },
      () => `nothing to be held of ${left} messages`,
      20_000,
    );
  });

  test("holds nothing of sessions of other hosts that have gone", async (t) => {
    const dir = tempDir(t);
    const snapshot = join(dirname(dir), "snapshot");
    const beta = await startSession("beta", { dir, command: withSnapshot(snapshot) });
    const held = (strings: string[]): number =>
      strings.filter((text) => /^foreign-\d+$/.test(text)).length;
    const foreign = (n: number) => [
      `foreign-${n}`,
      {
        timestamp: localTime(),
        status: "active",
        pid: 1,
        working_on: "",
        host: "elsewhere",
        beat: Date.now(),
      },
    ];
    const own = await waitFor(() => heartbeats(dir).beta, "the entry");
    const write = (others: object): void =>
      writeFileSync(join(dir, "heartbeats.json"), JSON.stringify({ ...others, beta: own }));
    write(Object.fromEntries(Array.from({ length: 300 }, (_, n) => foreign(n))));
    assert.match((await beta.call("who")).text, /^301 sessions online/);
    // Again, where a beat of the server fell between our reading and writing.
    await waitFor(async () => {
      write({});
      return (await beta.call("who")).text.startsWith("Nobody else");
    }, "the others to be gone");
    const left = held(await textsIn(beta, snapshot));
    assert.ok(left <= 10, `${left} names are held`);
  });
});
