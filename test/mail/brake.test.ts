// Two models that talk forever: once a session has sent more than twenty messages in ten minutes,
// each answer says that silence is an answer too.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Heartbeats } from "../../src/core/heartbeats.ts";
import { Inbox } from "../../src/core/inbox.ts";
import { Mailbox, type SendRequest } from "../../src/core/mailbox.ts";
import { toName } from "../../src/core/names.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { configOf } from "../support/command.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn } from "../support/mail.ts";
import { startSessions, type TestSession } from "../support/session.ts";

const BRAKE = /silence/i;

async function send(from: TestSession, to: string, subject: string): Promise<string> {
  const { text, isError } = await from.call("send", { to, subject });
  assert.equal(isError, false, text);
  assert.match(text, /^Stored as/);
  return text;
}

describe("a session that sends many messages", { concurrency: true }, () => {
  test("it is told so in one line from the 21st message on, and nothing is refused", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    for (let n = 1; n <= 20; n++) {
      assert.doesNotMatch(await send(alpha, "beta", `question ${n}`), BRAKE);
    }
    const lines = await send(alpha, "beta", "the 21st");
    const noted = lines.split("\n").filter((line) => BRAKE.test(line));
    assert.equal(noted.length, 1, lines);
    assert.match(noted[0] ?? "", /21 messages in ten minutes/);
    assert.match(await send(alpha, "beta", "the 22nd"), BRAKE);
    assert.doesNotMatch(await send(beta, "alpha", "the other session's first"), BRAKE);
    assert.equal(filesIn(dir).length, 23);
  });

  test("its messages count whoever they are for, under whatever names", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta", "delta"], { dir });
    for (let n = 0; n < 7; n++) await send(alpha, "beta", `first ${n}`);
    await beta.call("set_name", { name: "gamma" });
    for (let n = 0; n < 7; n++) await send(alpha, "gamma", `second ${n}`);
    await alpha.call("set_name", { name: "epsilon" });
    for (let n = 0; n < 6; n++) await send(alpha, "delta", `third ${n}`);
    assert.match(await send(alpha, "delta", "the last"), BRAKE);
  });

  test("messages from before the last ten minutes do not count", async (t) => {
    const config = configOf(tempDir(t));
    let ahead = 0;
    const system = createSystem(config);
    const clock = { ...system.clock, elapsed: () => system.clock.elapsed() + ahead };
    const heartbeats = new Heartbeats(config, system);
    const inbox = new Inbox({ folder: config }, system);
    const name = toName("alpha");
    const owner = { name, names: [name], notes: {}, inherits: () => true, check() {} };
    const mailbox = new Mailbox(config, { ...system, clock }, inbox, heartbeats, owner);
    const countAfter = async (subject: string): Promise<number> => {
      const request = { to: ["beta"], subject, body: "", priority: "normal", allowUnknown: true };
      return (await mailbox.send(request as SendRequest)).recentCount;
    };
    for (let n = 1; n <= 20; n++) assert.equal(await countAfter(`${n}`), n);
    ahead = 9 * 60_000;
    assert.equal(await countAfter("after nine minutes"), 21);
    ahead = 11 * 60_000;
    assert.equal(await countAfter("after eleven minutes"), 2);
  });
});
