import assert from "node:assert/strict";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { tempDir } from "../support/folder.ts";
import { filesIn, heartbeats, mail, stamp, writeMail } from "../support/mail.ts";
import { SERVER } from "../support/process.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const subjects = (session: TestSession): (string | undefined)[] =>
  session.pushes.map(({ meta }) => meta.subject);
const filenames = (session: TestSession): (string | undefined)[] =>
  session.pushes.map(({ meta }) => meta.filename);

test("a message sent right after the handshake is pushed at once, not at the next look at the folder", async (t) => {
  const dir = tempDir(t);
  const waits: number[] = [];
  // Once may be slow on a busy machine; a missed event is slow every time.
  for (let round = 0; round < 3 && !waits.some((ms) => ms < 1000); round++) {
    const pair = await Promise.all([startSession("alpha", { dir }), startSession("beta", { dir })]);
    const sent = performance.now();
    await pair[0].call("send", { to: "beta", subject: `${round}` });
    const push = await pair[1].waitForPush(({ meta }) => meta.subject === `${round}`);
    waits.push(push.at - sent);
    await Promise.all(pair.map((session) => session.close()));
  }
  assert.ok(Math.min(...waits) < 1000, `took ${waits} ms`);
});

test("the first message in a fresh folder is pushed at once", async (t) => {
  const waits: number[] = [];
  for (let round = 0; round < 3 && !waits.some((ms) => ms < 1000); round++) {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    await waitFor(() => existsSync(join(dir, "inbox")), "the inbox");
    const written = performance.now();
    writeMail(
      dir,
      `${stamp()}-0a1b2c3d-hand-beta-x.md`,
      mail({ from: "hand", to: "beta" }, "hello"),
    );
    waits.push((await beta.waitForPush()).at - written);
  }
  assert.ok(Math.min(...waits) < 1000, `took ${waits} ms`);
});

test("what was sent while a session was away is pushed when it is back, oldest first", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession("beta", { dir });
  await alpha.call("send", { to: "beta", subject: "read before" });
  await beta.waitForPush();
  await beta.call("unread");
  await alpha.call("send", { to: "beta", subject: "pushed, not read" });
  await beta.waitForPush(({ meta }) => meta.subject === "pushed, not read");
  await beta.close();
  for (const subject of ["one", "two", "three"])
    await alpha.call("send", { to: "beta", subject, priority: "high" });
  await alpha.call("broadcast", { subject: "to all" });
  const again = await startSession("beta", { dir });
  await again.waitForPushes(5);
  assert.deepEqual(subjects(again), ["pushed, not read", "one", "two", "three", "to all"]);
});

test("a session that never called a tool gets the broadcasts it missed while it was away", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  await alpha.call("broadcast", { subject: "before its time" });
  await (await startSession("beta", { dir })).close();
  await alpha.call("broadcast", { subject: "missed" });
  const beta = await startSession("beta", { dir });
  await beta.waitForPushes(1);
  assert.deepEqual(subjects(beta), ["missed"]);
});

