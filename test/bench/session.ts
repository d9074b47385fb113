/**
 * One server process, the raw JSON-RPC spoken with it over stdio, and what the kernel says it
 * costs.
 */

import { type ChildProcessWithoutNullStreams as Child, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";

interface Line {
  id?: number;
  result?: { isError?: boolean; content?: { text?: string }[] };
  error?: { message: string };
  method?: string;
  params?: { meta?: { subject?: string } };
}

export interface Answer {
  text: string;
  ms: number;
}

const ANSWER_WITHIN_MS = 120_000;
const LEAVE_WITHIN_MS = 5_000;
const running = new Set<Child>();

/** Flags that let a Node tell its live heap: asked with a signal, it answers on stderr. */
export const TELLS_HEAP = [
  "--expose-gc",
  "--import=data:text/javascript,process.on('SIGUSR2',()=>(gc(),process._rawDebug(process.memoryUsage().heapUsed)))",
];

/** Starts a process with an environment built from nothing. */
export function launch(
  command: string,
  args: string[],
  cwd: string,
  env: Record<string, string> = {},
): Child {
  const child = spawn(command, args, {
    cwd,
    env: { PATH: process.env.PATH ?? "", HOME: cwd, USERPROFILE: cwd, ...env },
  });
  running.add(child);
  child.once("close", () => running.delete(child));
  child.on("error", () => {}); // could not be started: "close" follows
  child.stdin.on("error", () => {}); // it has gone: "close" follows
  return child;
}

/** Ends a process as a client does: closes its stdin, and insists only after 5 s. */
export async function leave(child: Child): Promise<void> {
  if (!running.has(child)) return;
  const insist = setTimeout(() => child.kill("SIGKILL"), LEAVE_WITHIN_MS);
  child.stdin.end();
  await once(child, "close");
  clearTimeout(insist);
}

export function killAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

export class Session {
  /** Subjects in the order their notifications came. */
  readonly arrivals: string[] = [];
  /** How often it said that it goes on without the lock of the inbox, and of heartbeats.json. */
  readonly unlocked = { inbox: 0, heartbeats: 0 };
  readonly pid: number;
  readonly #started = performance.now();
  readonly #calls = new Map<number, (line: Line) => void>();
  readonly #watchers = new Set<(subject: string, at: number) => void>();
  #id = 0;
  #rest = "";
  #died = "";
  #stderr = "";

  constructor(
    readonly name: string,
    readonly child: Child,
  ) {
    this.pid = child.pid ?? 0;
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      this.#stderr = chunk.trimEnd().slice(-300);
      for (const [, lock] of chunk.matchAll(/no lock of \S*(inbox|heartbeats)/g))
        this.unlocked[lock as keyof typeof this.unlocked]++;
    });
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => this.#read(chunk));
    child.once("close", () => {
      this.#died = `${name} ended: ${this.#stderr}`;
      for (const id of this.#calls.keys()) this.#answer({ id, error: { message: this.#died } });
    });
  }

  /** Milliseconds from spawn to the answer of `initialize`. */
  async initialize(): Promise<number> {
    const clientInfo = { name: "bench", version: "1" };
    await this.#request("initialize", {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo,
    });
    const took = performance.now() - this.#started;
    this.#write({ method: "notifications/initialized" });
    return took;
  }

  /** Calls a tool; a refusal is an error. `ms` is from writing the call to its answer. */
  async call(tool: string, args: Record<string, string> = {}): Promise<Answer> {
    const written = performance.now();
    const result = await this.#request("tools/call", { name: `t9_ipc_${tool}`, arguments: args });
    const ms = performance.now() - written;
    const text = result?.content?.map((part) => part.text).join("\n") ?? "";
    if (result?.isError) throw new Error(`${tool}: ${text}`);
    return { text, ms };
  }

  /** A direct message; `text` names the file it was stored as, where the server tells. */
  send(to: Session, subject: string, body = `about ${subject}`): Promise<Answer> {
    return this.call("send", { to: to.name, subject, body, priority: "normal" });
  }

  /**
   * When each subject was first pushed here; resolves when all were, or after `ms` with those that
   * were.
   */
  pushed(subjects: string[], ms = 30_000): Promise<Map<string, number>> {
    const missing = new Set(subjects);
    const seen = new Map<string, number>();
    return new Promise((resolve) => {
      const end = () => this.#watchers.delete(watcher) && resolve(seen);
      const watcher = (subject: string, at: number) => {
        if (missing.delete(subject)) seen.set(subject, at);
        if (missing.size === 0) end();
      };
      this.#watchers.add(watcher);
      setTimeout(end, ms).unref();
    });
  }

  /**
   * Bytes of the heap in use after a collection; NaN where the process was not started with
   * TELLS_HEAP.
   */
  async heap(): Promise<number> {
    if (!this.child.spawnargs.includes("--expose-gc")) return NaN;
    this.child.kill("SIGUSR2");
    await once(this.child.stderr, "data");
    return Number(this.#stderr);
  }

  async close(): Promise<void> {
    if (this.#died) throw new Error(this.#died);
    await leave(this.child);
  }

  async #request(method: string, params: object): Promise<Line["result"]> {
    const id = ++this.#id;
    const answer = new Promise<Line>((resolve) => this.#calls.set(id, resolve));
    const late = setTimeout(
      () => this.#answer({ id, error: { message: `no answer to ${method}` } }),
      ANSWER_WITHIN_MS,
    );
    this.#write({ id, method, params });
    const { result, error } = await answer;
    clearTimeout(late);
    if (error) throw new Error(error.message);
    return result;
  }

  #write(message: object): void {
    this.child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }

  #answer(line: Line): void {
    this.#calls.get(line.id ?? 0)?.(line);
    this.#calls.delete(line.id ?? 0);
  }

  #read(chunk: string): void {
    const at = performance.now();
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const text of lines) {
      const line: Line = JSON.parse(text);
      if (!line.method) this.#answer(line);
      if (line.method !== "notifications/claude/channel") continue;
      const subject = line.params?.meta?.subject ?? "";
      this.arrivals.push(subject);
      for (const watcher of this.#watchers) watcher(subject, at);
    }
  }
}

/** CPU used so far by all, in ms, to the microsecond; NaN where there is no /proc. */
export function cpu(...sessions: Session[]): number {
  return sessions.reduce((sum, { pid }) => sum + cpuOf(pid), 0);
}

function cpuOf(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.reduce(
      (sum, id) => sum + Number(proc(pid, `task/${id}/schedstat`).split(" ")[0]) / 1e6,
      0,
    );
  } catch {
    return NaN;
  }
}

/**
 * Resident memory in MB: whole, and (Pss) with shared pages divided among their users; NaN without
 * /proc.
 */
export function memory({ pid = 0 }: { pid?: number | undefined }): { rss: number; pss: number } {
  const mb = (file: string, key: RegExp) => Number(key.exec(proc(pid, file))?.[1]) / 1024;
  return { rss: mb("status", /^VmRSS:\s+(\d+)/m), pss: mb("smaps_rollup", /^Pss:\s+(\d+)/m) };
}

function proc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
