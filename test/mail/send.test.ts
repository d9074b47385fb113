import assert from "node:assert/strict";
import { test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { filesIn, localTime, mail, readByLine, readMail, writeMail } from "../support/mail.ts";
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
  assert.match(text, /Nobody else is online.*within 7 days/);
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
  assert.match(text, /offline.*waits.*for up to 30 days/);
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