/** The name that a file is given by hand is replaced by one like this. */
const STAMPED = /^\d{8}T\d{12}-[0-9a-f]{8}-/;
const head = "from: hand\nto: beta\n";
const HAND_WRITTEN: [string, string | Buffer, Record<string, string>, string][] = [
  [
    "only from and to",
    `---\n${head}---\nhello`,
    { type: "ipc", priority: "normal", subject: "" },
    "hello",
  ],
  ["an empty line before and after the body", `---\n${head}---\n\nhello\n`, {}, "hello"],
  [
    "lines that end in CR LF",
    "---\r\nfrom: hand\r\nto: beta\r\nsubject: dos\r\n---\r\n\r\none\r\ntwo\r\n",
    { subject: "dos" },
    "one\r\ntwo",
  ],
  [
    "a byte-order mark",
    Buffer.from(`\ufeff---\n${head}subject: bom\n---\n\nhello\n`),
    { subject: "bom" },
    "hello",
  ],
  [
    "a header that says it is YAML",
    `---yaml\n${head}subject: y\n---\n\nhello\n`,
    { subject: "y" },
    "hello",
  ],
  [
    "quoted values",
    `---\nfrom: 'hand'\nto: "beta"\nsubject: 'it''s'\n---\n\nhello\n`,
    { subject: "it's" },
    "hello",
  ],
  [
    "keys nobody knows",
    `---\n${head}mood: good\nsubject: s\ntags: [a, b]\n---\n\nhello\n`,
    { subject: "s" },
    "hello",
  ],
  ["no body at all", `---\n${head}subject: only this\n---`, { subject: "only this" }, "only this"],
  [
    "to: all",
    "---\nfrom: hand\nto: all\n---\n\nhello\n",
    { to: "all", type: "broadcast" },
    "hello",
  ],
  [
    "to: broadcast",
    "---\nfrom: hand\nto: broadcast\n---\n\nhello\n",
    { type: "broadcast" },
    "hello",
  ],
  [
    "a sender of digits",
    "---\nfrom: 20261122_3655_8201\nto: beta\n---\n\nhello\n",
    { from: "20261122_3655_8201" },
    "hello",
  ],
  [
    "a type and priority of its own",
    mail({ from: "hand", to: "beta", type: "alert", priority: "urgent" }, "x"),
    { type: "alert", priority: "urgent" },
    "x",
  ],
];
test("a file written by hand is delivered as it is meant", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  for (const [index, [, text]] of HAND_WRITTEN.entries()) {
    writeMail(dir, `note ${index}.md`, text.toString().replace("hand", `hand-${index}`));
  }
  for (const [index, [what, , meta, content]] of HAND_WRITTEN.entries()) {
    await t.test(what, async () => {
      const { from = `hand-${index}` } = meta;
      const push = await beta.waitForPush((each) => each.meta.from === from);
      assert.equal(push.content, content);
      assert.deepEqual({ ...push.meta, ...meta }, push.meta);
      assert.match(push.meta.filename ?? "", STAMPED);
      assert.match(push.meta.created ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    });
  }
  await beta.waitForPushes(HAND_WRITTEN.length);
});

const SUBJECTS = [
  ..."a: b;#1 is done;[wip] parser;{a: 1};@api: look;- dash;* star;&ref;!bang;% percent;| pipe;? which;: colon".split(
    ";",
  ),
  ...", comma;ends with:;it's 'so';1.0;007;1e3;0x1F;1_000;12:30:45;2026-11-22;2026-11-22 10:00:00;.inf".split(
    ";",
  ),
  ..."true;no;null;~;a # b;\\n;— dash;한국어: 제목;=;<<;---;...".split(";"),
];
test("a subject stays the text that was written, whatever YAML would make of it", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir, client: "claude-code" });
  for (const [index, subject] of SUBJECTS.entries()) {
    writeMail(
      dir,
      `${stamp(0, index)}-0a1b2c3d-hand-beta-x.md`,
      mail({ from: "hand", to: "beta", subject }, "body"),
    );
  }
  await beta.waitForPushes(SUBJECTS.length);
  assert.deepEqual(
    subjects(beta),
    SUBJECTS.map((subject) => subject.replace("<<", "''")),
  );
  const quoted = [`he said "no"`, `"quoted" and more`, "tags <b>", `'`, `"`];
  for (const [index, subject] of quoted.entries()) {
    writeMail(dir, `${index}.md`, mail({ from: "hand", to: "beta", subject }, "x"));
  }
  await beta.waitForPushes(SUBJECTS.length + quoted.length);
  const { text } = await beta.call("unread");
  for (const subject of quoted) assert.ok(text.includes(`subject: ${subject}\n`), subject);
});

test("a file that is written, copied or moved into the inbox is delivered once", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const outside = join(dir, "../draft.md");
  writeFileSync(outside, mail({ from: "hand", to: "beta", subject: "draft" }, "a draft"));
  mkdirSync(join(dir, "inbox"), { recursive: true });
  const inbox = (file: string) => join(dir, "inbox", file);
  writeFileSync(inbox("written.md"), mail({ from: "hand", to: "beta" }, "written"));
  copyFileSync(outside, inbox("copied.md"));
  copyFileSync(outside, inbox(".hidden"));
  renameSync(inbox(".hidden"), inbox("renamed.md"));
  renameSync(outside, inbox("moved.md"));
  await beta.waitForPushes(4);
  const name = `${stamp(1)}-0a1b2c3d-hand-beta-old.md`; // of our pattern, and long ago
  writeMail(dir, name, mail({ from: "hand", to: "beta" }, "last"));
  await beta.waitForPushes(5);
  assert.deepEqual(filenames(beta).sort(), filesIn(dir));
  for (const file of filenames(beta)) assert.match(file ?? "", STAMPED);
  const contents = beta.pushes.map(({ content }) => content);
  assert.deepEqual(contents.sort(), ["a draft", "a draft", "a draft", "last", "written"]);
});

