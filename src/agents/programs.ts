import spawn from "cross-spawn";
import { errorCode } from "../core/errors.ts";

const TIMEOUT_MS = 30_000;

export interface ProgramResult {
  /** False also if the program is missing or did not end in time. */
  readonly hasSucceeded: boolean;
  /** True if the program is not on PATH. */
  readonly isMissing: boolean;
  /** Everything that it printed. */
  readonly output: string;
}

/**
 * Runs a program to its end, for at most 30 s. cross-spawn also finds `claude.cmd`, which is how
 * npm installs programs on Windows.
 */
export function runProgram(
  env: NodeJS.ProcessEnv,
  program: string,
  ...args: readonly string[]
): ProgramResult {
  const { status, error, stdout, stderr } = spawn.sync(program, args, {
    env,
    encoding: "utf8",
    timeout: TIMEOUT_MS,
    windowsHide: true,
  });
  return {
    hasSucceeded: status === 0,
    isMissing: errorCode(error) === "ENOENT",
    output: `${stdout ?? ""}${stderr ?? ""}`.trim(),
  };
}

/** True if a version like `2.1.330` is this one or a later one. */
export function isAtLeast(version: string, least: string): boolean {
  return version.localeCompare(least, "en", { numeric: true }) >= 0;
}
