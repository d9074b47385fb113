import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { SERVER } from "../config.ts";
import { printText } from "./print.ts";

const STEP_TIMEOUT_MS = 30_000;
const FIND_PAUSE_MS = 100;

const MESSAGE = {
  to: "web",
  subject: "schema moved",
  body: "users.id is a uuid now: please adapt the client.",
};

/** Two servers in a temporary folder find each other and talk. Prints each step with its time. */
export async function demo(): Promise<void> {
  await exchangeMessage(printText);
}

/**
 * Sends a message between two servers that are started for it. Resolves to the milliseconds from
 * the send to the notification; rejects with the step that failed.
 */
export async function exchangeMessage(print: (line: string) => void = () => {}): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-demo-"));
  const api = new Client({ name: "api", version: "1" });
  const web = new Client({ name: "web", version: "1" });

  let started = 0;
  const step = async <T>(title: string, work: () => Promise<T>): Promise<T> => {
    started = performance.now();
    const result = await Promise.race([work(), timeout(title)]);
    print(`${(performance.now() - started).toFixed(1).padStart(7)} ms  ${title}`);
    return result;
  };

  try {
    await step("two servers are up, api and web", () =>
      Promise.all([connect(api, "api", dir), connect(web, "web", dir)]),
    );
    await step("api finds web with t9_ipc_who", () => find(api, "web"));
    await step("web finds api", () => find(web, "api"));

    const notified = new Promise<number>((resolve) => {
      web.fallbackNotificationHandler = async ({ params }) => {
        if (params?.content === MESSAGE.body) resolve(performance.now() - started);
      };
    });
    const [stored, ms] = await step("api sends, and web's channel notification is there", () =>
      Promise.all([call(api, "t9_ipc_send", MESSAGE, "Stored as "), notified]),
    );

    await step("web reads it with t9_ipc_unread", () =>
      call(web, "t9_ipc_unread", {}, MESSAGE.body),
    );
    const file = join(dir, "inbox", /Stored as (\S+\.md)/.exec(stored)?.[1] ?? "");
    print(`\nThe message is a file, ${file}:\n\n${readFileSync(file, "utf8")}`);
    return ms;
  } finally {
    await Promise.all([api.close(), web.close()]);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

function connect(client: Client, name: string, dir: string): Promise<void> {
  const env = { IPC_DIR: dir, IPC_SESSION_ID: name };
  const server = { command: process.execPath, args: [SERVER], env, cwd: dir };
  return client.connect(new StdioClientTransport(server));
}

/** A server answers `initialize` half a second after its start, on the list or not. */
async function find(client: Client, name: string): Promise<void> {
  while (!(await call(client, "t9_ipc_who", {}, "online")).includes(`- ${name}: `)) {
    await sleep(FIND_PAUSE_MS);
  }
}

/** Calls a tool. Rejects if the answer does not contain `expected`. */
async function call(
  client: Client,
  name: string,
  args: Record<string, unknown>,
  expected: string,
): Promise<string> {
  const { content } = await client.callTool({ name, arguments: args });
  const answer = JSON.stringify(content);
  if (!answer.includes(expected)) throw new Error(`${name} answered: ${answer}`);
  return answer;
}

async function timeout(title: string): Promise<never> {
  await sleep(STEP_TIMEOUT_MS, undefined, { ref: false });
  throw new Error(`this did not happen within ${STEP_TIMEOUT_MS / 1000} s: ${title}`);
}