test("a file still being written is delivered once, when its header is whole", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  mkdirSync(join(dir, "inbox"), { recursive: true });
  for (const line of ["---", "from: hand", "to: beta", "---\ntext"]) {
    appendFileSync(join(dir, "inbox", "slow.md"), `${line}\n`);
    await sleep(100);
  }
  assert.equal((await beta.waitForPushes(1))[0]?.content, "text");
  assert.equal(beta.stderr(), "");
});

test("a hand-written file that was read stays read after a restart; written anew it is a new message", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const note = (body: string) =>
    writeMail(dir, "note.md", mail({ from: "hand", to: "beta" }, body));
  note("first");
  await beta.waitForPush(({ content }) => content === "first");
  assert.match((await beta.call("unread")).text, /first/);
  await beta.close();
  const again = await startSession("beta", { dir });
  assert.match((await again.call("unread")).text, /No unread/);
  await again.waitForPushes(0);
  note("second");
  assert.equal((await again.waitForPushes(1))[0]?.content, "second");
  assert.match((await again.call("unread")).text, /second/);
});

test("temporaries, editors' leavings and files that are no mail are left where they are", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const text = mail({ from: "hand", to: "beta" }, "not this");
  const leavings = [
    ".tmp-1-00000000",
    ".note.md.swp",
    ".#note.md",
    "note.md~",
    "note.md.tmp.0a1b2c3d",
    "note.txt",
    "4913",
  ];
  for (const file of leavings) writeMail(dir, file, text);
  mkdirSync(join(dir, "inbox/folder.md"));
  writeMail(dir, "broken.md", "from: hand\nto: beta\n");
  writeMail(dir, "note.md", mail({ from: "hand", to: "beta" }, "this"));
  await waitFor(() => /broken\.md/.test(beta.stderr()), "a line about the file that is no message");
  await beta.waitForPushes(1);
  assert.deepEqual(
    beta.pushes.map(({ content }) => content),
    ["this"],
  );
  assert.equal(beta.stderr().match(/broken\.md/g)?.length, 1);
  for (const file of [...leavings, "broken.md"])
    assert.ok(existsSync(join(dir, "inbox", file)), file);
});

test("eight processes sending at once lose nothing, and all see one order: that of the names", async (t) => {
  const dir = tempDir(t);
  const each = 10;
  const names = Array.from({ length: 8 }, (_, i) => `session-${i}`);
  const sessions = await Promise.all(names.map((name) => startSession(name, { dir })));
  const answers = await Promise.all(
    sessions.map(async (session, i) => {
      const sent: string[] = [];
      const send = async (subject: string) => {
        const { text, isError } = await session.call("broadcast", { subject });
        assert.equal(isError, false, text);
        sent.push(text);
      };
      for (let n = 0; n < each / 2; n++) await send(`${i} one by one ${n}`);
      await Promise.all(Array.from({ length: each / 2 }, (_, n) => send(`${i} together ${n}`)));
      return sent;
    }),
  );
  const files = filesIn(dir);
  assert.equal(files.length, 8 * each);
  for (const text of answers.flat())
    assert.ok(
      files.some((file) => text.includes(file)),
      text,
    );
  await Promise.all(sessions.map((session) => session.waitForPushes(7 * each)));
  // Who cannot get the lock within 2 s says so and goes on without: then nothing is lost, but the
  // order is weaker.
  const stderr = sessions.map((session) => session.stderr()).join("");
  for (const [i, session] of sessions.entries()) {
    const others = files.filter((file) => !file.includes(`-session-${i}-`));
    const pushed = stderr.includes("no lock of ") ? filenames(session).sort() : filenames(session);
    assert.deepEqual(pushed, others, `${names[i]}: ${stderr}`);
  }
});

