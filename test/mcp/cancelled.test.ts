// A call that was cancelled has shown nothing to anybody: it marks nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { tempDir } from "../support/folder.ts";
import { mail, stamp, writeMail, writeMany } from "../support/mail.ts";
import { RawServer } from "../support/rpc.ts";

const cancel = (id: number): string =>
  `${JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id, reason: "Esc" } })}\n`;
const request = (id: number, args: object = {}): string =>
  `${JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "t9_ipc_unread", arguments: args } })}\n`;

/** The text of the answer to a call of `unread`. */
async function unread(server: RawServer, id: number): Promise<string> {
  server.call(id, "unread");
  return (await server.answer(id)).result?.content?.[0]?.text ?? "";
}

/**
 * A server whose first call of `unread` is at work when it is cancelled: there is so much mail for
 * others that its first look at the inbox takes a few hundred milliseconds.
 */
async function cancelledAtWork(dir: string): Promise<RawServer> {
  const others = Array.from({ length: 4000 }, (_, n) => `${stamp(0, n)}-0a1b2c3d-hand-other-x.md`);
  writeMany(dir, others, mail({ from: "hand", to: "other", subject: "x" }));
  const file = `${stamp(0, 999_999)}-0a1b2c3d-hand-alpha-x.md`;
  writeMail(dir, file, mail({ from: "hand", to: "alpha", subject: "kept" }));
  const server = await new RawServer(dir).initialize();
  server.write(request(1));
  await sleep(10); // Esc comes while the call is at work; that it still was is checked below.
  server.write(cancel(1));
  await settle(server);
  return server;
}

/**
 * Once another call that looks at the inbox is answered, a cancelled one before it has done all
 * that it will do.
 */
async function settle(server: RawServer): Promise<void> {
  server.call("settle", "set_name", { name: "alpha" });
  await server.answer("settle");
}

const wasAnswered = (server: RawServer): boolean => server.lines().some(({ id }) => id === 1);

test("a call of `unread` that is cancelled at work leaves its messages unread", async (t) => {
  const dir = tempDir(t);
  const server = await cancelledAtWork(dir);
  const text = await unread(server, 3);
  assert.equal(
    wasAnswered(server),
    false,
    "the cancelled call was answered: this test tests nothing",
  );
  assert.match(text, /^1 unread message:.*subject: kept/s);
  assert.match(await unread(server, 4), /^No unread messages/);
});

test("a call of `unread` that is cancelled in the same breath leaves its messages unread", async (t) => {
  const dir = tempDir(t);
  const server = await new RawServer(dir).initialize();
  writeMail(
    dir,
    `${stamp(0, 1)}-0a1b2c3d-hand-alpha-x.md`,
    mail({ from: "hand", to: "alpha", subject: "kept" }),
  );
  for (const id of [1, 2, 3]) server.write(request(id) + cancel(id));
  await settle(server);
  assert.match(await unread(server, 4), /^1 unread message:.*subject: kept/s);
});

test("a cancelled call marks nothing on the disk: after a restart the messages are unread", async (t) => {
  const dir = tempDir(t);
  const first = await cancelledAtWork(dir);
  first.child.stdin.end();
  await first.ended;
  assert.equal(
    wasAnswered(first),
    false,
    "the cancelled call was answered: this test tests nothing",
  );
  const again = await new RawServer(dir).initialize();
  assert.match(await unread(again, 1), /^1 unread message:.*subject: kept/s);
});

test("a cancellation that comes after the answer changes nothing: what was shown is read", async (t) => {
  const dir = tempDir(t);
  const server = await new RawServer(dir).initialize();
  writeMail(
    dir,
    `${stamp(0, 1)}-0a1b2c3d-hand-alpha-x.md`,
    mail({ from: "hand", to: "alpha", subject: "shown" }),
  );
  assert.match(await unread(server, 1), /subject: shown/);
  server.write(cancel(1));
  assert.match(await unread(server, 2), /^No unread messages/);
});

test("of two calls at once only the first shows the mail, unless it is cancelled", async (t) => {
  const dir = tempDir(t);
  const server = await new RawServer(dir).initialize();
  const write = (subject: string) =>
    writeMail(
      dir,
      `${stamp()}-0a1b2c3d-hand-alpha-${subject}.md`,
      mail({ from: "hand", to: "alpha", subject }),
    );
  const text = async (id: number) => (await server.answer(id)).result?.content?.[0]?.text ?? "";
  write("one");
  server.write(request(1) + request(2));
  assert.match(await text(1), /^1 unread message:.*subject: one/s);
  assert.match(await text(2), /^No unread messages/);
  write("two");
  server.write(request(3) + request(4) + cancel(3));
  assert.match(await text(4), /^1 unread message:.*subject: two/s);
});
