// What a test with the real Codex does not show: a program that fails, and turns in every order.
// The program is a fake that notes how it was called.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parseCodexCall } from "../../src/agents/codex/calls.ts";
import { CodexQueue } from "../../src/agents/codex/queue.ts";
import { binOf, homeOf, putProgram, tempDir } from "../support/folder.ts";

const NOTE = `require("node:fs").appendFileSync(__dirname + "/notes", JSON.stringify(process.argv.slice(2)) + "\\n");`;
const THREAD = "01a20c2a-0ce9-7ff1-9620-283ff2b51eec";
const NOTICE = "t9-ipc: 1 new message";

test("a notice is queued for the conversation that called, with the given program", async (t) => {
  const { queue, onCall, notes } = scene(t);
  assert.equal(queue.problem(), "unavailable", "nobody has called yet");
  onCall("t9_ipc_who");
  assert.equal(queue.problem(), undefined);
  assert.equal(queue.isPending(), false);
  await queue.wake(NOTICE);
  assert.deepEqual(notes(), [["queue", `--thread=${THREAD}`, `--message=${NOTICE}`]]);
  assert.equal(queue.problem(), undefined);
});

test("a notice is queued for the user's conversation if a sub-agent called", async (t) => {
  const { queue, onCall, notes } = scene(t);
  onCall("t9_ipc_who", call({ thread: "sub-agent" }));
  await queue.wake(NOTICE);
  assert.deepEqual(notes(), [["queue", `--thread=${THREAD}`, `--message=${NOTICE}`]]);
});

test("a notice is pending until mail is read in a turn that began later", async (t) => {
  const { queue, onCall } = scene(t);
  const before = call({ turnBegan: Date.now() - 1 });
  onCall("t9_ipc_who", before);
  const queued = queue.wake(NOTICE);
  assert.equal(queue.isPending(), true, "while it is being queued");
  await queued;
  onCall("t9_ipc_who", before);
  onCall("t9_ipc_unread", before);
  assert.equal(queue.isPending(), true, "this turn began before: the notice is still to run");
  const after = call({ turnBegan: Date.now() });
  onCall("t9_ipc_who", after);
  assert.equal(queue.isPending(), true, "the notice's turn has begun, and will read the mail");
  onCall("t9_ipc_unread", after);
  assert.equal(queue.isPending(), false);
});

test("a notice that the user interrupted is pending for half an hour", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const { queue, onCall } = scene(t);
  onCall("t9_ipc_who");
  await queue.wake(NOTICE);
  t.mock.timers.tick(29 * 60_000);
  assert.equal(queue.isPending(), true);
  t.mock.timers.tick(2 * 60_000);
  assert.equal(queue.isPending(), false);
});

test("`codex exec` cannot be woken", (t) => {
  const { queue, onCall } = scene(t);
  onCall("t9_ipc_who", call({ isExec: true }));
  assert.equal(queue.problem(), "codex-exec");
});

test("a failure has Codex's words, and the next call allows another try", async (t) => {
  const { queue, onCall, put } = scene(t);
  put(
    `console.error("WARNING: something else\\nError: no rollout found\\n\\nUsage: ..."); process.exit(1)`,
  );
  onCall("t9_ipc_who");
  await assert.rejects(queue.wake(NOTICE), { message: "Error: no rollout found" });
  assert.equal(queue.problem(), "codex-failed");
  assert.equal(queue.isPending(), false);

  put("");
  onCall("t9_ipc_who");
  assert.equal(queue.problem(), undefined);
  await queue.wake(NOTICE);
  assert.equal(queue.problem(), undefined);
});

test("a missing program is a failure like any other", async (t) => {
  const dir = tempDir(t);
  const queue = new CodexQueue(join(homeOf(dir), "codex"));
  queue.onToolCall({ tool: "t9_ipc_who", meta: call() });
  await assert.rejects(queue.wake(NOTICE), /ENOENT/);
  assert.equal(queue.problem(), "codex-failed");
  assert.equal(queue.isPending(), false);
});

test("a call of another client changes nothing", (t) => {
  const { queue, onCall } = scene(t);
  onCall("t9_ipc_who", { progressToken: 1 });
  assert.equal(queue.problem(), "unavailable");
});

test("a call's fields are read, and those that Codex leaves out are undefined", () => {
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
  assert.deepEqual(parseCodexCall(meta), {
    thread: THREAD,
    session: "parent",
    isExec: true,
    turnBegan: 1795500400914,
  });
  for (const odd of [undefined, null, 1, "text", []]) {
    const sparse = { threadId: THREAD, "x-codex-turn-metadata": odd };
    assert.deepEqual(parseCodexCall(sparse), {
      thread: THREAD,
      session: THREAD,
      isExec: false,
      turnBegan: undefined,
    });
  }
  assert.equal(parseCodexCall({ progressToken: 1 }), undefined, "another client");
  assert.equal(parseCodexCall({}), undefined);
});

/** `_meta` of a call, as Codex sends it. */
function call({ isExec = false, turnBegan = Date.now(), thread = THREAD } = {}) {
  const turn = { turn_trigger: isExec ? "exec" : "user", turn_started_at_unix_ms: turnBegan };
  return { threadId: thread, sessionId: THREAD, "x-codex-turn-metadata": turn };
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
  const queue = new CodexQueue(join(binOf(dir), "codex"));
  const onCall = (tool: string, meta: Record<string, unknown> = call()): void =>
    queue.onToolCall({ tool, meta });
  return { queue, onCall, put, notes };
}
