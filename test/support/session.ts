// A real server in a process of its own, spoken to with the SDK's client.

import assert from "node:assert/strict";
import { renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { childEnv } from "./environment.ts";
import { envOf } from "./folder.ts";
import { filesIn, heartbeats, mail, stamp } from "./mail.ts";
import { endWithFolder, SERVE, withoutCacheNote } from "./process.ts";
import { waitFor } from "./wait.ts";

export interface Push {
  readonly content: string;
  readonly meta: Record<string, string>;
  /** When it came, in ms of `performance.now`. */
  readonly at: number;
}

export interface Options {
  /** The data folder. */
  readonly dir: string;
  /** Beside PATH, HOME, IPC_DIR and IPC_SESSION_ID. */
  readonly env?: Readonly<Record<string, string>>;
  /** The working folder; default: the data folder's parent. */
  readonly cwd?: string;
  /** How the client names itself at `initialize`; default: `test`, which is no agent we know. */
  readonly client?: string;
  /** Command and arguments that start the server; default: SERVE. */
  readonly command?: readonly string[];
}

/** A server and its client, connected. Without a name, the server finds one. */
export async function startSession(
  name: string | undefined,
  options: Options,
): Promise<TestSession> {
  const session = new TestSession(name, options);
  try {
    await session.client.connect(session.transport);
  } catch (error) {
    throw new Error(`${name} did not connect: ${session.stderr()}`, { cause: error });
  }
  session.pid = session.transport.pid ?? 0;
  return session;
}

/** Several at once, in the order of their names. */
export async function startSessions<const Names extends readonly string[]>(
  names: Names,
  options: Options,
): Promise<{ [I in keyof Names]: TestSession }> {
  const sessions = await Promise.all(names.map((name) => startSession(name, options)));
  return sessions as { [I in keyof Names]: TestSession };
}

let markers = 0;

export class TestSession {
  readonly dir: string;
  /** Channel notifications, in the order they came. */
  readonly pushes: Push[] = [];
  /** What came on stdout that is no JSON-RPC, and other faults of the connection. */
  readonly faults: string[] = [];
  readonly client: Client;
  readonly transport: StdioClientTransport;
  /** Resolves when the process has ended and its pipes are closed. */
  readonly ended: Promise<void>;
  pid = 0;
  readonly #name: string;
  #stderr = "";
  /** Markers of `waitForPushes` that have come. */
  readonly #markers = new Set<string>();

  constructor(
    name: string | undefined,
    { dir, env = {}, cwd = join(dir, ".."), client = "test", command = SERVE }: Options,
  ) {
    this.dir = dir;
    this.client = new Client({ name: client, version: "1" });
    this.#name = name ?? "";
    const [program = "", ...args] = command;
    const session = name === undefined ? {} : { IPC_SESSION_ID: name };
    const home = env.HOME === undefined ? {} : childEnv(env.HOME);
    const own = { ...envOf(dir), ...home, ...session, ...env };
    this.transport = new StdioClientTransport({
      command: program,
      args,
      cwd,
      env: own,
      stderr: "pipe",
    });
    this.transport.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.client.onerror = (error) => this.faults.push(error.message);
    this.client.fallbackNotificationHandler = async ({ method, params }) => {
      if (method === "notifications/claude/channel")
        this.#take(params as unknown as Omit<Push, "at">);
    };
    const forget = endWithFolder(this);
    this.ended = new Promise((done) => {
      this.client.onclose = () => {
        forget();
        done();
      };
    });
  }

  get folder(): string {
    return this.dir;
  }

  #take(push: Omit<Push, "at">): void {
    const { subject = "", from } = push.meta;
    if (from === "marker") this.#markers.add(subject);
    else this.pushes.push({ ...push, at: performance.now() });
  }

  /** Calls a tool, `who` for `t9_ipc_who`. `meta` becomes `params._meta`. */
  async call(
    tool: string,
    args: Record<string, unknown> = {},
    meta?: Record<string, unknown>,
  ): Promise<{ text: string; isError: boolean }> {
    const name = tool.startsWith("t9_ipc_") ? tool : `t9_ipc_${tool}`;
    const { content, isError } = await this.client.callTool({
      name,
      arguments: args,
      ...(meta && { _meta: meta }),
    });
    const text = (content as { text: string }[]).map((part) => part.text).join("\n");
    return { text, isError: isError === true };
  }

  /** The first push the predicate holds for, that came or is still to come. */
  async waitForPush(predicate: (push: Push) => boolean = () => true, ms?: number): Promise<Push> {
    const found = () => this.pushes.find(predicate);
    return waitFor(found, () => `a push, have ${JSON.stringify(this.pushes)}; ${this.#stderr}`, ms);
  }

  /**
   * Waits until `count` pushes have come in all, and proves that no further one is on its way. For
   * that a marker message is put into the inbox: messages are pushed in the order of their names,
   * so whatever was there before the marker has been pushed when the marker is. The marker is taken
   * out again, and is in no list of pushes.
   */
  async waitForPushes(count: number): Promise<readonly Push[]> {
    await waitFor(
      () => this.pushes.length >= count,
      () => `${count} pushes, have ${JSON.stringify(this.pushes)}; ${this.#stderr}`,
    );
    await this.#passMarker();
    const subjects = () => JSON.stringify(this.pushes.map(({ meta }) => meta.subject));
    assert.equal(this.pushes.length, count, `pushed: ${subjects()}`);
    return this.pushes;
  }

  async #passMarker(): Promise<void> {
    const own = Object.entries(heartbeats(this.dir)).find(([, { pid }]) => pid === this.pid)?.[0];
    const to = own ?? (this.#name || "all");
    const subject = `marker ${++markers}`;
    const now = stamp(0, (Date.now() % 1000) * 1000);
    const stamps = filesIn(this.dir).map((file) => /^\d{8}T\d{12}(?=-)/.exec(file)?.[0] ?? "");
    const last = [...stamps, now].sort().at(-1);
    const file = `${last}-ffffffff-marker-${to.slice(0, 16)}-${subject.replace(" ", "_")}.md`;
    const path = join(this.dir, "inbox", file);
    const temporary = join(this.dir, `.tmp-${subject.replace(" ", "-")}`);
    writeFileSync(temporary, mail({ from: "marker", to, subject }), { mode: 0o600 });
    renameSync(temporary, path);
    await waitFor(
      () => this.#markers.has(subject),
      () => `${subject} to ${to} to be pushed; ${this.#stderr}`,
    );
    unlinkSync(path);
  }

  stderr(): string {
    return withoutCacheNote(this.#stderr);
  }

  /** With the line about the cache. */
  allStderr(): string {
    return this.#stderr;
  }

  /** Closes stdin and waits for the end of the process. Returns how long that took, in ms. */
  async close(): Promise<number> {
    const start = performance.now();
    await this.transport.close();
    await this.ended;
    return performance.now() - start;
  }

  /** Sends a signal and waits for the end of the process. Returns how long that took, in ms. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number> {
    const start = performance.now();
    process.kill(this.pid, signal);
    await this.ended;
    return performance.now() - start;
  }
}
