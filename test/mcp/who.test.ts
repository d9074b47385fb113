// What became of mine: `who` says how much of what this session has sent is unread, and where.

import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { heartbeats, localTime, mail, stamp, writeMail } from "../support/mail.ts";
import { startSession, startSessions, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const who = async (session: TestSession): Promise<string> => (await session.call("who")).text;
/** The line of that session in the answer of `who`. */
const lineOf = (text: string, name: string): string =>
  new RegExp(`^- ${name}\\b.*$`, "m").exec(text)?.[0] ?? assert.fail(text);
const OF_MINE = /of your messages?|all you sent/;

describe("who", { concurrency: true }, () => {
  test("`who` says how many of this session's messages are unread there, and when all were read", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta", "gamma"], { dir });
    assert.doesNotMatch(await who(alpha), OF_MINE, "nothing was sent");
    for (const subject of ["one", "two"]) await alpha.call("send", { to: "beta", subject });
    const before = await who(alpha);
    assert.match(lineOf(before, "beta"), /2 of your messages unread, the oldest \d+ s old/);
    assert.doesNotMatch(lineOf(before, "gamma"), OF_MINE);
    assert.doesNotMatch(lineOf(before, "alpha"), OF_MINE);
    assert.doesNotMatch(await who(beta), OF_MINE, "beta has sent nothing");
    await beta.call("unread");
    const after = async () => lineOf(await who(alpha), "beta");
    await waitFor(
      async () => /has read all you sent/.test(await after()),
      () => "the marks to be seen",
    );
    assert.doesNotMatch(await after(), /unread/);
    await alpha.call("send", { to: "beta", subject: "three" });
    assert.match(await after(), /1 of your messages unread/);
    assert.doesNotMatch(await after(), /has read all/);
  });

  test("`who` says how old the oldest unread message is", async (t) => {
    const dir = tempDir(t);
    const [alpha] = await startSessions(["alpha", "beta"], { dir });
    // Written in another time zone: only the file's own time tells its age.
    const fields = { from: "alpha", to: "beta", subject: "x", created: localTime(1) };
    const file = `${stamp(1)}-0a1b2c3d-alpha-beta-x.md`;
    writeMail(dir, file, mail(fields));
    const then = Date.now() / 1000 - 5 * 60;
    utimesSync(join(dir, "inbox", file), then, then);
    await alpha.call("send", { to: "beta", subject: "now" });
    assert.match(
      lineOf(await who(alpha), "beta"),
      /2 of your messages unread, the oldest 5 min old/,
    );
  });

  test("`who` counts what was sent to and by earlier names", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await alpha.call("send", { to: "beta", subject: "to beta" });
    await alpha.call("set_name", { name: "delta" });
    await beta.call("set_name", { name: "gamma" });
    await alpha.call("send", { to: "gamma", subject: "to gamma" });
    assert.match(lineOf(await who(alpha), "gamma"), /2 of your messages unread/);
    await beta.call("unread");
    await waitFor(
      async () => /has read all you sent/.test(lineOf(await who(alpha), "gamma")),
      "both to be read",
    );
  });

  test("`who` tells after the list which offline names have mail of this session waiting", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    const gamma = await startSession("gamma", { dir });
    await gamma.close();
    await waitFor(() => !heartbeats(dir).gamma, "gamma to be gone");
    assert.doesNotMatch(await who(alpha), /gamma/);
    await alpha.call("send", { to: "gamma", subject: "for later" });
    await beta.call("send", { to: "delta", subject: "not alpha's", allow_unknown: true });
    const lines = (await who(alpha)).split("\n");
    const last = lines.findLastIndex(
      (line) => line.startsWith("- alpha") || line.startsWith("- beta"),
    );
    assert.match(lines.slice(last + 1).join("\n"), /\bgamma\b/);
    assert.doesNotMatch(lines.join("\n"), /delta/);
    assert.doesNotMatch(await who(beta), /gamma/);
    const again = await startSession("gamma", { dir });
    assert.match(lineOf(await who(alpha), "gamma"), /1 of your messages unread/);
    await again.call("unread");
    await waitFor(
      async () => /has read all you sent/.test(lineOf(await who(alpha), "gamma")),
      "gamma to have read",
    );
    await again.close();
    await waitFor(() => !heartbeats(dir).gamma, "gamma to be gone");
    assert.doesNotMatch(await who(alpha), /gamma/, "nothing waits for it any more");
  });
});