test("a new server of the same Claude Code process takes over from the old, which comes back when it ends", async (t) => {
  const dir = tempDir(t);
  const env = { CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000001" };
  const alpha = await startSession("alpha", { dir });
  const client = "claude-code";
  const old = await startSession(undefined, { dir, env, client });
  const [name = ""] = Object.keys(heartbeats(dir)).filter((each) => each !== "alpha");
  const young = await startSession(undefined, { dir, env, client });
  assert.deepEqual(Object.keys(heartbeats(dir)).sort(), ["alpha", name].sort());
  assert.equal(heartbeats(dir)[name]?.pid, young.pid);

  await alpha.call("send", { to: name, subject: "for the new one" });
  await young.waitForPush();
  await waitFor(() => !heartbeats(dir)[`${name}-2`], "one entry");
  await young.close();
  await alpha.call("send", { to: name, subject: "after its end" });
  await old.waitForPush(({ meta }) => meta.subject === "after its end");
  assert.deepEqual(subjects(young), ["for the new one"]);
  await waitFor(() => heartbeats(dir)[name]?.pid === old.pid, "the old one's entry");
  await alpha.call("send", { to: name, subject: "marker" });
  await old.waitForPush(({ meta }) => meta.subject === "marker");
  await old.waitForPushes(old.pushes.length);
  assert.equal(new Set(subjects(old)).size, old.pushes.length, "each once");
});

test("of two terminals with one conversation, the one that was called last receives the mail", async (t) => {
  const dir = tempDir(t);
  const env = { CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000001" };
  // A process between stands for the second terminal: its servers have another parent.
  const start = `require("node:child_process")
    .spawn(process.execPath, [process.argv[1]], { stdio: "inherit" }).on("exit", process.exit)`;
  const other = [process.execPath, "-e", start, SERVER];
  const client = "claude-code";
  const alpha = await startSession("alpha", { dir });
  const one = await startSession(undefined, { dir, env, client });
  const [name = ""] = Object.keys(heartbeats(dir)).filter((each) => each !== "alpha");
  const two = await startSession(undefined, { dir, env, client, command: other });
  assert.deepEqual(Object.keys(heartbeats(dir)).sort(), ["alpha", name].sort(), "one session");

  await alpha.call("send", { to: name, subject: "for the first" });
  await one.waitForPush(({ meta }) => meta.subject === "for the first");
  assert.match((await two.call("who")).text, new RegExp(`- ${name} \\(you\\)`));
  await alpha.call("send", { to: name, subject: "for the second" });
  await two.waitForPush(({ meta }) => meta.subject === "for the second");
  await two.close();
  await alpha.call("send", { to: name, subject: "for the first again" });
  await one.waitForPush(({ meta }) => meta.subject === "for the first again");
});

test("the data folder deleted under running servers: they find each other and talk again", {
  skip: process.platform === "win32" && "Windows deletes no folder with an open cache.db in it",
}, async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await alpha.call("send", { to: "beta", subject: "before" });
  await beta.waitForPush();
  for (const round of [1, 2]) {
    await waitFor(() => remove(dir), "the end of the folder, which the servers go on writing to");
    await waitFor(
      () => Object.keys(heartbeats(dir)).sort().join() === "alpha,beta",
      "both entries",
    );
    assert.match((await alpha.call("who")).text, /beta/);
    const ask = alpha.call("send", { to: "beta", subject: `question ${round}` });
    const tell = beta.call("send", { to: "alpha", subject: `news ${round}` });
    for (const { text, isError } of await Promise.all([ask, tell]))
      assert.equal(isError, false, text);
    await beta.waitForPush(({ meta }) => meta.subject === `question ${round}`);
    await alpha.waitForPush(({ meta }) => meta.subject === `news ${round}`);
    assert.match((await beta.call("unread")).text, new RegExp(`question ${round}`));
  }
});

function remove(dir: string): boolean {
  try {
    rmSync(dir, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

test("messages put back into the inbox are mail again", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await alpha.call("send", { to: "beta", subject: "before" });
  await beta.waitForPush();
  renameSync(join(dir, "inbox"), join(dir, "aside"));
  await waitFor(
    async () => (await beta.call("unread")).text.startsWith("No unread"),
    "an empty inbox",
  );
  for (const file of filesIn(dir, "aside"))
    copyFileSync(join(dir, "aside", file), join(dir, "inbox", file));
  assert.match((await beta.call("unread")).text, /before/);
});
