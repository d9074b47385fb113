// Sessions in any two time zones on one folder: everything arrives once and in one order.

import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { start } from "../../support/command.ts";
import { tempDir } from "../../support/folder.ts";
import { mail, writeMail } from "../../support/mail.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

/** From the first to the last to see a new day; a container is in UTC, whatever its host is in. */
const ZONES = ["Pacific/Kiritimati", "Europe/Berlin", "UTC", "America/Los_Angeles"];
const nameOf = (zone: string): string => zone.replace(/.*\//, "").toLowerCase();

/** Sessions in all zones, started in this order. */
async function everywhere(
  dir: string,
  zones: readonly string[],
): Promise<Map<string, TestSession>> {
  const sessions = new Map<string, TestSession>();
  for (const TZ of zones) sessions.set(TZ, await startSession(nameOf(TZ), { dir, env: { TZ } }));
  return sessions;
}

const subjects = (session: TestSession) => session.pushes.map(({ meta }) => meta.subject);

describe("time zones", { concurrency: true }, () => {
  for (const [order, zones] of [
    ["the eastern ones first", ZONES],
    ["the western ones first", ZONES.toReversed()],
  ] as const) {
    test(`a hand-written note to all reaches every session, ${order}`, async (t) => {
      const dir = tempDir(t);
      const sessions = await everywhere(dir, zones);
      // A file has no time zone; the second note comes after a message with a stamp of each zone.
      writeMail(dir, "note.md", mail({ from: "hand", to: "all", subject: "by hand" }, "text"));
      for (const session of sessions.values())
        await session.waitForPush(({ meta }) => meta.subject === "by hand");
      for (const [zone, session] of sessions)
        await session.call("broadcast", { subject: `from ${zone}` });
      writeMail(
        dir,
        "note.md",
        mail({ from: "hand", to: "all", subject: "by hand again" }, "text"),
      );
      const expected = ["by hand", ...zones.map((zone) => `from ${zone}`), "by hand again"];
      for (const [zone, session] of sessions) {
        const wanted = expected.filter((subject) => subject !== `from ${zone}`);
        await session.waitForPushes(wanted.length);
        assert.deepEqual(subjects(session), wanted, `in ${zone}`);
        const { text } = await session.call("unread");
        const read = [...text.matchAll(/^subject: (.*)$/gm)].map(([, subject]) => subject);
        assert.deepEqual(read, wanted, `in ${zone}`);
        assert.match((await session.call("unread")).text, /^No unread messages/);
      }
    });
  }

  test("a new folder's first session gets broadcasts from further west", async (t) => {
    const dir = tempDir(t);
    const east = await startSession("east", { dir, env: { TZ: "Pacific/Kiritimati" } });
    const west = await startSession("west", { dir, env: { TZ: "America/Los_Angeles" } });
    await west.call("broadcast", { subject: "from the west" });
    await east.waitForPush(({ meta }) => meta.subject === "from the west");
    assert.match((await east.call("unread")).text, /subject: from the west/);
  });

  test("a session gets the broadcasts since its start in any two zones", async (t) => {
    const [east, west] = ["Pacific/Kiritimati", "America/Los_Angeles"];
    for (const [early, late] of [
      [east, west],
      [west, east],
    ] as const) {
      const dir = tempDir(t);
      const one = await startSession("early", { dir, env: { TZ: early } });
      writeMail(dir, "before.md", mail({ from: "hand", to: "all", subject: "by hand, before" }));
      await one.waitForPush(({ meta }) => meta.subject === "by hand, before");
      await one.call("broadcast", { subject: "before" });
      const two = await startSession("late", { dir, env: { TZ: late } });
      assert.match(
        (await two.call("unread")).text,
        /^No unread messages/,
        `${early}, then ${late}`,
      );
      writeMail(dir, "after.md", mail({ from: "hand", to: "all", subject: "by hand, after" }));
      await two.waitForPush(({ meta }) => meta.subject === "by hand, after");
      await one.call("broadcast", { subject: "after" });
      await two.waitForPushes(2);
    }
  });

  test("watch prints what sessions in other zones send, or have sent", async (t) => {
    const dir = tempDir(t);
    const sessions = await everywhere(dir, ZONES);
    for (const [zone, session] of sessions) {
      await session.call("send", { to: "later", subject: `before, ${zone}`, allow_unknown: true });
    }
    const watches = ZONES.map((TZ) => ({
      TZ,
      process: start(dir, ["watch", "--since", "10m"], { env: { TZ } }),
    }));
    for (const { TZ, process } of watches) {
      await waitFor(
        () => ZONES.every((zone) => process.stdout.includes(`before, ${zone}`)),
        () => `${TZ}: ${process.stdout}`,
      );
    }
    const plain = ZONES.map((TZ) => ({ TZ, process: start(dir, ["watch"], { env: { TZ } }) }));
    let n = 0;
    // Until all stand: nothing tells from outside when a watch without --since does.
    await waitFor(
      async () => {
        await sessions
          .get("UTC")
          ?.call("send", { to: "later", subject: `sign ${++n}`, allow_unknown: true });
        return plain.every(({ process }) => process.stdout.includes("sign"));
      },
      () => `a sign, have ${plain.map(({ TZ, process }) => `${TZ}: ${process.stdout}`)}`,
    );
    for (const [zone, session] of sessions) {
      await session.call("send", { to: "later", subject: `after, ${zone}`, allow_unknown: true });
    }
    for (const { TZ, process } of [...watches, ...plain]) {
      await waitFor(
        () => ZONES.every((zone) => process.stdout.includes(`after, ${zone}`)),
        () => `${TZ}: ${process.stdout}`,
      );
    }
    for (const { process } of plain)
      assert.doesNotMatch(process.stdout, /before, /, "what came before it");
  });

  test("watch --since leaves out older messages in every zone", async (t) => {
    const dir = tempDir(t);
    // Written three hours ago, in UTC.
    const then = new Date(Date.now() - 3 * 3600_000);
    const file = `${then.toISOString().replace(/[-:.Z]/g, "")}000-0a1b2c3d-alpha-beta-old.md`;
    writeMail(dir, file, mail({ from: "alpha", to: "beta", subject: "old" }));
    utimesSync(join(dir, "inbox", file), then, then);
    const alpha = await startSession("alpha", { dir, env: { TZ: "UTC" } });
    await alpha.call("send", { to: "later", subject: "new", allow_unknown: true });
    const watches = ZONES.map((TZ) => start(dir, ["watch", "--since", "1h"], { env: { TZ } }));
    for (const watch of watches) {
      await waitFor(
        () => watch.stdout.includes("new"),
        () => watch.stdout,
      );
      assert.doesNotMatch(watch.stdout, /: old$/m);
    }
  });
});
