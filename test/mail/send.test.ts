import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempDir } from "../support/folder.ts";
import {
  filesIn,
  localTime,
  mail,
  readByLine,
  readMail,
  stamp,
  writeMail,
} from "../support/mail.ts";
import { startSession, startSessions } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

test("a message to one session reaches that one, with its header, and nobody else", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta, gamma] = await startSessions(["alpha", "beta", "gamma"], { dir });
  const before = localTime();
  const sent = await alpha.call("send", {
    to: "beta",
    subject: "status update",
    body: "done with the parser,\npushing to main",
    priority: "high",
  });
  const [file = ""] = filesIn(dir);
  assert.equal(sent.isError, false, sent.text);
  assert.ok(sent.text.includes(file), sent.text);
  assert.match(sent.text ?? "", /beta is online/);
  const { content, meta } = (await beta.waitForPush()) ?? assert.fail();
  assert.equal(content, "done with the parser,\npushing to main");
  const { created = "", ...rest } = meta;
  assert.ok(created >= before && created <= localTime(), created);
  assert.deepEqual(rest, {
    from: "alpha",
    to: "beta",
    subject: "status update",
    priority: "high",
    type: "ipc",
    filename: file,
  });
  // Neither the sender nor the third was told of it.
  await Promise.all([alpha.waitForPushes(0), beta.waitForPushes(1), gamma.waitForPushes(0)]);
});

test("the file is a header of six lines and the body as it was written", async (t) => {
  const dir = tempDir(t);
  const [alpha] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("20261122_3655_8201", { dir }),
  ]);
  const body = "\n  first\n\n---\nfrom: nobody\n---\n\ttab 한국어 🎉\n\n";
  await alpha.call("send", { to: "20261122_3655_8201", subject: "진행 상황", body });
  const [file = ""] = filesIn(dir);
  assert.match(file, /^\d{8}T\d{12}-[0-9a-f]{8}-alpha-20261122_3655_82-진행_상황\.md$/);
  const text = readMail(dir, file);
  const head =
    /^---\nfrom: alpha\nto: 20261122_3655_8201\ntype: ipc\nsubject: 진행 상황\npriority: normal\ncreated: [\d-]{10} [\d:]{8}\n---\n\n/;
  assert.match(text, head);
  assert.equal(text.replace(head, ""), `${body}\n`);
  assert.equal(readByLine(text).fields.to, "20261122_3655_8201");
});

test("a message without a body is pushed as its subject", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await alpha.call("send", { to: "beta", subject: "tests are green" });
  assert.equal((await beta.waitForPush()).content, "tests are green");
});

test("a broadcast reaches every other session once, and not its sender", async (t) => {
  const dir = tempDir(t);
  const names = ["alpha", "beta", "gamma", "delta"] as const;
  const [alpha, ...others] = await startSessions(names, { dir });
  const ways: [string, Record<string, string>][] = [
    ["broadcast", {}],
    ["send", { to: "all" }],
    ["send", { to: "broadcast" }],
  ];
  for (const [index, [tool, to]] of ways.entries()) {
    const body = `hold your pushes ${index}`;
    const { text } = (await alpha.call(tool, { ...to, subject: "main is broken", body })) ?? {};
    for (const name of names.slice(1)) assert.ok(text?.includes(name), text);
    assert.doesNotMatch(text?.replace(/Stored as \S+/, "") ?? "", /alpha/);
    for (const other of others) {
      const { meta } = await other.waitForPush(({ content }) => content === body);
      assert.deepEqual([meta.from, meta.to, meta.type], ["alpha", "all", "broadcast"]);
    }
    assert.equal(filesIn(dir).length, index + 1, "one file for all");
  }
  await alpha.waitForPushes(0);
  for (const other of others) await other.waitForPushes(3);
});

test("a broadcast with nobody else online is stored, and says that nobody is there", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const { text, isError } = await alpha.call("broadcast", { subject: "anyone?" });
  assert.equal(isError, false);
  assert.match(text, /[Nn]obody else is online/);
  assert.equal(filesIn(dir).length, 1);
});

test("mail for a session that went offline is accepted and waits", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await beta.close();
  const { text, isError } = await alpha.call("send", { to: "beta", subject: "for later" });
  assert.equal(isError, false, text);
  assert.match(text, /offline/);
  assert.match(text, /waits/);
});

