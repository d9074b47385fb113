// What `unread` answers: if a message is long, and if the disk fails while it reads.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mailbox } from "../../src/core/mailbox.ts";
import { messageAgainText, otherMailText, ownMailText } from "../../src/mcp/mail-text.ts";
import type { Surroundings } from "../../src/mcp/surroundings.ts";
import {
  createWorld,
  type FakeSession,
  FOLDER,
  startSession,
  type World,
} from "../support/fake-system.ts";
import { mail } from "../support/mail.ts";
import { systemError } from "../support/memory-files.ts";

const around = (mailbox: Mailbox, maxBytes = 8000): Surroundings => ({
  mailbox,
  maxBytes,
  statusOf: () => undefined,
  unlisted: () => [],
  now: () => 0,
});

async function scene(): Promise<{ world: World; bob: FakeSession; text: () => string }> {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const bob = await startSession(world, "bob");
  for (const subject of ["one", "two"]) {
    const request = { to: ["bob"], subject, body: "", priority: "normal" as const };
    await world.time.wait(ann.mailbox.send(request));
  }
  return { world, bob, text: () => ownMailText(around(bob.mailbox)).text };
}

test("a message that cannot be read in the middle of the answer is named, and the others are shown", async () => {
  const { bob, text } = await scene();
  bob.mailbox.unread(); // the headers are known
  bob.system.fault = (call, path) => {
    if (call === "read" && path.endsWith("-one.md")) throw systemError("EIO");
  };
  const answer = text();
  assert.match(answer, /^1 unread message:/);
  assert.match(answer, /^subject: two$/m);
  assert.match(answer, /^\S+-one\.md cannot be read just now: EIO/m);
});

test("if none can be read, the answer is not that there are none", async () => {
  const { bob, text } = await scene();
  bob.mailbox.unread();
  bob.system.fault = (call, path) => {
    if (call === "read" && path.endsWith(".md")) throw systemError("EIO");
  };
  assert.match(
    text(),
    /^No unread message can be read just now:\n\S+-one\.md and 1 more cannot be read just now: EIO/,
  );
});

for (const [which, isKnown] of [
  ["before the header is known", false],
  ["after it", true],
] as const)
  test(`nor if another session looks, and the files cannot be read ${which}`, async () => {
    const { world, bob } = await scene();
    const cleo = await startSession(world, "cleo");
    cleo.inbox.scan();
    if (isKnown) cleo.mailbox.unreadOf("bob");
    cleo.system.fault = (call, path) => {
      if (call === "read" && path.endsWith("-one.md")) throw systemError("EIO");
    };
    const look = () => otherMailText(around(cleo.mailbox), "bob").text;
    assert.match(look(), /^1 unread message for bob .*-one\.md cannot be read just now: EIO/s);
    bob.mailbox.markRead(bob.mailbox.unread().headers.filter(({ subject }) => subject === "two"));
    await world.time.wait(bob.mailbox.close());
    assert.match(look(), /^No unread message for bob can be read just now:\n\S+-one\.md cannot/);
    bob.mailbox.markRead(bob.mailbox.unread().headers);
    await world.time.wait(bob.mailbox.close());
    assert.equal(look(), "No unread messages for bob.", "a message that is read is not missed");
  });

/** A text in which no piece occurs twice. */
const numbers = (bytes: number): string =>
  Array.from({ length: bytes / 8 }, (_, n) => `${n}`.padStart(7, "0")).join(" ");

/** Bob, with a long message that somebody has written by hand. */
async function longScene(bytes: number, fields: Record<string, string> = {}) {
  const world = createWorld();
  const bob = await startSession(world, "bob");
  const body = numbers(bytes);
  const file = "20260406T153000000002-0a1b2c3d-hand-bob-long.md";
  const text = mail({ from: "hand", to: "bob", subject: "long", ...fields }, body);
  world.disk.put(`${FOLDER.inbox}/${file}`, text);
  return { world, bob, body, file };
}

/** Reads as a client that is shown so many bytes, and returns what it was shown of the body. */
function read({ mailbox }: FakeSession, maxBytes: number): string {
  const { text, markRead } = ownMailText(around(mailbox, maxBytes));
  assert.ok(Buffer.byteLength(text) <= maxBytes, `${Buffer.byteLength(text)} bytes`);
  markRead();
  return /\n\n([\d\s]+)\n(?:\(|---)/.exec(text)?.[1] ?? "";
}

for (const maxBytes of [8000, 40_000, Number.POSITIVE_INFINITY])
  test(`a note of 200 KB is read when all of it was shown, ${maxBytes} bytes at a time`, async () => {
    const { bob, body } = await longScene(200_000);
    let shown = "";
    while (shown.length < body.length) {
      assert.equal(bob.mailbox.unread().headers.length, 1, `after ${shown.length} bytes`);
      shown += read(bob, maxBytes);
    }
    assert.equal(shown, body);
    assert.deepEqual(bob.mailbox.unread().headers, []);
  });

test("a client that is shown more goes on where another one was", async () => {
  const { bob, body } = await longScene(50_000);
  assert.equal(read(bob, 8000) + read(bob, 8000) + read(bob, 40_000), body);
  assert.deepEqual(bob.mailbox.unread().headers, []);
});

test("no text is skipped if the answered message goes while a long answer is being read", async () => {
  const answered = "20260406T153000000001-0a1b2c3d-bob-hand-question.md";
  const { world, bob, body } = await longScene(20_000, { reply_to: answered });
  const path = `${FOLDER.inbox}/${answered}`;
  world.disk.put(path, mail({ from: "bob", to: "hand", subject: "가".repeat(80) }));
  const first = read(bob, 8000);
  world.disk.erase(path);
  assert.equal(first + read(bob, 8000) + read(bob, 8000), body);
});

test("a long message from the archive is shown in parts, with its path", async () => {
  const { world, bob, body, file } = await longScene(10_000);
  bob.inbox.scan();
  bob.inbox.archive(file);
  assert.ok(world.disk.text(`${FOLDER.archive}/${file}`)?.includes(body));
  const { text } = messageAgainText(around(bob.mailbox), file);
  assert.match(text, new RegExp(`^From the archive:.*the whole file is archive/${file}\\)`, "s"));
});
