// The command line, as a person or a script runs it.

import { readConfig } from "../../src/config.ts";
import { binOf, envOf, homeOf } from "./folder.ts";
import { Process, SERVER, withoutCacheNote } from "./process.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Around {
  /** Beside PATH, HOME and IPC_DIR; it may replace these. */
  readonly env?: Readonly<Record<string, string>>;
  /** What comes on standard input; default: nothing. */
  readonly input?: string;
  /** Default: the home folder. */
  readonly cwd?: string;
  /** Default: the built server. */
  readonly script?: string;
}

/** Starts `t9-ipc ARGS`. `node` is all there is on PATH. */
export function start(dir: string, args: readonly string[], around: Around = {}): Process {
  const { env = {}, cwd = homeOf(dir), script = SERVER } = around;
  const own = { ...envOf(dir), PATH: binOf(dir), ...env };
  return new Process([process.execPath, script, ...args], { cwd, env: own });
}

/** The configuration of such a command, for tests in this process. */
export function configOf(dir: string, env: NodeJS.ProcessEnv = {}, cwd = homeOf(dir)) {
  return readConfig({ ...envOf(dir), PATH: binOf(dir), ...env }, cwd);
}

/** Runs `t9-ipc ARGS` to its end. */
export async function run(
  dir: string,
  args: readonly string[],
  around: Around = {},
): Promise<Ended> {
  const command = start(dir, args, around);
  command.child.stdin.end(around.input ?? "");
  const code = await command.ended;
  return { code, stdout: command.stdout, stderr: withoutCacheNote(command.stderr) };
}
