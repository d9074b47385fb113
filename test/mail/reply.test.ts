// Which message answers which: `reply_to`, and reading one message again.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { tempDir } from "../support/folder.ts";
import {
  filesIn,
  mail,
  readByLine,
  readMail,
  stamp,
  writeMail,
  writeMany,
} from "../support/mail.ts";
import { RawServer } from "../support/rpc.ts";
import { startSession, startSessions, type TestSession } from "../support/session.ts";

/** Sends a message and returns the name of its file. */
async function send(
  session: TestSession,
  to: string,
  subject: string,
  more: object = {},
): Promise<string> {
  const { text, isError } = await session.call("send", {
    to,
    subject,
    allow_unknown: true,
    ...more,
  });
  assert.equal(isError, false, text);
  return /Stored as (\S+\.md)/.exec(text)?.[1] ?? assert.fail(text);
}

/** Two sessions; each `ask` is another question of alpha to beta, with nothing else unread. */
async function startAsking(t: TestContext) {
  const dir = tempDir(t);
  const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
  let count = 0;
  const ask = async (): Promise<string> => {
    for (const session of [alpha, beta]) {
      await session.call("unread");
      session.pushes.length = 0;
    }
    const asked = await send(alpha, "beta", "which port?", { body: `question ${++count}` });
    await beta.waitForPush(({ meta }) => meta.filename === asked);
    return asked;
  };
  return { dir, alpha, beta, ask };
}

/** Moves a message to the archive, as a sweep does when its time has come. */
function archive(dir: string, file: string): void {
  mkdirSync(join(dir, "archive"), { recursive: true });
  renameSync(join(dir, "inbox", file), join(dir, "archive", file));
}

