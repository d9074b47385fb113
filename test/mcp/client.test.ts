// The client: gone in every way there is, or sending what no client should.

import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { filesIn, heartbeats } from "../support/mail.ts";
import { SERVER } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";

/** A process ends within a second of its client. */
const LEAVE_MS = 1000;

interface Line {
  jsonrpc?: string;
  id?: number | string | null;
  method?: string;
  result?: { isError?: boolean; content?: { text: string }[]; tools?: unknown[] };
  error?: { code: number; message: string };
}

/** A server spoken to in bytes. */
class Raw {
  readonly dir: string;
  readonly child: ChildProcessWithoutNullStreams;
  stdout = "";
  stderr = "";

  constructor(t: TestContext) {
    // Before the folder goes.
    t.after(async () => {
      this.child.kill("SIGKILL");
      await waitFor(() => this.hasEnded, "the server's end");
    });
    const dir = tempDir(t);
    this.dir = dir;
    const env = { PATH: process.env.PATH, HOME: dirname(dir), IPC_DIR: dir, IPC_SESSION_ID: "alpha" };
    this.child = spawn(process.execPath, [SERVER], { cwd: dirname(dir), env });
    this.child.stdin.on("error", () => {});
    this.child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
  }

  write(message: object | string): void {
    this.child.stdin.write(
      typeof message === "string" ? message : `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`,
    );
  }

  /** Everything on stdout so far: each line must be JSON-RPC. */
  lines(): Line[] {
    const lines = this.stdout.split("\n").slice(0, -1);
    return lines.map((text) => {
      const line: Line = JSON.parse(text);
      assert.equal(line.jsonrpc, "2.0", text);
      return line;
    });
  }

  answer(id: number | string): Promise<Line> {
    const found = () => this.lines().find((line) => line.id === id && !line.method);
    return waitFor(found, () => `an answer to ${id}; stderr: ${this.stderr.slice(-500)}`) as Promise<Line>;
  }

  async initialize(): Promise<this> {
    const clientInfo = { name: "raw", version: "1" };
    this.write({
      id: 0,
      method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo },
    });
    await this.answer(0);
    this.write({ method: "notifications/initialized" });
    return this;
  }

  call(id: number | string, tool: string, args: object = {}): void {
    this.write({ id, method: "tools/call", params: { name: `t9_ipc_${tool}`, arguments: args } });
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Still serving: a call made now is answered. */
  async serves(): Promise<void> {
    this.call("still", "who");
    assert.match((await this.answer("still")).result?.content?.[0]?.text ?? "", /alpha \(you\)/);
  }

  /** Waits for the end of the process, which must come within a second and leave no entry behind. */
  async leaves(): Promise<void> {
    const start = performance.now();
    await waitFor(() => this.hasEnded, "the server's end", 5 * LEAVE_MS);
    const took = performance.now() - start;
    assert.ok(took < LEAVE_MS, `it took ${Math.round(took)} ms to end`);
    assert.equal(this.child.exitCode, 0, this.stderr);
    assert.equal(heartbeats(this.dir).alpha, undefined, "a ghost");
  }
}

const start = (t: TestContext): Promise<Raw> => new Raw(t).initialize();

