import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Print } from "../agents/report.ts";
import { SERVER } from "../config.ts";

const MESSAGE = {
  to: "web",
  subject: "schema moved",
  body: "users.id is a uuid now: please adapt the client.",
};

/** Two servers in a temporary folder, and a message across. Resolves to its time, ms; rejects with what did not come. */
export async function demo(print: Print): Promise<number> {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-demo-"));
  const [api, web] = [
    new Client({ name: "api", version: "1" }),
    new Client({ name: "web", version: "1" }),
  ];
  const start = (client: typeof api, name: string): Promise<void> => {
    const env = { IPC_DIR: dir, IPC_SESSION_ID: name };
    return client.connect(
      new StdioClientTransport({ command: process.execPath, args: [SERVER], env, cwd: dir }),
    );
  };
  const call = async (
    client: typeof api,
    name: string,
    args: Record<string, unknown>,
    wanted: string,
  ) => {
    const answer = JSON.stringify((await client.callTool({ name, arguments: args })).content);
    if (!answer.includes(wanted)) throw new Error(`${name} answered: ${answer}`);
    return answer;
  };
  let began = 0;
  const step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    began = performance.now();
    const late = sleep(30_000, undefined, { ref: false }).then(() => {
      throw new Error(`this did not happen within 30 s: ${what}`);
    });
    const result = await Promise.race([work(), late]);
    print(`${(performance.now() - began).toFixed(1).padStart(7)} ms  ${what}`);
    return result;
  };
  try {
    await step("two servers are up, api and web", () =>
      Promise.all([start(api, "api"), start(web, "web")]),
    );
    await step("api finds web with t9_ipc_who", () => call(api, "t9_ipc_who", {}, "- web: "));
    await step("web finds api", () => call(web, "t9_ipc_who", {}, "- api: "));
    const pushed = new Promise<number>((resolve) => {
      web.fallbackNotificationHandler = async ({ params }) => {
        if (params?.content === MESSAGE.body) resolve(performance.now() - began);
      };
    });
    const sent = () => Promise.all([call(api, "t9_ipc_send", MESSAGE, "Stored as "), pushed]);
    const [stored, ms] = await step("api sends, and web's channel notification is there", sent);
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
