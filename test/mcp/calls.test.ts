// What is added to an answer, and what is not taken if nobody sees the answer.

import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { systemClock } from "../../src/core/clock.ts";
import { Turns } from "../../src/core/turns.ts";
import { callTool } from "../../src/mcp/calls.ts";
import type { ToolContext } from "../../src/mcp/session.ts";
import { createWorld, type FakeSession, startSession } from "../support/fake-system.ts";

/** Bob, who has a message, and to whom a note and a notice are to be said once. */
async function scene() {
  const world = createWorld();
  const ann = await startSession(world, "ann");
  const bob = await startSession(world, "bob");
  const request = { to: ["bob"], subject: "kept", body: "", priority: "normal" as const };
  await world.time.wait(ann.mailbox.send(request));
  const notes = ["a note"];
  const notices = ["a notice"];
  const { mailbox, presence } = bob;
  const context = {
    agent: { toolPrefix: "", identifyCaller: () => "session" },
    mailbox,
    presence: { onCall: async () => {}, name: presence.name },
    notifier: { onToolCall() {}, onRead() {}, noticeForToolResult: () => notices.pop() },
    unreadTurns: new Turns(),
    around: {
      mailbox,
      maxBytes: 8000,
      statusOf: () => undefined,
      unlisted: () => [],
      now: () => 0,
    },
    sessionNotes: () => notes.splice(0),
    start: async () => {},
  } as unknown as ToolContext;
  const call = async (tool: string, signal = new AbortController().signal): Promise<string> => {
    const call = { name: `t9_ipc_${tool}`, arguments: {}, meta: {}, signal };
    const { content } = await callTool(context, call, systemClock, () => {});
    return content[0]?.type === "text" ? content[0].text : "";
  };
  return { bob, call };
}

const unreadOf = ({ mailbox }: FakeSession): number => mailbox.unread().headers.length;

test("notes and notices are added once, and no notes to an answer that shows mail", async () => {
  const { bob, call } = await scene();
  assert.doesNotMatch(await call("unread"), /a note|a notice/);
  assert.equal(unreadOf(bob), 0);
  assert.match(await call("unread"), /^No unread messages\.\n\na note$/);
  assert.match(await call("who"), /\n\na notice$/);
  assert.doesNotMatch(await call("who"), /a note|a notice/);
});

for (const tool of ["who", "unread"])
  test(`a call of \`${tool}\` that is cancelled marks nothing, and uses up no note or notice`, async () => {
    const { bob, call } = await scene();
    assert.doesNotMatch(await call(tool, AbortSignal.abort()), /a note|a notice/);
    assert.equal(unreadOf(bob), 1);
    assert.match(await call("who"), /\n\na note\n\na notice$/);
  });

/** Two ends of a connection through the system. */
async function connection(t: TestContext) {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [ours] = await once(server, "connection");
  t.after(() => {
    client.destroy();
    ours.destroy();
    server.close();
  });
  return { client, ours };
}

test("a cancellation counts that has come, unread, while the tool was at work", async (t) => {
  const { bob, call } = await scene();
  const { client, ours } = await connection(t);
  const controller = new AbortController();
  // The tool works on, and the cancellation waits in the connection until the work has ended.
  bob.system.fault = () => {
    bob.system.fault = undefined;
    client.write("cancel");
  };
  const answer = new Promise<string>((resolve) => {
    ours.on("data", (chunk: Buffer) => {
      if (`${chunk}` === "call") resolve(call("unread", controller.signal));
      else controller.abort();
    });
  });
  client.write("call");
  await answer;
  assert.equal(unreadOf(bob), 1);
});
