// Stands in until the last test has moved into its folder: see test/support.
import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import type { Around } from "./support/command.ts";
import { binOf, homeOf } from "./support/folder.ts";
import { SERVER } from "./support/process.ts";

export { type Ended, run } from "./support/command.ts";
export { binOf, homeOf, putProgram } from "./support/folder.ts";

export function start(dir: string, args: readonly string[], { env = {} }: Around = {}) {
  const own = { PATH: binOf(dir), HOME: homeOf(dir), IPC_DIR: dir, ...env };
  return spawn(process.execPath, [SERVER, ...args], { cwd: homeOf(dir), env: own, stdio: ["pipe", "pipe", "pipe"] });
}

export function textOf(stream: NonNullable<ChildProcess["stdout"]>): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

export function endAfter(t: TestContext, child: ChildProcess): void {
  t.after(() => child.kill("SIGKILL"));
}
