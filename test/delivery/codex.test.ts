// What the real Codex does not show: a program that fails, is too old or hangs, and turns in every order. The program
// is a fake that notes how it was called; the queue is used as the server uses it.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { CodexQueue, codexCall } from "../../src/delivery/codex.ts";
import { binOf, homeOf, putProgram, tempDir } from "../support/folder.ts";

const NOTE = `require("node:fs").appendFileSync(__dirname + "/notes", JSON.stringify(process.argv.slice(2)) + "\\n");`;
const THREAD = "01a20c2a-0ce9-7ff1-9620-283ff2b51eec";
const POINTER = "t9-ipc: 1 new message";

test("it queues a text for the thread that called, with the program that was given", async (t) => {
  const { queue, notes } = scene(t);
  assert.equal(queue.canWake(), false, "nobody has called yet");
  queue.called("t9_ipc_who", call());
  assert.equal(queue.canWake(), true);
  await queue.wake(POINTER);
  assert.deepEqual(notes(), [["queue", `--thread=${THREAD}`, `--message=${POINTER}`]]);
  assert.equal(queue.problem(), undefined);
});

test("one message waits at most, until mail is read in a turn that began after it was queued", async (t) => {
  const { queue } = scene(t);
  const before = call({ turnBegan: Date.now() - 1 });
  queue.called("t9_ipc_who", before);
  const queued = queue.wake(POINTER);
  assert.equal(queue.canWake(), false, "while it is being queued");
  await queued;
  queue.called("t9_ipc_who", before);
  queue.called("t9_ipc_unread", before);
  assert.equal(queue.canWake(), false, "this turn was there before: the message is still to run");
  const after = call({ turnBegan: Date.now() });
  queue.called("t9_ipc_who", after);
  assert.equal(queue.canWake(), false, "its turn has begun, and will read what came since");
  queue.called("t9_ipc_unread", after);
  assert.equal(queue.canWake(), true);
});

test("a message that was interrupted before it read anything counts as run half an hour later", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const { queue } = scene(t);
  queue.called("t9_ipc_who", call());
  await queue.wake(POINTER);
  t.mock.timers.tick(29 * 60_000);
  assert.equal(queue.canWake(), false);
  t.mock.timers.tick(2 * 60_000);
  assert.equal(queue.canWake(), true);
});

test("`codex exec` is never queued for", (t) => {
  const { queue } = scene(t);
  queue.called("t9_ipc_who", call({ isExec: true }));
  assert.equal(queue.canWake(), false);
  assert.equal(queue.problem(), "codex exec ends with its turn");
});

test("a failure is told in Codex's words, and the next call allows another try", async (t) => {
  const { queue, put } = scene(t);
  put(
    `console.error("WARNING: something else\\nError: no rollout found\\n\\nUsage: ..."); process.exit(1)`,
  );
  queue.called("t9_ipc_who", call());
  await assert.rejects(queue.wake(POINTER), { message: "Error: no rollout found" });
  assert.equal(queue.problem(), "codex queue failed");
  assert.equal(queue.canWake(), false);

  put("");
  queue.called("t9_ipc_who", call());
  assert.equal(queue.canWake(), true);
  await queue.wake(POINTER);
  assert.equal(queue.problem(), undefined);
});

test("a program that is gone is a failure like any other", async (t) => {
  const dir = tempDir(t);
  const queue = new CodexQueue(join(homeOf(dir), "codex"));
  queue.called("t9_ipc_who", call());
  await assert.rejects(queue.wake(POINTER), /ENOENT/);
  assert.equal(queue.problem(), "codex queue failed");
});

test("what Codex says with a call is read, and what it leaves out is not missed", () => {
  const turn = {
    turn_trigger: "exec",
    turn_started_at_unix_ms: 1795500400914,
    thread_source: "user",
  };
  const meta = {
    threadId: THREAD,
    sessionId: "parent",
    progressToken: 1,
    "x-codex-turn-metadata": turn,
  };
  assert.deepEqual(codexCall(meta), {
    thread: THREAD,
    session: "parent",
    isExec: true,
    turnBegan: 1795500400914,
  });
  for (const odd of [undefined, null, 1, "text", []]) {
    const sparse = { threadId: THREAD, "x-codex-turn-metadata": odd };
    assert.deepEqual(codexCall(sparse), {
      thread: THREAD,
      session: THREAD,
      isExec: false,
      turnBegan: undefined,
    });
  }
  assert.equal(codexCall({ progressToken: 1 }), undefined, "another client");
  assert.equal(codexCall(undefined), undefined);
});

/** `_meta` of a call, as Codex sends it. */
function call({ isExec = false, turnBegan = Date.now() } = {}): Record<string, unknown> {
  const turn = { turn_trigger: isExec ? "exec" : "user", turn_started_at_unix_ms: turnBegan };
  return { threadId: THREAD, sessionId: THREAD, "x-codex-turn-metadata": turn };
}

function scene(t: TestContext) {
  const dir = tempDir(t);
  const file = join(binOf(dir), "notes");
  const put = (script: string): void => putProgram(dir, "codex", NOTE + script);
  const notes = () =>
    (existsSync(file) ? readFileSync(file, "utf8") : "")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  put("");
  return { queue: new CodexQueue(join(binOf(dir), "codex")), put, notes };
}
