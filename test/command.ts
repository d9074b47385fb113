// The command line, as a person or a script runs it: a process of its own, an environment made from nothing.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { SERVER } from "./helpers.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  /** Beside PATH, HOME and IPC_DIR. */
  readonly env?: Record<string, string>;
  /** What comes on standard input; default: nothing. */
  readonly input?: string;
  readonly cwd?: string;
  /** Default: the built server. */
  readonly script?: string;
}

/** The home folder that belongs to a data folder of `tempDir`. */
export const homeOf = (dir: string): string => join(dir, "..", "home");

/** Starts `t9-ipc ARGS`; `node` is all there is on PATH, so that no `claude` of this machine is found. */
export function start(dir: string, args: readonly string[], around: Surroundings = {}) {
  const { env = {}, cwd = homeOf(dir), script = SERVER } = around;
  const own = { PATH: binOf(dir), HOME: homeOf(dir), IPC_DIR: dir, ...env };
  return spawn(process.execPath, [script, ...args], { cwd, env: own, stdio: ["pipe", "pipe", "pipe"] });
}

/** Runs it to its end. */
export async function run(dir: string, args: readonly string[], around: Surroundings = {}): Promise<Ended> {
  const child = start(dir, args, around);
  child.stdin.on("error", () => {}); // it need not read
  child.stdin.end(around.input ?? "");
  const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)];
  const code = await new Promise<number | null>((done) => child.on("close", done));
  // better-sqlite3 is optional, and need not be built for the Node that runs this.
  return { code, stdout: stdout(), stderr: stderr().replace(/^t9-ipc: cache .+ not used .+\n/gm, "") };
}

/** Collects what comes on a stream. */
export function textOf(stream: NonNullable<ChildProcess["stdout"]>): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

/** A folder for PATH, with `node` in it. */
export function binOf(dir: string): string {
  const bin = join(dir, "..", "bin");
  mkdirSync(bin, { recursive: true });
  try {
    symlinkSync(process.execPath, join(bin, "node"));
  } catch {
    // from an earlier call
  }
  return bin;
}

/** Puts a program of our own on that PATH. */
export function putProgram(dir: string, name: string, script: string): void {
  writeFileSync(join(binOf(dir), name), `#!${process.execPath}\n${script}`, { mode: 0o755 });
}

/** Ends a child that is still there after the test. */
export function endAfter(t: TestContext, child: ChildProcess): void {
  t.after(() => child.kill("SIGKILL"));
}
