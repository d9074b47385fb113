// Two models that talk for ever: after twenty messages in ten minutes, each answer says that silence is one too.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { filesIn, mail, writeMail } from "../support/mail.ts";
import { startSessions, type TestSession } from "../support/session.ts";

const BRAKE = /silence/i;

async function send(from: TestSession, to: string, subject: string): Promise<string> {
  const { text, isError } = await from.call("send", { to, subject });
  assert.equal(isError, false, text);
  assert.match(text, /^Stored as/);
  return text;
}

describe("between two sessions", { concurrency: true }, () => {
  test("more than 20 messages in ten minutes are noted in one line of each further answer; nothing is refused", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta, gamma] = await startSessions(["alpha", "beta", "gamma"], { dir });
    for (let n = 0; n < 10; n++) {
      assert.doesNotMatch(await send(alpha, "beta", `question ${n}`), BRAKE);
      assert.doesNotMatch(await send(beta, "alpha", `answer ${n}`), BRAKE);
    }
    await send(alpha, "beta", "the 21st");
    const lines = await send(beta, "alpha", "the 22nd");
    assert.match(lines, BRAKE);
    assert.match(lines, /2\d messages/);
    const noted = lines.split("\n").filter((line) => BRAKE.test(line));
    assert.equal(noted.length, 1, lines);
    assert.match(await send(alpha, "beta", "the 23rd"), BRAKE);
    assert.doesNotMatch(await send(alpha, "gamma", "to another"), BRAKE);
    assert.doesNotMatch(await send(gamma, "beta", "from another"), BRAKE);
    assert.equal(filesIn(dir).length, 25);
  });

  test("many messages one way count as well, and names of before a rename", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    for (let n = 0; n < 12; n++) await send(alpha, "beta", `first ${n}`);
    await beta.call("set_name", { name: "gamma" });
    for (let n = 0; n < 12; n++) await send(alpha, "gamma", `second ${n}`);
    assert.match(await send(alpha, "gamma", "the last"), BRAKE);
  });

  test("what was sent before the last ten minutes does not count", async (t) => {
    const dir = tempDir(t);
    const then = new Date(Date.now() - 11 * 60_000 - new Date().getTimezoneOffset() * 60_000);
    const at = then.toISOString().replace(/[-:.Z]/g, "");
    for (let n = 100; n < 140; n++) {
      writeMail(
        dir,
        `${at}${n}-0a1b2c3d-alpha-beta-x.md`,
        mail({ from: "alpha", to: "beta", subject: `${n}` }),
      );
    }
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    assert.doesNotMatch(await send(alpha, "beta", "hello"), BRAKE);
    assert.doesNotMatch(await send(beta, "alpha", "hello"), BRAKE);
  });
});
