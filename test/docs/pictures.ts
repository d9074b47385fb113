// Draws the README's pictures from what real programs show: Claude Code sessions whose model is
// scripted, and our own command line. This is not a test. Run it after `npm run build`, with tmux
// and `claude` on PATH or in CLAUDE_BIN:
//
//     node --import tsx test/docs/pictures.ts
//
// What is drawn is what the terminals showed, but for empty lines, the client's banner, and the
// home folders, which are `~` here and have long temporary names in truth.

import { execFile } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify, stripVTControlCharacters } from "node:util";
import { type Script, startApi } from "../clients/claude/api.ts";
import { type Client, findClaude, makeClient } from "../clients/claude/client.ts";
import { drawScreens } from "../clients/claude/drawing.ts";
import { openTerminal, type Terminal } from "../clients/claude/terminal.ts";
import { SERVER } from "../support/process.ts";

const COLUMNS = 96;
const PICTURES = resolve(import.meta.dirname, "../../.github");
const BODY = "users.mail is users.email now. Run the migration before you test.";
const ANSWER = "Two queries changed, all tests pass.";

const use = (tool: string, input: Record<string, unknown>) => ({
  tool: `mcp__t9-ipc__t9_ipc_${tool}`,
  input,
});

/** api tells web something, web reads and answers if asked to, and docs asks its user. */
const model: Script = ({ last, results }) => {
  const [result] = results;
  const [, name, working_on] = /call yourself (\w+), you work on (.+)/.exec(last) ?? [];
  if (name) return use("set_name", { name, working_on });
  if (result?.tool.endsWith("set_name")) return `I am ${/now (\w+)/.exec(result.text)?.[1]}.`;
  if (/tell web/.test(last)) return use("send", { to: "web", subject: "schema moved", body: BODY });
  if (/t9-ipc: 1 new message, from/.test(last)) return use("unread", {});
  if (/publish/.test(last)) return { tool: "Bash", input: { command: "npm publish" } };
  if (/answer api/.test(last)) {
    return use("send", { to: "api", subject: "queries changed", body: ANSWER });
  }
  if (result?.tool.endsWith("send")) {
    return result.text.includes("-api-")
      ? "Told web that users.mail is users.email now. It is stored; web has not read it yet."
      : "Sent.";
  }
  return result?.text.includes(ANSWER)
    ? "web has changed its two queries, and all its tests pass."
    : "api has moved the schema: users.mail is users.email now. I will change the two queries that use it, and run the migration before the tests.";
};

const { program: claude, reason } = findClaude();
if (!claude) throw new Error(reason);
const api = await startApi(model);
const clients: Client[] = [];
/** Terminals that no client closes. */
const shells: Terminal[] = [];
try {
  await drawSessions();
  await closeClients();
  await drawList();
} finally {
  await closeClients();
  await api.close();
}

/** One session is asked to tell another something; the other is woken by that, and reads. */
async function drawSessions(): Promise<void> {
  const [asking, woken] = await Promise.all([open("api"), open("web")]);
  await asking.type("tell web that the schema moved");
  await asking.waitForScreen(/has not read it yet/);
  await woken.waitForScreen(/before the tests/);
  await Promise.all([asking, woken].map((terminal) => terminal.waitForScreen(/^❯\s*$/m)));
  const screens = [
    { title: "~/api $ claude -n api", screen: await conversationOf(asking) },
    { title: "~/web $ claude -n web", screen: await conversationOf(woken) },
  ];
  const label =
    "Two Claude Code sessions: api is asked to tell web that the schema moved; web is woken by the message and reads it";
  writeFileSync(join(PICTURES, "screens.svg"), drawScreens(screens, COLUMNS, label));
}

/** Three sessions, as `t9-ipc who` and `t9-ipc watch` show them. */
async function drawList(): Promise<void> {
  const home = await makeHome("you");
  const watching = await openShell(home);
  await watching.type("t9-ipc watch");
  const asking = await openNamed("api", "the users table");
  const woken = await openNamed("web", "the sign-up form");
  await watching.waitForScreen(/web is online/);
  await asking.type("tell web that the schema moved");
  await woken.waitForScreen(/before the tests/);
  await woken.type("answer api");
  await asking.waitForScreen(/all its tests pass/);
  const publishing = await openNamed("docs", "the release notes");
  await publishing.type("publish it");
  await watching.waitForScreen(/docs waits for its user/);
  const list = await promisify(execFile)("t9-ipc", ["who"], { env: home.env });
  const screens = [
    { title: "$ t9-ipc who", screen: wrap(shortenHomes(list.stdout)) },
    { title: "$ t9-ipc watch", screen: shortenHomes(await outputOf(watching)) },
  ];
  const label =
    "t9-ipc who lists three sessions and what each is doing; t9-ipc watch shows who comes, who waits for its user, and the mail";
  writeFileSync(join(PICTURES, "who.svg"), drawScreens(screens, COLUMNS, label));
}

/** A home of its own, set up as the README says. All share the data folder of the first one. */
async function makeHome(project: string): Promise<Client> {
  const client = makeClient({
    claude: claude ?? "",
    api,
    project,
    size: [COLUMNS, 40],
    settings: { showTurnDuration: false, theme: "dark" },
    env: { COLORTERM: "truecolor", PS1: "❯ " },
  });
  clients.push(client);
  client.env.IPC_DIR = join(clients[0]?.home ?? "", "ipc");
  symlinkSync(SERVER, join(client.home, "bin", "t9-ipc"));
  await promisify(execFile)(process.execPath, [SERVER, "setup", "--allow"], {
    env: client.env,
    cwd: client.project,
  });
  return client;
}

/** A session in a folder of this name. */
async function open(name: string): Promise<Terminal> {
  return (await makeHome(name)).open(["-n", name]);
}

async function openNamed(name: string, work: string): Promise<Terminal> {
  const session = await open(name);
  await session.type(`call yourself ${name}, you work on ${work}`);
  await session.waitForScreen(new RegExp(`I am ${name}`));
  return session;
}

async function openShell({ project, env, home }: Client): Promise<Terminal> {
  const shell = await openTerminal(["/bin/sh"], project, env, home, [COLUMNS, 40]);
  shells.push(shell);
  return shell;
}

async function closeClients(): Promise<void> {
  for (const shell of shells.splice(0)) await shell.close();
  for (const client of clients.splice(0).reverse()) await client.close();
}

/** The screen from the first prompt on. */
async function conversationOf(terminal: Terminal): Promise<string> {
  const lines = (await terminal.screen(true)).split("\n");
  const first = lines.findIndex((line) => stripVTControlCharacters(line).startsWith("❯"));
  return lines.slice(first).join("\n");
}

/** The screen below the line in which the command was typed. */
async function outputOf(terminal: Terminal): Promise<string> {
  return (await terminal.screen(true)).split("\n").slice(1).join("\n");
}

function shortenHomes(text: string): string {
  return clients.reduce((shorter, { home }) => shorter.replaceAll(home, "~"), text);
}

/** Lines as a terminal breaks them. */
function wrap(text: string): string {
  const lines = new RegExp(`.{1,${COLUMNS}}`, "gu");
  return text
    .split("\n")
    .flatMap((line) => line.match(lines) ?? [""])
    .join("\n");
}
