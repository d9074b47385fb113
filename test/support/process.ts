// Processes that a test starts: an environment made from nothing, and an end with the test. Also
// what this machine allows.

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { childEnv } from "./environment.ts";

/** What is tested: the built server, as users start it. */
export const SERVER = resolve(import.meta.dirname, "../../dist/server.js");
/** The command that starts it. */
export const SERVE: readonly string[] = [process.execPath, SERVER];

/**
 * A server that was told to leave ends within this many milliseconds. A second is what it promises,
 * and enough on a quiet machine. This is as much more as can be told from a hang: after 2 s the
 * SDK's client would end it by a signal.
 */
export const LEAVE_MS = 1900;

/** Something that must have ended before the temporary folder it works in is removed. */
interface Running {
  readonly folder: string;
  close(): Promise<unknown>;
}

const running = new Set<Running>();

/**
 * Has `tempDir` end this when its test is over. Returns how to take that back, once it has ended by
 * itself.
 */
export function endWithFolder(each: Running): () => void {
  running.add(each);
  return () => running.delete(each);
}

/** Ends whatever still runs in this folder or below it. */
export async function endAllIn(folder: string): Promise<void> {
  const left = [...running].filter((each) => each.folder.startsWith(folder));
  await Promise.all(left.map((each) => each.close().catch(() => {})));
}

export interface Surroundings {
  /**
   * The folder it runs in. It is ended when the test that made this folder with `tempDir` is over.
   */
  readonly cwd: string;
  /** Beside what `childEnv` makes for a home, which is this folder if HOME is not given. */
  readonly env?: Readonly<Record<string, string>>;
}

export class Process implements Running {
  readonly folder: string;
  readonly child: ChildProcessWithoutNullStreams;
  /** All that came so far. */
  stdout = "";
  stderr = "";
  /**
   * Resolves when the process has ended and its pipes are closed: with its exit code, or null after
   * a signal.
   */
  readonly ended: Promise<number | null>;

  constructor(command: readonly string[], { cwd, env = {} }: Surroundings) {
    const [program = "", ...args] = command;
    this.folder = cwd;
    this.child = spawn(program, args, { cwd, env: { ...childEnv(env.HOME ?? cwd), ...env } });
    this.child.stdin.on("error", () => {}); // It may end without reading what we write.
    this.child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    const forget = endWithFolder(this);
    this.ended = new Promise((done, fail) => {
      this.child.on("error", fail);
      this.child.on("close", done);
    });
    this.ended.then(forget, forget);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Sends the signal and waits for the end. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    this.child.kill(signal);
    return this.ended;
  }

  /** Ends it in any case, even where its pipes are held open by a child of its own. */
  async close(): Promise<void> {
    if (this.hasEnded || this.pid === 0) return;
    const exit = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    await exit;
  }
}

/**
 * True while a process with this PID runs. One that has ended and waits for its parent (a zombie)
 * does not run.
 */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}

/**
 * What came on stderr, without the line about the cache: better-sqlite3 is optional, and need not
 * be built for the Node that runs this.
 */
export const withoutCacheNote = (stderr: string): string =>
  stderr.replace(/^t9-ipc: cache .+ not used .+\n/gm, "");

/** Why the arguments of a process cannot be seen here; false if they can. */
export const noArguments =
  process.platform === "win32" && "Windows does not tell the arguments of another process";

/** The command of a process that waits for the end of its standard input, with these arguments. */
export const waiting = (...args: readonly string[]): readonly string[] =>
  process.platform === "win32"
    ? [process.execPath, "-e", "process.stdin.resume()", "--", ...args]
    : ["sh", "-c", "read line; :", ...args];

/** True where this command can be run here and succeeds. */
export const works = (...command: readonly string[]): boolean =>
  spawnSync(command[0] ?? "", command.slice(1), { env: childEnv() }).status === 0;

export const isRoot = process.getuid?.() === 0;

/**
 * Put before a command, it makes file permissions count. They do not count for root, unless root
 * gives that up.
 */
export const withoutRoot: readonly string[] = isRoot
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
  : [];

/** Why permissions cannot be tested here; false where they can. */
export const noPermissions =
  isRoot && !works(...withoutRoot, "true") && "root, and no setpriv to be less";