test("reply_to", async (t) => {
  const { dir, alpha, beta, ask } = await startAsking(t);

  await t.test("an answer names its question in header, notification and when read", async () => {
    const asked = await ask();
    const answer = await send(beta, "alpha", "8080", { body: "the usual one", reply_to: asked });
    const { fields, body } = readByLine(readMail(dir, answer));
    assert.equal(fields.reply_to, asked);
    assert.equal(body, "the usual one");
    const push = await alpha.waitForPush();
    assert.equal(push.meta.reply_to, asked);
    const { text } = await alpha.call("unread");
    const shown = new RegExp(
      `^reply_to: ${asked} \\(“which port\\?”, sent by you \\d\\d:\\d\\d\\)$`,
      "m",
    );
    assert.match(text, shown);
  });

  await t.test("a message that answers nothing has no reply_to", async () => {
    const asked = await ask();
    assert.equal("reply_to" in readByLine(readMail(dir, asked)).fields, false);
    assert.equal("reply_to" in ((await beta.waitForPush()).meta ?? {}), false);
    assert.doesNotMatch((await beta.call("unread")).text, /reply_to/);
    await alpha.waitForPushes(0);
  });

  await t.test("an answer shows who sent the question", async () => {
    const asked = await ask();
    const more = await send(alpha, "beta", "and which host?", { reply_to: asked });
    assert.match(
      (await beta.call("unread")).text,
      new RegExp(`^reply_to: ${asked} \\(“which port\\?”, sent by alpha \\d\\d:\\d\\d\\)$`, "m"),
    );
    assert.ok(more);
  });

  await t.test("reply_to may name read, archived, broadcast and own messages", async () => {
    const asked = await ask();
    await beta.call("unread");
    assert.ok(await send(beta, "alpha", "read before", { reply_to: asked }));
    archive(dir, asked);
    const again = await send(beta, "alpha", "from the archive", { reply_to: asked });
    assert.equal(
      (await alpha.waitForPush(({ meta }) => meta.filename === again)).meta.reply_to,
      asked,
    );
    assert.match(
      (await alpha.call("unread")).text,
      new RegExp(`^reply_to: ${asked} \\(“which port\\?”, sent by you`, "m"),
    );
    assert.ok(await send(alpha, "beta", "to my own", { reply_to: asked }));
    const { text } = await alpha.call("broadcast", { subject: "to all" });
    const [broadcast = ""] = filesIn(dir).filter((file) => text.includes(file));
    await beta.waitForPush(({ meta }) => meta.filename === broadcast);
    const last = await send(beta, "alpha", "to the broadcast", { reply_to: broadcast });
    await alpha.waitForPush(({ meta }) => meta.filename === last);
  });

  await t.test("a reply_to that is not the sender's message is refused", async () => {
    const asked = await ask();
    const gamma = await startSession("gamma", { dir });
    const others = await send(alpha, "delta", "not gamma's to know");
    const archived = await send(alpha, "delta", "not gamma's either");
    archive(dir, archived);
    const before = filesIn(dir);
    const wrong = [
      ...[`${asked}x`, "20200101T000000000000-0a1b2c3d-alpha-beta-x.md", "note.md"],
      ...["..", "/etc/passwd", "a\nb", "\0"],
      ...["heartbeats.json", "../heartbeats.json", "../read/beta"],
    ];
    for (const reply_to of wrong) {
      const { text, isError } = await beta.call("send", { to: "alpha", subject: "x", reply_to });
      assert.equal(isError, true, `${JSON.stringify(reply_to)} is taken: ${text}`);
      assert.match(text, /^Not sent: .*reply_to/, text);
      const [refusal = ""] = text.split("\n\nt9-ipc: 1 new message");
      assert.doesNotMatch(refusal, /\p{Cc}/u);
    }
    for (const reply_to of [others, archived, asked]) {
      const { text, isError } = await gamma.call("send", { to: "alpha", subject: "x", reply_to });
      assert.equal(isError, true, text);
      assert.doesNotMatch(text, /not gamma's|which port/, "it tells what it refuses to tell");
    }
    assert.deepEqual(filesIn(dir), before);
    const mistyped = await beta.call("send", { to: "alpha", subject: "x", reply_to: 5 });
    assert.match(mistyped.text, /reply_to is a number and has to be a text/);
  });

  await t.test("a reply_to with a folder, quotes or without .md is forgiven", async () => {
    const asked = await ask();
    const ways = [
      `inbox/${asked}`,
      `../inbox/${asked}`,
      join(dir, "inbox", asked),
      `./${asked}`,
      `\`${asked}\``,
      asked.slice(0, -".md".length),
    ];
    for (const [n, reply_to] of ways.entries()) {
      const answer = await send(beta, "alpha", `answer ${n}`, { reply_to });
      assert.equal(readByLine(readMail(dir, answer)).fields.reply_to, asked, reply_to);
    }
    await alpha.waitForPushes(ways.length);
  });

  await t.test("a handwritten reply_to reveals nothing of others' mail", async () => {
    const asked = await ask();
    await beta.call("unread");
    const secret = await send(alpha, "delta", "a secret plan");
    for (const [n, reply_to] of [
      asked,
      secret,
      "../../etc/passwd",
      "nonsense",
      `"${asked}"`,
      "",
      "</channel>",
    ].entries()) {
      writeMail(
        dir,
        `${stamp(0, 100 + n)}-0a1b2c3d-hand-beta-x.md`,
        mail({ from: "hand", to: "beta", subject: `by hand ${n}`, reply_to }, "x"),
      );
    }
    const { text } = await beta.call("unread");
    for (let n = 0; n < 7; n++) assert.match(text, new RegExp(`^subject: by hand ${n}$`, "m"));
    assert.match(text, new RegExp(`^reply_to: ${asked} \\(“which port\\?”, sent by alpha`, "m"));
    assert.doesNotMatch(text, /a secret plan|root:/);
    for (const { meta } of beta.pushes) assert.doesNotMatch(meta.reply_to ?? "", /[<>"\n]/);
  });

  await t.test(
    "reply_to may name a message to or from an earlier name of this session",
    async () => {
      const asked = await ask();
      await beta.call("set_name", { name: "gamma" });
      assert.ok(await send(beta, "alpha", "as gamma", { reply_to: asked }));
      await alpha.call("set_name", { name: "delta" });
      assert.match(
        (await alpha.call("unread")).text,
        /^reply_to: .* \(“which port\?”, sent by you /m,
      );
    },
  );
});

describe("t9_ipc_unread with file", { concurrency: true }, () => {
  test("a message that was read is returned again, from inbox and archive", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    const file = await send(alpha, "beta", "the plan", {
      body: "first line\n\nlast line",
      priority: "high",
    });
    const first = (await beta.call("unread")).text;
    for (const where of ["inbox", "archive"]) {
      if (where === "archive") archive(dir, file);
      const { text, isError } = await beta.call("unread", { file });
      assert.equal(isError, false, text);
      for (const line of [
        "from: alpha",
        "to: beta",
        "subject: the plan",
        "priority: high",
        `file: ${file}`,
      ]) {
        assert.ok(text.includes(`${line}\n`), `${line}, from ${where}: ${text}`);
      }
      assert.ok(text.includes("\n\nfirst line\n\nlast line\n"), text);
      assert.ok(first.includes("first line\n\nlast line\n"));
    }
  });

  test("the message is marked as read, and no other", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    const [one] = [await send(alpha, "beta", "one"), await send(alpha, "beta", "two")];
    assert.match((await beta.call("unread", { file: one })).text, /subject: one/);
    assert.match((await beta.call("unread")).text, /^1 unread message:.*subject: two/s);
    await beta.close();
    const again = await startSession("beta", { dir });
    assert.match((await again.call("unread")).text, /^No unread messages/);
  });

  test("the sender sees the message, too, and marks nothing for the addressee", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    const file = await send(alpha, "beta", "mine");
    await alpha.call("set_name", { name: "gamma" });
    assert.match((await alpha.call("unread", { file })).text, /subject: mine/);
    assert.match((await beta.call("unread")).text, /^1 unread message:.*subject: mine/s);
  });

  test("nobody else sees the message, and no other file is ever opened", async (t) => {
    const dir = tempDir(t);
    const [alpha, gamma] = await startSessions(["alpha", "gamma"], { dir });
    const asked = await send(alpha, "beta", "which port?");
    for (const where of ["inbox", "archive"]) {
      if (where === "archive") archive(dir, asked);
      const { text, isError } = await gamma.call("unread", { file: asked });
      assert.equal(isError, true, text);
      assert.doesNotMatch(text, /which port/);
    }
    const paths = [
      `inbox/${asked}`,
      `../archive/${asked}`,
      join(dir, "archive", asked),
      "../heartbeats.json",
      "..",
      "/etc/passwd",
      "none.md",
      "a\0b",
    ];
    for (const file of paths) {
      const { text, isError } = await gamma.call("unread", { file });
      assert.equal(isError, true, `${file}: ${text}`);
      assert.doesNotMatch(text, /\p{Cc}|root:|timestamp/u);
    }
    assert.match(
      (await gamma.call("unread", { file: 5 })).text,
      /file is a number and has to be a text/,
    );
  });

  test("a broadcast is returned to those whose mail it was", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await alpha.call("broadcast", { subject: "to all" });
    const [file = ""] = filesIn(dir);
    for (const session of [alpha, beta, beta])
      assert.match((await session.call("unread", { file })).text, /subject: to all/);
    assert.match((await beta.call("unread")).text, /^No unread messages/);
  });

  test("a cancelled call marks nothing", async (t) => {
    const dir = tempDir(t);
    const others = Array.from(
      { length: 4000 },
      (_, n) => `${stamp(0, n)}-0a1b2c3d-hand-other-x.md`,
    );
    writeMany(dir, others, mail({ from: "hand", to: "other", subject: "x" }));
    const file = `${stamp(0, 999_999)}-0a1b2c3d-hand-alpha-x.md`;
    writeMail(dir, file, mail({ from: "hand", to: "alpha", subject: "kept" }));
    const server = await new RawServer(dir).initialize();
    server.call(1, "unread", { file });
    server.write({ method: "notifications/cancelled", params: { requestId: 1 } });
    await sleep(1);
    server.call(2, "set_name", { name: "alpha" });
    await server.answer(2);
    server.call(3, "unread");
    const text = (await server.answer(3)).result?.content?.[0]?.text ?? "";
    assert.equal(
      server.lines().some(({ id }) => id === 1),
      false,
      "it was answered: this test tests nothing",
    );
    assert.match(text, /^1 unread message:.*subject: kept/s);
  });
});

test("the instructions name reply_to and the data folder, in less than 2 KB", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const text = alpha.client.getInstructions() ?? "";
  assert.match(text, /reply_to/);
  assert.ok(text.includes(dir), text);
  assert.ok(
    Buffer.byteLength(text) - Buffer.byteLength(dir) < 2048 - 60,
    `${Buffer.byteLength(text)} bytes`,
  );
  const { tools } = await alpha.client.listTools();
  assert.equal(tools.length, 5);
});

test("a message without reply_to and with an unknown key is read as any other", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const file = `${stamp(0, 1)}-0a1b2c3d-hand-beta-x.md`;
  writeMail(dir, file, mail({ from: "hand", to: "beta", subject: "x", mood: "good" }, "body"));
  assert.match((await beta.call("unread")).text, /subject: x/);
  assert.match(readFileSync(join(dir, "inbox", file), "utf8"), /mood: good/);
});
