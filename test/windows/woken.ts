// The interactive Claude Code for Windows, in a terminal under Wine, with a scripted model.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Api, type Script, startApi } from "../clients/claude/api.ts";
import { openTerminal, type Terminal } from "../clients/claude/terminal.ts";
import { onPath } from "../clients/find.ts";
import { waitFor } from "../support/wait.ts";
import type { Wine } from "./wine.ts";

const TITLE = "an idle claude.exe is woken through its named pipe, and reads";
/** Made up; Claude Code remembers the last 20 characters of an approved key. */
const API_KEY = "sk-ant-made-up-for-tests-0123456789abcdefghij";
const HOME = "C:\\woken";
const POINTER = /t9-ipc: 1 new message, from peer_api/;

/** A model that reads when it is told of mail, and otherwise says "ok". */
const reader: Script = ({ last }) =>
  POINTER.test(last) ? { tool: "mcp__t9-ipc__t9_ipc_unread", input: {} } : "ok";

/** Resolves to false if the session is not woken. Prints what was seen. */
export async function testWaking(wine: Wine): Promise<boolean> {
  if (!onPath("tmux")) {
    console.log(`﹣ ${TITLE} # skipped: no tmux`);
    return true;
  }
  const api = await startApi(reader);
  let terminal: Terminal | undefined;
  try {
    terminal = await openClaude(wine, api).catch((error: Error) => {
      // Nothing of ours is needed for a prompt.
      console.log(`﹣ ${TITLE} # skipped: no prompt under this Wine\n${error.message}`);
      return undefined;
    });
    if (!terminal) return true;
    console.log(`✔ ${TITLE}\n${await wakeAndRead(wine, api)}`);
    return true;
  } catch (error) {
    console.log(`✖ ${TITLE}\n${(error as Error).stack}`);
    console.log(await terminal?.screen());
    return false;
  } finally {
    await terminal?.close();
    await api.close();
  }
}

/** Starts it in a home of its own, with the entry and the rule that `setup --allow` writes. */
async function openClaude(wine: Wine, api: Api): Promise<Terminal> {
  const home = join(wine.drive, "woken");
  rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  const project = join(home, "project");
  mkdirSync(project, { recursive: true });
  mkdirSync(join(home, ".claude"));
  const trusted = { hasTrustDialogAccepted: true, hasCompletedProjectOnboarding: true };
  const server = {
    type: "stdio",
    command: wine.node,
    args: ["C:\\t9 ipc\\dist\\server.js"],
    env: { IPC_DIR: `${HOME}\\ipc` },
  };
  const json = {
    hasCompletedOnboarding: true,
    customApiKeyResponses: { approved: [API_KEY.slice(-20)], rejected: [] },
    projects: { "C:/woken/project": trusted },
    mcpServers: { "t9-ipc": server },
  };
  writeFileSync(join(home, ".claude.json"), JSON.stringify(json));
  const settings = { permissions: { allow: ["mcp__t9-ipc"] } };
  writeFileSync(join(home, ".claude", "settings.json"), JSON.stringify(settings));

  // Wine sets these by itself when it starts a program, whatever is in the environment.
  const homes = {
    USERPROFILE: HOME,
    APPDATA: `${HOME}\\AppData\\Roaming`,
    LOCALAPPDATA: `${HOME}\\AppData\\Local`,
    TEMP: HOME,
    TMP: HOME,
  };
  const lines = Object.entries(homes).map(([name, value]) => `set ${name}=${value}`);
  const batch = ["@echo off", ...lines, `${wine.claude} %*`, ""].join("\r\n");
  writeFileSync(join(home, "claude.cmd"), batch);

  const env = {
    ...wine.env,
    ANTHROPIC_BASE_URL: api.url,
    ANTHROPIC_API_KEY: API_KEY,
    // Loopback and nothing else: the API is the proxy for every other host, and refuses.
    HTTP_PROXY: api.url,
    HTTPS_PROXY: api.url,
    NO_PROXY: "127.0.0.1,localhost",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL: "1",
  };
  // The server has this name from the registry, sessions/PID.json.
  const flags = ["-n", "claude_win", "--permission-mode", "default"];
  flags.push("--debug-file", `${HOME}\\debug.log`);
  const command = ["wine", "cmd", "/c", `${HOME}\\claude.cmd`, ...flags];
  return openTerminal(command, project, env, wine.home);
}

/** Resolves to how long it took, in words. */
async function wakeAndRead(wine: Wine, api: Api): Promise<string> {
  const home = join(wine.drive, "woken");
  const log = join(home, "debug.log");
  const readLog = () => (existsSync(log) ? readFileSync(log, "utf8") : "");
  await waitFor(
    () => readLog().includes("Channel notifications"),
    () => `Claude Code connects with the server; ${readLog().slice(-2000)}`,
  );

  const subject = "schema moved";
  const body = "the body of it";
  const peer = ["--import", "tsx", "test/windows/native/peer.ts", "claude_win", subject, body];
  const env = { IPC_DIR: `${HOME}\\ipc`, T9_IPC_HOME: HOME };
  const { code, output } = await wine.run([wine.node, ...peer], { cwd: "t9 ipc", env });
  assert.equal(code, 0, output);
  assert.match(
    output,
    /^- claude_win: .*idle since .*inbox socket$/m,
    "as the registry and the pipe say",
  );

  const told = await api.waitFor("the pointer", ({ last }) => POINTER.test(last));
  assert.doesNotMatch(told.last, /the body of/, "the pointer carries no body");
  const read = await api.waitFor("the body", ({ last }) => last.includes(body));
  assert.equal(read.index - told.index, 1, "the body is in the very next turn");
  assert.equal(read.results.at(-1)?.isError, false);
  const marks = () => readFileSync(join(home, "ipc", "read", "claude_win"), "utf8");
  await waitFor(() => marks().includes("peer_api"), "the message is marked as read");
  assert.deepEqual(api.errors, [], "the script had no errors");

  const sentAt = Number(/^sent at (\d+)$/m.exec(output)?.[1]);
  return `ℹ a turn began ${told.at - sentAt} ms after the send, and had the mail ${read.at - told.at} ms later`;
}
