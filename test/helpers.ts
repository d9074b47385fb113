// A real server in a process of its own, spoken to with the SDK's client; temporary folders; conditions to wait for.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

/** What is tested: the built server, as users start it. */
export const SERVER = resolve(import.meta.dirname, "../dist/server.js");
/** Longer than anything here takes, on a machine that is busy with other things as well. */
const PATIENCE_MS = 15_000;

export interface Push {
  readonly content: string;
  readonly meta: Record<string, string>;
  /** When it came, ms, by `performance.now`. */
  readonly at: number;
}

export interface Options {
  /** The data folder. */
  dir: string;
  /** Beside PATH, HOME, IPC_DIR and IPC_SESSION_ID. */
  env?: Record<string, string>;
  /** The working folder; default: the data folder's parent. */
  cwd?: string;
  /** Command and arguments that start the server; default: node and SERVER. */
  command?: readonly string[];
}

const running = new Set<TestSession>();

/** A server and its client, connected; without a name, the server finds one. */
export async function startSession(name: string | undefined, options: Options): Promise<TestSession> {
  const session = new TestSession(name, options);
  running.add(session);
  try {
    await session.client.connect(session.transport);
  } catch (error) {
    throw new Error(`${name} did not connect: ${session.stderr()}`, { cause: error });
  }
  session.pid = session.transport.pid ?? 0;
  return session;
}

export class TestSession {
  readonly dir: string;
  /** Channel notifications, in the order they came. */
  readonly pushes: Push[] = [];
  /** What came on stdout that is no JSON-RPC, and other faults of the connection. */
  readonly faults: string[] = [];
  readonly client = new Client({ name: "test", version: "1" });
  readonly transport: StdioClientTransport;
  /** Resolves when the process has ended and its pipes are closed. */
  readonly ended: Promise<void>;
  pid = 0;
  #stderr = "";

  constructor(name: string | undefined, { dir, env = {}, cwd = join(dir, ".."), command }: Options) {
    this.dir = dir;
    const [program = "", ...args] = command ?? [process.execPath, SERVER];
    const session = name === undefined ? {} : { IPC_SESSION_ID: name };
    const own = { PATH: process.env.PATH ?? "", HOME: join(dir, "..", "home"), IPC_DIR: dir, ...session, ...env };
    this.transport = new StdioClientTransport({ command: program, args, cwd, env: own, stderr: "pipe" });
    this.transport.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.client.onerror = (error) => this.faults.push(error.message);
    this.client.fallbackNotificationHandler = async ({ method, params }) => {
      if (method !== "notifications/claude/channel") return;
      this.pushes.push({ ...(params as unknown as Push), at: performance.now() });
    };
    this.ended = new Promise((done) => {
      this.client.onclose = () => {
        running.delete(this);
        done();
      };
    });
  }

  /** Calls a tool, `who` for `t9_ipc_who`. */
  async call(tool: string, args: Record<string, unknown> = {}): Promise<{ text: string; isError: boolean }> {
    const name = tool.startsWith("t9_ipc_") ? tool : `t9_ipc_${tool}`;
    const { content, isError } = await this.client.callTool({ name, arguments: args });
    const text = (content as { text: string }[]).map((part) => part.text).join("\n");
    return { text, isError: isError === true };
  }

  /** The first push the predicate holds for, that came or is still to come. */
  async waitForPush(predicate: (push: Push) => boolean = () => true, ms?: number): Promise<Push> {
    const found = () => this.pushes.find(predicate);
    return waitFor(found, () => `a push, have ${JSON.stringify(this.pushes)}; ${this.#stderr}`, ms);
  }

  stderr(): string {
    return this.#stderr;
  }

  /** Closes stdin and waits for the end of the process; gives how long that took, in ms. */
  async close(): Promise<number> {
    const start = performance.now();
    await this.transport.close();
    await this.ended;
    return performance.now() - start;
  }

  /** Sends a signal and waits for the end of the process; gives how long that took, in ms. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
    const start = performance.now();
    process.kill(this.pid, signal);
    await this.ended;
    return performance.now() - start;
  }
}

/** A temporary folder's `ipc`, not made yet. After the test its sessions are ended and all is removed. */
export function tempDir(t: TestContext): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "t9-ipc-test-")));
  mkdirSync(join(root, "home"));
  t.after(async () => {
    const left = [...running].filter(({ dir }) => dir.startsWith(root));
    await Promise.all(left.map((session) => session.close().catch(() => {})));
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  });
  return join(root, "ipc");
}

/** Waits until the condition holds and gives what it gave; fails with `what` after `ms`. */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  what: string | (() => string),
  ms = PATIENCE_MS,
): Promise<Exclude<T, undefined | null | false | "" | 0>> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, undefined | null | false | "" | 0>;
    if (performance.now() > deadline) assert.fail(`waited ${ms} ms for ${typeof what === "string" ? what : what()}`);
    await sleep(5);
  }
}
