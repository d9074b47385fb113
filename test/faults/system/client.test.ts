// The client: gone in every way there is, or sending what no client should.

import assert from "node:assert/strict";
import { mkdirSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { homeOf, tempDir } from "../../support/folder.ts";
import { filesIn, heartbeats } from "../../support/mail.ts";
import { isRunning, LEAVE_MS, Process, SERVER, withoutCacheNote } from "../../support/process.ts";
import { RawServer } from "../../support/rpc.ts";
import { waitFor } from "../../support/wait.ts";

const start = (t: TestContext): Promise<RawServer> => new RawServer(tempDir(t)).initialize();

/** It serves: a call made now is answered. */
async function serves(server: RawServer): Promise<void> {
  server.call("still", "who");
  assert.match((await server.answer("still")).result?.content?.[0]?.text ?? "", /alpha \(you\)/);
}

/** Waits for the end of the process, which must come within a second and leave no entry behind. */
async function leaves(server: RawServer): Promise<void> {
  const start = performance.now();
  await waitFor(() => server.hasEnded, "the server's end");
  const took = performance.now() - start;
  assert.ok(took < LEAVE_MS, `it took ${Math.round(took)} ms to end`);
  assert.equal(server.child.exitCode, 0, server.stderr);
  assert.equal(heartbeats(server.dir).alpha, undefined, "a ghost");
}

describe("a client that is gone", { concurrency: 2 }, () => {
  test("a server whose client goes before the handshake ends", async (t) => {
    const server = new RawServer(tempDir(t));
    server.child.stdin.end();
    await waitFor(() => server.hasEnded, "the server's end");
    assert.equal(heartbeats(server.dir).alpha, undefined);
  });

  test("a server whose client is killed ends within a second", async (t) => {
    const dir = tempDir(t);
    const client = `const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, [${JSON.stringify(SERVER)}], { stdio: ["pipe", "pipe", "ignore"] });
      child.stdout.on("data", () => console.log(child.pid));
      child.stdin.write(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: {
        protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } } }) + "\\n");`;
    const env = { HOME: homeOf(dir), IPC_DIR: dir, IPC_SESSION_ID: "alpha" };
    const parent = new Process([process.execPath, "-e", client], { cwd: dirname(dir), env });
    const pid = Number(await waitFor(() => /^\d+\n/.exec(parent.stdout)?.[0], "the server's PID"));
    assert.equal(heartbeats(dir).alpha?.pid, pid);
    parent.child.kill("SIGKILL");
    await waitFor(() => !isRunning(pid), "the server's end", LEAVE_MS);
    assert.equal(heartbeats(dir).alpha, undefined, "a ghost");
  });

  test("a server whose answers nobody reads any more ends", async (t) => {
    const answering = await start(t);
    answering.child.stdout.destroy();
    answering.call(1, "who");
    await leaves(answering);
  });

  test("a server that cannot acquire the lock of heartbeats.json ends all the same", async (t) => {
    const server = await start(t);
    const lock = join(server.dir, "heartbeats.json.lock");
    const holder = setInterval(() => {
      mkdirSync(lock, { recursive: true });
      utimesSync(lock, new Date(), new Date());
    }, 1);
    t.after(() => clearInterval(holder));
    server.child.stdin.end();
    await waitFor(() => server.hasEnded, "the server's end", LEAVE_MS);
  });
});

describe("a client that sends what no client should", { concurrency: 2 }, () => {
  test("lines that are not JSON-RPC are one line on stderr each, and the next call is answered", async (t) => {
    const server = await start(t);
    const lines = [
      "",
      "nonsense",
      "{",
      '{"a":1}',
      "[]",
      "null",
      "42",
      '"text"',
      '{"jsonrpc":"1.0","id":9,"method":"ping"}',
    ];
    const more = [
      '{"jsonrpc":"2.0","id":{},"method":"ping"}',
      "\u0000\u0001",
      "\ufffd",
      '{"__proto__":{"id":1}}',
      `${"[".repeat(50_000)}`,
    ];
    server.write(`${[...lines, ...more].join("\n")}\n`);
    server.child.stdin.write(Buffer.from([0xff, 0xfe, 0x80, 0x0a]));
    await serves(server);
    for (const line of withoutCacheNote(server.stderr).split("\n").slice(0, -1))
      assert.match(line, /^t9-ipc: protocol: .{1,220}$/);
    server.child.stdin.end();
    await leaves(server);
  });

  test("unknown methods and tools are refused, unknown notifications ignored", async (t) => {
    const server = await start(t);
    server.write({ id: 1, method: "server/discover", params: {} });
    assert.equal((await server.answer(1)).error?.code, -32601);
    server.write({ id: 2, method: "__proto__" });
    assert.equal((await server.answer(2)).error?.code, -32601);
    server.write({ method: "notifications/nonsense", params: { a: 1 } });
    server.write({ id: 77, result: {} });
    server.call(3, "nonsense");
    const { result, error } = await server.answer(3);
    assert.match(
      result?.content?.[0]?.text ?? error?.message ?? "",
      /no tool "t9_ipc_nonsense"\. Call one of t9_ipc_who/,
    );
    await serves(server);
  });

  test("calls before initialize are answered and break nothing", async (t) => {
    const server = new RawServer(tempDir(t));
    server.call(1, "who");
    server.call(2, "send", { to: "beta", subject: "early", allow_unknown: true });
    server.write({ id: 3, method: "tools/list" });
    const answers = await Promise.all([1, 2, 3].map((id) => server.answer(id)));
    for (const { result, error } of answers) assert.ok(result ?? error);
    await serves(await server.initialize());
  });

  test("half a line is completed later, and half a line without a rest ends with the client", async (t) => {
    const server = await start(t);
    const line = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" });
    server.write(line.slice(0, 20));
    server.write({ id: 2, method: "not answered: it is the rest of a line" });
    server.write(line.slice(0, 20));
    await waitFor(() => server.stderr.includes("protocol"), "the refusal");
    server.write(`${line.slice(20)}\n`);
    assert.deepEqual((await server.answer(1)).result, {});
    server.write(line.slice(0, 20));
    server.child.stdin.end();
    await leaves(server);
  });

  test("a line of 8 MB is read, and a call with a body of that size is refused", async (t) => {
    const server = await start(t);
    server.write(`${"x".repeat(8 << 20)}\n`);
    await serves(server);
    server.call(1, "send", {
      to: "beta",
      subject: "long",
      body: "x".repeat(8 << 20),
      allow_unknown: true,
    });
    const { result } = await server.answer(1);
    assert.equal(result?.isError, true);
    assert.match(result?.content?.[0]?.text ?? "", /8388608 characters, the limit is 10240/);
    assert.deepEqual(filesIn(server.dir), []);
  });

  test("after a line of 40 MB the server goes on or ends, but is not left deaf and listed", async (t) => {
    const server = await start(t);
    server.write(`${"x".repeat(40 << 20)}\n`);
    server.call("after", "who");
    await waitFor(
      () => server.hasEnded || server.stdout.includes('"after"'),
      "an answer or the end",
    );
    if (server.hasEnded) assert.equal(heartbeats(server.dir).alpha, undefined, "a ghost");
  });

  test("1,000 calls at once are all answered, and each send is stored once", async (t) => {
    const server = await start(t);
    for (let id = 1; id <= 1000; id++) {
      if (id % 10 === 0) server.call(id, "unread");
      else if (id % 10 === 1) server.call(id, "who");
      else server.call(id, "send", { to: "beta", subject: `call ${id}`, allow_unknown: true });
    }
    const answered = () => server.stdout.split("\n").length > 1001;
    await waitFor(answered, () => `1,000 answers, of ${server.stdout.split("\n").length}`);
    const answers = new Map(server.lines().map((line) => [line.id, line]));
    for (let id = 1; id <= 1000; id++)
      assert.equal(answers.get(id)?.result?.isError ?? false, false, `call ${id}`);
    assert.equal(filesIn(server.dir).length, 800);
    await serves(server);
    assert.equal(withoutCacheNote(server.stderr), "");
  });
});
