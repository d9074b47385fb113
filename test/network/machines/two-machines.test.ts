// Two machines on one folder, over a real network file system: mail, order, locks and who is
// online.

import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { filesIn, heartbeats, mail, readMail } from "../../support/mail.ts";
import { startSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";
import { DevBox, Laptop, lists, readAll, skip } from "./machines.ts";

/** From the call to the other side's notification, over the network, at IPC_POLL=500. */
const SEEN_MS = 2000;
/** A lock left behind is taken over after 5 s by the next that asks for it. */
const TAKEN_OVER_MS = 10_000;

describe("a dev box and a laptop", { concurrency: true, skip }, () => {
  test("mail crosses within 2 s both ways, and each lists the other", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    const [there, here] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
    await lists(there, "on-laptop");
    await lists(here, "on-box");
    for (const [from, to, name] of [
      [there, here, "on-laptop"],
      [here, there, "on-box"],
    ] as const) {
      const sent = performance.now();
      const { text } = await from.call("send", {
        to: name,
        subject: `hello ${name}`,
        body: "안녕",
      });
      assert.match(text, new RegExp(`^Stored as .* ${name} is online`));
      const push = await to.waitForPush(({ meta }) => meta.subject === `hello ${name}`);
      const took = Math.round(push.at - sent);
      assert.ok(took < SEEN_MS, `${took} ms to ${name}`);
      t.diagnostic(`to ${name}: ${took} ms`);
      assert.equal(push.content, "안녕");
      assert.deepEqual(await readAll(to), [`hello ${name}`]);
    }
  });

  test("200 messages from both sides are there once, in one order for all readers", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    const [there, here] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
    const readers = await Promise.all([box.session("reader-1"), laptop.session("reader-2")]);
    // They read while others send: no later message may get a place before one that was read.
    let isSent = false;
    const reading = readers.map(async (reader) => {
      const subjects: string[] = [];
      for (; !isSent; await sleep(200)) subjects.push(...(await readAll(reader)));
      return [...subjects, ...(await readAll(reader))];
    });
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    const calls = numbers.flatMap((n) => [
      there.call("broadcast", { subject: `box ${n}` }),
      here.call("broadcast", { subject: `laptop ${n}` }),
    ]);
    for (const { text, isError } of await Promise.all(calls)) assert.equal(isError, false, text);
    isSent = true;
    const read = await Promise.all(reading);
    const inOrder = filesIn(box.dir).map(
      (file) => /subject: (.*)/.exec(readMail(box.dir, file))?.[1],
    );
    assert.equal(new Set(inOrder).size, 200);
    for (const subjects of read) assert.deepEqual(subjects, inOrder);
    for (const { pushes } of readers) {
      const told = pushes.map(({ meta }) => meta.filename);
      assert.equal(new Set(told).size, told.length, "told twice");
    }
  });

  test("nothing is lost or announced twice if the line is silent for 6 s", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    const [there, here] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
    await there.call("send", { to: "on-laptop", subject: "before" });
    await here.waitForPush();
    await box.goSilent();
    const silent = sleep(6000);
    for (let n = 1; n <= 5; n++)
      await there.call("send", { to: "on-laptop", subject: `in the silence ${n}` });
    const late = here.call("send", { to: "on-box", subject: "from the tunnel" });
    let isAnswered = false;
    void late.then(() => {
      isAnswered = true;
    });
    await silent;
    assert.equal(isAnswered, false, "the line was never cut");
    await box.comeBack();
    assert.match((await late).text, /^Stored as/);
    await there.waitForPush(({ meta }) => meta.subject === "from the tunnel");
    await here.waitForPush(({ meta }) => meta.subject === "in the silence 5");
    const expected = ["before", ...[1, 2, 3, 4, 5].map((n) => `in the silence ${n}`)];
    assert.deepEqual(
      here.pushes.map(({ meta }) => meta.subject),
      expected,
    );
    assert.deepEqual(await readAll(here), expected);
    assert.deepEqual(await readAll(there), ["from the tunnel"]);
    await lists(here, "on-box");
    await lists(there, "on-laptop");
  });

  test("a handwritten note to all is one message in one place, on either side", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    const [there, here] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
    const readers = await Promise.all([box.session("reader-1"), laptop.session("reader-2")]);
    const everybody = [there, here, ...readers];
    const hasCome = (subject: string) =>
      Promise.all(
        everybody.map((session) => session.waitForPush(({ meta }) => meta.subject === subject)),
      );
    const note = (subject: string) => mail({ from: "me", to: "all", subject }, "in the kitchen");

    writeFileSync(join(box.dir, "inbox", "lunch.md"), note("lunch"));
    await hasCome("lunch");
    await there.call("broadcast", { subject: "after lunch" });
    await here.waitForPush(({ meta }) => meta.subject === "after lunch");
    writeFileSync(join(laptop.seen, "inbox", "tea.md"), note("tea"));
    await hasCome("tea");
    await here.call("broadcast", { subject: "after tea" });
    await there.waitForPush(({ meta }) => meta.subject === "after tea");

    const expected = ["lunch", "after lunch", "tea", "after tea"];
    for (const reader of readers) assert.deepEqual(await readAll(reader), expected);
    for (const session of everybody) {
      const told = session.pushes
        .filter(({ meta }) => meta.from === "me")
        .map(({ meta }) => meta.subject);
      assert.deepEqual(told, ["lunch", "tea"], "told once each");
    }
    for (const file of filesIn(box.dir)) assert.match(file, /^\d{8}T\d{12}-/, "not adopted");
  });

  test("heartbeats.json is read whole if the mount's cache cuts files that grew", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box, ["reconnect"]);
    const [there, here] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
    await lists(here, "on-box");
    for (let n = 1; n <= 5; n++) {
      const working_on = "x".repeat(n * 10);
      await there.call("set_name", { name: "on-box", working_on });
      assert.match(
        (await here.call("who")).text,
        new RegExp(`^- on-box: .*working on “${working_on}”`, "m"),
      );
    }
    assert.doesNotMatch(readdirSync(box.dir).join(), /\.bad-/);
  });

  test("mail goes out at once if a machine that vanished left its locks", async (t) => {
    const box = await DevBox.start(t);
    const there = await box.session("on-box");
    for (const lock of ["inbox.lock", "heartbeats.json.lock"]) {
      await leaveBehind(t, box, lock);
      const start = performance.now();
      const { text } = await there.call("send", { to: "on-laptop", subject: `after ${lock}` });
      assert.match(text, /^Stored as/);
      const took = Math.round(performance.now() - start);
      assert.ok(took < 3000, `took ${took} ms`);
      let n = 0;
      const isTakenOver = async (): Promise<boolean> => {
        await there.call("send", { to: "on-laptop", subject: `after ${lock} ${++n}` });
        await there.call("set_name", { name: "on-box", working_on: `after ${lock} ${n}` });
        return !existsSync(join(box.dir, lock));
      };
      await waitFor(isTakenOver, `${lock} to be taken over`, TAKEN_OVER_MS);
    }
    // Its name is not free yet, since its last beat is recent. A new session is listed all the
    // same.
    const back = await Laptop.start(t, box);
    await back.session("on-another");
    await lists(there, "on-another");
  });

  test("a machine that vanishes is off the list when its last beat is 90 s old", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    const [there] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
    await lists(there, "on-laptop");
    await laptop.vanish();
    await lists(there, "on-laptop"); // nobody can know yet
    await there.close(); // it would write its own beat into the file while we do
    // Preset: the last beat as it will be in a while. Those who look were not there when it beat.
    for (const [age, isListed] of [
      [80_000, true],
      [91_000, false],
    ] as const) {
      const entries = heartbeats(box.dir);
      const entry = entries["on-laptop"];
      assert.ok(entry, "it is the laptop's to remove");
      entries["on-laptop"] = { ...entry, beat: Date.now() - age };
      writeFileSync(join(box.dir, "heartbeats.json"), JSON.stringify(entries));
      const looker = await startSession(undefined, { dir: box.dir });
      assert.equal(
        /^- on-laptop:/m.test((await looker.call("who")).text),
        isListed,
        `after ${age} ms`,
      );
      await looker.close();
    }
  });
});

/** A session beats within two seconds of a call. */
const BEATS_WITHIN_MS = 5000;

/** A laptop sends, and beats, until it vanishes with that lock in its hands. */
async function leaveBehind(t: TestContext, box: DevBox, lock: string): Promise<void> {
  for (let laptops = 0; laptops < 10; laptops++) {
    const laptop = await Laptop.start(t, box);
    const here = await laptop.session("on-laptop");
    for (let n = 0; n < 200; n++) {
      here.call("broadcast", { subject: `${lock} ${laptops}.${n}` }).catch(() => {});
    }
    await isThere(join(box.dir, lock));
    await laptop.vanish();
    if (existsSync(join(box.dir, lock))) return;
  }
  assert.fail(`${lock} was given back each time`);
}

async function isThere(path: string): Promise<void> {
  const end = performance.now() + BEATS_WITHIN_MS;
  while (!existsSync(path) && performance.now() < end) await sleep(1);
}