test("a name is known by a message it sent that is still on disk", async (t) => {
  const dir = tempDir(t);
  writeMail(dir, "note.md", mail({ from: "writer-by-hand", to: "somebody-else" }));
  const alpha = await startSession("alpha", { dir });
  await waitFor(() => filesIn(dir)[0] !== "note.md", "the note to get its place in the order");
  const { text, isError } = await alpha.call("send", { to: "writer-by-hand", subject: "got it" });
  assert.equal(isError, false, text);
});

test("a name that nobody has used is refused with the nearest names, unless allowed", async (t) => {
  const dir = tempDir(t);
  const [alpha] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("api-tests", { dir }),
    startSession("docs", { dir }),
  ]);
  for (const to of ["api-test", "API-test", "api-tests-2"]) {
    const refused = await alpha.call("send", { to, subject: "hello" });
    assert.equal(refused.isError, true);
    assert.match(refused.text, /Did you mean api-tests\?/);
    assert.match(refused.text, /Online: .*docs/);
    assert.match(refused.text, /allow_unknown/);
  }
  assert.deepEqual(filesIn(dir), []);
  const stored = await alpha.call("send", {
    to: "api-test",
    subject: "hello",
    allow_unknown: true,
  });
  assert.equal(stored.isError, false, stored.text);
  assert.match(stored.text, /waits/);
  const later = await startSession("api-test", { dir });
  assert.equal((await later.waitForPush()).content, "hello");
});

test("the same message again within a minute is refused, naming the first file", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  const thanks = { to: "beta", subject: "thanks", body: "thank you" };
  assert.equal((await alpha.call("send", thanks)).isError, false);
  const [file = ""] = filesIn(dir);
  for (const again of [thanks, { ...thanks, priority: "critical" }]) {
    const { text, isError } = await alpha.call("send", again);
    assert.equal(isError, true);
    assert.ok(text.includes(file), text);
    assert.match(text, /60 s/);
  }
  for (const other of [
    { ...thanks, body: "thank you!" },
    { ...thanks, subject: "thanks!" },
    { ...thanks, to: "all" },
  ]) {
    assert.equal((await alpha.call("send", other)).isError, false);
  }
  assert.equal(
    (await beta.call("send", { ...thanks, to: "alpha" })).isError,
    false,
    "another sender's",
  );
  await beta.waitForPushes(4);
  assert.equal(filesIn(dir).length, 5);
});

test("of two equal messages sent at one time, one is stored", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
  const twins = [0, 1].map(() => alpha.call("send", { to: "beta", subject: "twin" }));
  const refused = (await Promise.all(twins)).filter(({ isError }) => isError);
  assert.equal(refused.length, 1);
  await beta.waitForPushes(1);
  assert.equal(filesIn(dir).length, 1);
});

test("a name with other letter case or decoration is the same name", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await startSessions(["alpha", "api-tests"], { dir });
  for (const [n, to] of ["API-Tests", " `api-tests` ", "@api-tests:"].entries()) {
    const { text, isError } = await alpha.call("send", { to, subject: `hello ${n}` });
    assert.equal(isError, false, text);
    assert.match(text, /api-tests is online/);
    assert.equal(
      (await beta.waitForPush((push) => push.meta.subject === `hello ${n}`)).meta.to,
      "api-tests",
    );
  }
});

test("a name written in another form of Unicode is the same name", async (t) => {
  const dir = tempDir(t);
  const name = "결제-서버";
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession(name, { dir }),
  ]);
  const { text, isError } = await alpha.call("send", {
    to: name.normalize("NFD"),
    subject: "안녕",
  });
  assert.equal(isError, false, text);
  await beta.waitForPush();
  assert.match((await alpha.call("unread", { session_id: name.normalize("NFD") })).text, /안녕/);
});

test("a message is placed after one that was sent by a clock that is ahead", async (t) => {
  const dir = tempDir(t);
  const last = stamp(-1 / 24);
  writeMail(
    dir,
    `${last}-0a1b2c3d-gamma-beta-ahead.md`,
    mail({ from: "gamma", to: "beta", subject: "ahead" }),
  );
  writeFileSync(join(dir, ".order"), last);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await beta.waitForPush();
  await alpha.call("send", { to: "beta", subject: "after" });
  assert.deepEqual(
    filesIn(dir).map((file) => file.split("-").at(-1)),
    ["ahead.md", "after.md"],
  );
});
