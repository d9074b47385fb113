// The command line in this process, for the rules of a command: it takes a tenth of the CPU time of
// a process. Tests that start the built program show that it does the same.

import fs from "node:fs";
import type { TestContext } from "node:test";
import { describeError, exitCodeOf } from "../../src/cli/errors.ts";
import { runCommand } from "../../src/cli/program.ts";
import type { Config } from "../../src/config.ts";
import { configOf, type Ended } from "./command.ts";
import { systemError } from "./memory-files.ts";

/** Commands print to the console, which this process has once: so they run one after another. */
let last: Promise<unknown> = Promise.resolve();

/** Runs `t9-ipc ARGS` to its end, as `src/server.ts` does. Nothing is on standard input. */
export function runHere(
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const result = last.then(() => runAlone(dir, args, env));
  last = result.catch(() => {});
  return result;
}

async function runAlone(
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { log, error } = console;
  const stdout: string[] = [];
  const stderr: string[] = [];
  let code = 0;
  const config: Config = {
    ...configOf(dir, env),
    log: (line) => void stderr.push(`t9-ipc: ${line}\n`),
  };
  console.log = (text: string) => void stdout.push(`${text}\n`);
  console.error = (text: string) => void stderr.push(`${text}\n`);
  try {
    await runCommand(config, args);
  } catch (problem) {
    const text = describeError(problem);
    if (text) console.error(text);
    code = exitCodeOf(problem);
  } finally {
    Object.assign(console, { log, error });
  }
  return { code, stdout: stdout.join(""), stderr: stderr.join("") };
}

/** From now on in this test, the disk fails when a command in this process opens these files. */
export function failToOpen(t: TestContext, isBad: (path: string) => boolean): void {
  const { openSync } = fs;
  t.mock.method(fs, "openSync", (path: string, ...rest: [fs.OpenMode]) => {
    if (isBad(path)) throw systemError("EIO");
    return openSync(path, ...rest);
  });
}