describe("the client is gone", { concurrency: 2 }, () => {
  test("before the handshake", async (t) => {
    const server = new Raw(t);
    server.child.stdin.end();
    await waitFor(() => server.hasEnded, "the end");
    assert.equal(heartbeats(server.dir).alpha, undefined);
  });

  test("the client is killed with -9", async (t) => {
    const dir = tempDir(t);
    const client = `const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, [${JSON.stringify(SERVER)}], { stdio: ["pipe", "pipe", "ignore"] });
      child.stdout.on("data", () => console.log(child.pid));
      child.stdin.write(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: {
        protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "c", version: "1" } } }) + "\\n");`;
    const env = { PATH: process.env.PATH, HOME: dirname(dir), IPC_DIR: dir, IPC_SESSION_ID: "alpha" };
    const parent = spawn(process.execPath, ["-e", client], { cwd: dirname(dir), env });
    const [pid] = await once(parent.stdout.setEncoding("utf8"), "data");
    assert.equal(heartbeats(dir).alpha?.pid, Number(pid));
    parent.kill("SIGKILL");
    await waitFor(() => !isRunning(Number(pid)), "the server's end", LEAVE_MS);
    assert.equal(heartbeats(dir).alpha, undefined, "a ghost");
  });

  test("nobody reads stdout any more", async (t) => {
    const answering = await start(t);
    answering.child.stdout.destroy();
    answering.call(1, "who");
    await answering.leaves();
  });

  test("the lock of heartbeats.json cannot be had", async (t) => {
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

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" && process.platform !== "linux";
  }
}

describe("the client sends what no client should", { concurrency: 2 }, () => {
  test("lines that are no JSON-RPC are one line on stderr each, and the next call is answered", async (t) => {
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
    await server.serves();
    for (const line of server.stderr.split("\n").slice(0, -1)) assert.match(line, /^t9-ipc: protocol: .{1,220}$/);
    server.child.stdin.end();
    await server.leaves();
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
    assert.match(result?.content?.[0]?.text ?? error?.message ?? "", /no tool t9_ipc_nonsense.*t9_ipc_who/);
    await server.serves();
  });

  test("calls before initialize are answered and break nothing", async (t) => {
    const server = new Raw(t);
    server.call(1, "who");
    server.call(2, "send", { to: "beta", subject: "early", allow_unknown: true });
    server.write({ id: 3, method: "tools/list" });
    const answers = await Promise.all([1, 2, 3].map((id) => server.answer(id)));
    for (const { result, error } of answers) assert.ok(result ?? error);
    await (await server.initialize()).serves();
  });

  test("half a line, and the rest later; half a line and no more", async (t) => {
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
    await server.leaves();
  });

  test("20 MB in a line: no JSON, and a call with a body of that size", async (t) => {
    const server = await start(t);
    server.write(`${"x".repeat(20 << 20)}\n`);
    const begin = performance.now();
    await server.serves();
    assert.ok(performance.now() - begin < 3000, "the time is in the square of the length");
    server.call(1, "send", { to: "beta", subject: "long", body: "x".repeat(20 << 20), allow_unknown: true });
    const { result } = await server.answer(1);
    assert.equal(result?.isError, true);
    assert.match(result?.content?.[0]?.text ?? "", /20971520 characters, the limit is 10240/);
    assert.deepEqual(filesIn(server.dir), []);
  });

  test("80 MB in a line: it goes on or ends, but is not left deaf and listed", async (t) => {
    const server = await start(t);
    server.write(`${"x".repeat(80 << 20)}\n`);
    server.call("after", "who");
    await waitFor(() => server.hasEnded || server.stdout.includes('"after"'), "an answer or the end");
    if (server.hasEnded) assert.equal(heartbeats(server.dir).alpha, undefined, "a ghost");
  });

  test("1,000 calls at once: all are answered, each send is stored once", async (t) => {
    const server = await start(t);
    for (let id = 1; id <= 1000; id++) {
      if (id % 10 === 0) server.call(id, "unread");
      else if (id % 10 === 1) server.call(id, "who");
      else server.call(id, "send", { to: "beta", subject: `call ${id}`, allow_unknown: true });
    }
    const answered = () => server.stdout.split("\n").length > 1001;
    await waitFor(answered, () => `1,000 answers, of ${server.stdout.split("\n").length}`);
    const answers = new Map(server.lines().map((line) => [line.id, line]));
    for (let id = 1; id <= 1000; id++) assert.equal(answers.get(id)?.result?.isError ?? false, false, `call ${id}`);
    assert.equal(filesIn(server.dir).length, 800);
    await server.serves();
    assert.equal(server.stderr, "");
  });
});
