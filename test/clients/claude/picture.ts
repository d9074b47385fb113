// Makes .github/screens.svg, the picture on top of the README: two real Claude Code sessions, whose model is scripted.
// One is asked to tell the other something; the other is woken by that, and reads. Run it after `npm run build`:
//
//     CLAUDE_BIN=… node --import tsx test/clients/claude/picture.ts
//
// What is drawn is what the two terminals showed, but for empty lines, and for the line that says where Claude Code
// writes the log from which this program learns that it is connected.

import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify, stripVTControlCharacters } from "node:util";
import { type Script, startApi } from "./api.ts";
import { type Client, findClaude, makeClient } from "./client.ts";
import { drawScreens } from "./drawing.ts";
import type { Terminal } from "./terminal.ts";

const COLUMNS = 96;
const root = fileURLToPath(new URL("../../..", import.meta.url));
const server = join(root, "dist", "server.js");

const SUBJECT = "schema moved";
const BODY = "users.mail is users.email now. Run the migration before you test.";

const model: Script = ({ last, results }) => {
  const [result] = results;
  const use = (tool: string, input: Record<string, unknown>) => ({
    tool: `mcp__t9-ipc__t9_ipc_${tool}`,
    input,
  });
  if (/tell web/.test(last)) return use("send", { to: "web", subject: SUBJECT, body: BODY });
  if (/t9-ipc: 1 new message, from api/.test(last)) return use("unread", {});
  if (result?.tool.endsWith("send"))
    return "Told web that users.mail is users.email now. It is stored; web has not read it yet.";
  return "api has moved the schema: users.mail is users.email now. I will change the two queries that use it, and run the migration before the tests.";
};

const { program: claude, reason } = findClaude();
if (!claude) throw new Error(reason);
const api = await startApi(model);
const clients: Client[] = [];
try {
  const [asking, woken] = await Promise.all([open("api"), open("web")]);
  await asking.type("tell web that the schema moved");
  await asking.waitForScreen(/has not read it yet/);
  await woken.waitForScreen(/before the tests/);
  await Promise.all([asking, woken].map((terminal) => terminal.waitForScreen(/^❯\s*$/m)));
  const screens = [
    { title: "~/api $ claude -n api", screen: await screenOf(asking) },
    { title: "~/web $ claude -n web", screen: await screenOf(woken) },
  ];
  const label =
    "Two Claude Code sessions: api is asked to tell web that the schema moved; web is woken by the message and reads it";
  writeFileSync(join(root, ".github", "screens.svg"), drawScreens(screens, COLUMNS, label));
} finally {
  for (const client of clients.reverse()) await client.close();
  await api.close();
}

/** A session in a home of its own, set up as the README says, in a folder of this name. */
async function open(name: string): Promise<Terminal> {
  const client = makeClient({
    claude: claude ?? "",
    api,
    project: name,
    size: [COLUMNS, 40],
    settings: { showTurnDuration: false, theme: "dark" }, // the time of day would make each picture another one
    env: { COLORTERM: "truecolor" },
  });
  clients.push(client);
  client.env.IPC_DIR = join(clients[0]?.home ?? "", "ipc");
  await promisify(execFile)(process.execPath, [server, "setup", "--allow"], {
    env: client.env,
    cwd: client.project,
  });
  return client.open(["-n", name]);
}

async function screenOf(terminal: Terminal): Promise<string> {
  const lines = (await terminal.screen(true)).split("\n");
  return lines
    .filter((line) => !stripVTControlCharacters(line).includes("Debug mode enabled"))
    .join("\n");
}
