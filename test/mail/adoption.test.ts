// A file that a person puts into the inbox under a name of their own becomes one message, whole, in
// one place.

import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { tempDir } from "../support/folder.ts";
import { filesIn, mail, stamp, writeMail } from "../support/mail.ts";
import { startSession, startSessions } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const STAMPED = /^\d{8}T\d{12}-[0-9a-f]{8}-[\p{L}\p{N}_-]+\.md$/u;

describe("handwritten files", { concurrency: true }, () => {
  test("a note written slowly is announced once, whole and under one name", async (t) => {
    const dir = tempDir(t);
    const sessions = await startSessions(["alpha", "beta"], { dir });
    writeMail(dir, "note.md", "---\nfrom: hand\nto: all\nsubject: slow\n---\n\nfirst\n");
    const path = join(dir, "inbox/note.md");
    for (const word of ["second", "third", "fourth"]) {
      await sleep(400); // as somebody does who saves now and then: each time it is a whole message
      appendFileSync(path, `${word}\n`);
    }
    for (const session of sessions) await session.waitForPush();
    for (const session of sessions) {
      const [push] = await session.waitForPushes(1);
      assert.equal(push?.content, "first\nsecond\nthird\nfourth");
      assert.match(push?.meta.filename ?? "", STAMPED);
      assert.deepEqual(filesIn(dir), [push?.meta.filename]);
    }
  });

  test("a note has its place between the messages sent before and after it", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await alpha.call("send", { to: "beta", subject: "before" });
    writeMail(
      dir,
      "my note, 결제.md",
      mail({ from: "hand", to: "beta", subject: "by hand" }, "text"),
    );
    await beta.waitForPush(({ meta }) => meta.subject === "by hand");
    await alpha.call("send", { to: "beta", subject: "after" });
    await beta.waitForPushes(3);
    assert.deepEqual(
      beta.pushes.map(({ meta }) => meta.subject),
      ["before", "by hand", "after"],
    );
    assert.deepEqual(
      beta.pushes.map(({ meta }) => meta.filename),
      filesIn(dir),
    );
    const { text } = await beta.call("unread");
    assert.deepEqual(
      [...text.matchAll(/^subject: (.*)$/gm)].map(([, each]) => each),
      ["before", "by hand", "after"],
    );
  });

  test("a second note under the same name is another message", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    for (const body of ["first", "second"]) {
      writeMail(dir, "note.md", mail({ from: "hand", to: "beta" }, body));
      await beta.waitForPush(({ content }) => content === body);
      assert.match(
        (await beta.call("unread")).text,
        new RegExp(`^1 unread message:.*${body}`, "s"),
      );
    }
    await beta.close();
    const again = await startSession("beta", { dir });
    assert.match((await again.call("unread")).text, /^No unread messages/);
    assert.equal(filesIn(dir).length, 2);
  });

  test("a note that waited while nobody was there is found at the next start", async (t) => {
    const dir = tempDir(t);
    writeMail(dir, "waiting.md", mail({ from: "hand", to: "beta" }, "waited"));
    const beta = await startSession("beta", { dir });
    assert.equal((await beta.waitForPush()).content, "waited");
    assert.match((await beta.call("unread")).text, /waited/);
  });

  test("one of eight servers that all see a note renames it", async (t) => {
    const dir = tempDir(t);
    const names = Array.from({ length: 8 }, (_, n) => `session-${n}`);
    const sessions = await Promise.all(names.map((name) => startSession(name, { dir })));
    for (let n = 0; n < 5; n++)
      writeMail(dir, `note ${n}.md`, mail({ from: "hand", to: "all", subject: `${n}` }));
    for (const session of sessions) await session.waitForPushes(5);
    assert.equal(filesIn(dir).length, 5);
    for (const file of filesIn(dir)) assert.match(file, STAMPED);
  });

  test("a file without a header stays where it is until it gets one", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    writeMail(dir, "list.md", "- milk\n");
    writeMail(dir, "draft.md", "to be written\n");
    await waitFor(
      () => /draft\.md/.test(beta.stderr()) && /list\.md/.test(beta.stderr()),
      "a line about each",
    );
    assert.deepEqual(filesIn(dir), ["draft.md", "list.md"]);
    writeMail(dir, "draft.md", mail({ from: "hand", to: "beta" }, "written"));
    assert.equal((await beta.waitForPush()).content, "written");
    assert.ok(filesIn(dir).includes("list.md"));
  });

  test("a file that a script moves into place is found within seconds", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    const draft = join(dirname(dir), "draft");
    writeFileSync(draft, mail({ from: "hand", to: "beta" }, "moved"));
    mkdirSync(join(dir, "inbox"), { recursive: true });
    renameSync(draft, join(dir, "inbox/moved.md"));
    await beta.waitForPush(({ content }) => content === "moved", 10_000);
  });
});

test("a timestamped file name decides whose mail it may be", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
  const named = (to: string): string => `${stamp(0, 1)}-0a1b2c3d-hand-${to}-x.md`;
  writeMail(
    dir,
    named("alpha"),
    mail({ from: "hand", to: "beta", subject: "alpha's by its name" }, "body"),
  );
  writeMail(
    dir,
    named("beta"),
    mail({ from: "hand", to: "beta", subject: "beta's by its name" }, "body"),
  );
  await beta.waitForPush(({ meta }) => meta.subject === "beta's by its name");
  await Promise.all([alpha.waitForPushes(0), beta.waitForPushes(1)]);
  assert.match((await alpha.call("unread")).text, /^No unread messages/);
  assert.match((await beta.call("unread")).text, /^1 unread message:.*beta's by its name/s);
});

describe("messages that change after they were stored", { concurrency: true }, () => {
  for (const [what, text] of [
    ["emptied", ""],
    ["broken", "\u0000\u0001 not a message"],
  ] as const) {
    test(`a message that was ${what} is mentioned in no answer`, async (t) => {
      const dir = tempDir(t);
      const file = `${stamp(0, 1)}-0a1b2c3d-hand-beta-x.md`;
      writeMail(dir, file, mail({ from: "hand", to: "beta", subject: "gone" }, "body"));
      let beta = await startSession("beta", { dir, env: { IPC_PUSH: "none" } });
      await beta.waitForPush();
      assert.match((await beta.call("who")).text, /1 new message/);
      writeFileSync(join(dir, "inbox", file), text);
      for (const session of ["running", "started anew"]) {
        if (session !== "running") {
          await beta.close();
          beta = await startSession("beta", { dir, env: { IPC_PUSH: "none" } });
        }
        assert.match((await beta.call("unread")).text, /^No unread messages/, session);
        assert.match(
          (await beta.call("set_name", { name: "beta" })).text,
          /No unread messages are waiting/,
          session,
        );
        assert.doesNotMatch((await beta.call("who")).text, /new message/, session);
      }
      assert.deepEqual(filesIn(dir), [file], "it stays where it is");
    });
  }
});
