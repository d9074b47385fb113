import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import type { Config } from "../config.ts";
import { errorCode, messageOf } from "../core/errors.ts";
import { type Finding, ok, warning } from "./finding.ts";
import { minimalPath } from "./node.ts";

const ANSWER_TIMEOUT_MS = 15_000;

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** Starts a registered command with the PATH of a client that no shell has started. */
export async function checkStart(
  config: Config,
  server: ServerCommand,
  remedy: string,
  path = minimalPath(config),
): Promise<Finding> {
  const what = `${server.command} ${server.args.join(" ")}, started with PATH=${path}`;
  const problem = await startProblem(config, server, path);
  return problem ? warning(what, problem, remedy) : ok(what);
}

/**
 * Starts a server in a temporary data folder. Resolves to the reason why it does not answer
 * `initialize`, or to undefined if it does.
 */
async function startProblem(
  { home }: Config,
  server: ServerCommand,
  path: string,
): Promise<string | undefined> {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-doctor-"));
  const transport = new StdioClientTransport({
    command: server.command,
    args: [...server.args],
    env: { HOME: home, USERPROFILE: home, ...server.env, PATH: path, IPC_DIR: dir },
    cwd: dir,
    stderr: "pipe",
  });
  let stderr = "";
  transport.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk;
  });

  const client = new Client({ name: "t9-ipc-doctor", version: "1" });
  try {
    await client.connect(transport, { timeout: ANSWER_TIMEOUT_MS });
    return undefined;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return `"${server.command}" is not found there`;
    return stderr.trim().split("\n").at(-1) || messageOf(error);
  } finally {
    await client.close();
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}
