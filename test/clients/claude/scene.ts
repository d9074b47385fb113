// What every test of the real client starts from: a home that our own set-up has prepared, a
// scripted model, other sessions to talk to; and what a model does that has been told of mail.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Entry, heartbeats } from "../../support/mail.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";
import { noTerminal } from "../find.ts";
import { type Api, type ModelRequest, type Script, startApi, type ToolUse } from "./api.ts";
import { type Client, type ClientOptions, findClaude, makeClient } from "./client.ts";

export const root = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");
export const server = join(root, "dist", "server.js");

export const found = findClaude();
const skip = found.reason ?? false;
export const needsClient = { skip, timeout: 90_000 };
export const needsTerminal = { skip: skip || noTerminal, timeout: 90_000 };

/** The inbox socket switched off: what is left where a session has none. */
export const noSocket = { CLAUDE_CODE_HARBOR_KITE: "0", DISABLE_TELEMETRY: "1" };

/**
 * What a session is told of its mail. All mail here is from a peer_…; the instructions have other
 * examples.
 */
export const pointer = /t9-ipc: (\d+) new messages?, from peer_/;
/** The tool it names for reading. */
const namedTool = /t9-ipc: \d+ new messages?, from peer_.*?(mcp__[\w-]+__t9_ipc_unread)/gs;

interface SceneOptions extends Omit<ClientOptions, "claude" | "api"> {
  /** The session's name, as IPC_SESSION_ID; by default the server finds one. */
  name?: string;
  /**
   * What `setup --allow` is to register; by default the server. `both`: with the plugin's folder
   * beside it, by flag.
   */
  setup?: "server" | "plugin" | "both" | "nothing";
  /** What the model does; by default it says "ok". */
  script?: Script;
}

export interface Peer {
  /** Calls one of the five tools and gives its answer; fails where the answer is an error. */
  call(tool: string, input?: Record<string, unknown>): Promise<string>;
  /** The line of `who` on this session, as soon as it is as it shall be. */
  lineOf(name: string, fits?: RegExp): Promise<string>;
}

/**
 * An API, a home with a data folder, and other sessions to talk to. All of it goes away with the
 * test.
 */
export async function scene(t: TestContext, options: SceneOptions) {
  const { name, setup = "server", script, env, ...rest } = options;
  const api = await startApi(script ?? (() => "ok"));
  const clients: Client[] = [];
  const makeOther = async (sessionName: string | undefined): Promise<Client> => {
    const made = makeClient({
      ...rest,
      claude: found.program ?? "",
      api,
      args: [...(setup === "both" ? ["--plugin-dir", root] : []), ...(rest.args ?? [])],
      env: { ...(sessionName ? { IPC_SESSION_ID: sessionName } : {}), ...env },
    });
    clients.push(made);
    // One folder for all; in Claude Code's environment, since hooks do not get that of the server's
    // entry.
    made.env.IPC_DIR = join(clients[0]?.home ?? "", "ipc");
    await setUp(made, setup);
    return made;
  };
  const peers: TestSession[] = [];
  t.after(async () => {
    for (const peer of peers) await peer.close();
    for (const each of clients.reverse()) await each.close(); // the folder goes last
    await api.close();
    assert.deepEqual(api.errors, [], "the script had no errors");
  });
  const client = await makeOther(name);
  const { home } = client;
  const ipc = join(home, "ipc");

  async function startPeer(peerName: string): Promise<Peer> {
    const session = await startSession(peerName, { dir: ipc, cwd: home, env: { HOME: home } });
    peers.push(session);
    const peer: Peer = {
      async call(tool, input) {
        const { text, isError } = await session.call(tool, input);
        assert.ok(!isError, text);
        return text;
      },
      async lineOf(who, fits = /./) {
        for (const end = Date.now() + 30_000; ; await sleep(100)) {
          const line =
            (await peer.call("who")).split("\n").find((each) => each.includes(who)) ?? "";
          if (fits.test(line)) return line;
          if (Date.now() > end)
            throw new Error(`${fits}: who does not say so after 30 s, but: ${line}`);
        }
      },
    };
    return peer;
  }

  const sessions = (): Record<string, Entry> => heartbeats(ipc);
  const online = (who: string) => waitFor(() => sessions()[who]?.pid, `${who} is online`);
  const gone = (who: string) => waitFor(() => !(who in sessions()), `${who} has left`);
  /** The messages that are marked as read by this name. */
  const marks = (who: string): string[] => {
    const file = join(ipc, "read", who);
    return (existsSync(file) ? readFileSync(file, "utf8").match(/^[^#\s].*\.md/gm) : null) ?? [];
  };
  return { api, client, home, ipc, makeOther, startPeer, sessions, online, gone, marks };
}

/** The README's set-up, in this home: what it registers and allows is all that is allowed. */
async function setUp(
  { env, project }: Client,
  what: NonNullable<SceneOptions["setup"]>,
): Promise<void> {
  if (what === "nothing") return;
  const args = [server, "setup", "--allow", ...(what === "plugin" ? ["--plugin"] : [])];
  await promisify(execFile)(process.execPath, args, { env, cwd: project });
}

/** A call of one of our tools, `who` for `mcp__t9-ipc__t9_ipc_who`. */
export function call(tool: string, input: Record<string, unknown> = {}): ToolUse {
  return { tool: `mcp__t9-ipc__t9_ipc_${tool}`, input };
}

/** Was the session told of mail just now? */
export const isTold = (request: ModelRequest): boolean => pointer.test(request.last);

/**
 * What a model does that was told of mail: calls the tool that the pointer names, after others if
 * need be.
 */
export function reading(request: ModelRequest, ...before: string[]): ToolUse[] {
  const named = [...request.transcript.matchAll(namedTool)].at(-1)?.[1] ?? "";
  if (!request.tools.includes(named))
    throw new Error(`${named} is not on offer, only ${request.tools.join(", ")}`);
  return [...before.map((tool) => named.replace(/unread$/, tool)), named].map((tool) => ({
    tool,
    input: {},
  }));
}

/** A model that reads when it is told of mail, and otherwise says "ok". */
export const reader: Script = (request) => (isTold(request) ? reading(request) : "ok");

/** Our tools among those on offer, by name. */
export function ourTools(request: ModelRequest): string[] {
  return request.tools.filter((tool) => tool.includes("t9_ipc_")).sort();
}

/** The requests that brought a pointer. */
export function announcements(api: Api): ModelRequest[] {
  return api.requests.filter((request) => pointer.test(request.last));
}

/**
 * Sends a message to an idle session and waits until its model has been shown the body: in the turn
 * right after the one that brought the pointer, and with nothing on the screen that waits for the
 * user. Gives what the send answered.
 */
export async function sendAndSeeItRead(
  api: Api,
  peer: Peer,
  to: string,
  subject: string,
): Promise<string> {
  const body = `the body of ${subject}`;
  const before = api.requests.length;
  const sent = await peer.call("send", { to, subject, body });
  const told = await api.waitFor(
    `the pointer to ${subject}`,
    ({ last }) => last.includes(subject),
    30_000,
    before,
  );
  assert.equal(pointer.exec(told.last)?.[1], "1");
  assert.doesNotMatch(told.last, /the body of/, "the pointer carries no body");
  const read = await api.waitFor(
    `the body of ${subject}`,
    ({ last }) => last.includes(body),
    30_000,
    before,
  );
  assert.match(read.results.at(-1)?.tool ?? "", /unread$/);
  assert.equal(read.index - told.index, 1, "the body is in the very next turn");
  return sent;
}
