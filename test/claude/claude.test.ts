// The whole of t9-ipc in the real Claude Code. A scripted model stands in for the real one, so that each test
// says what the model does and sees what the model is shown. Needs the built server, and the client: see
// findClaude. Nothing here leaves loopback.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Client as McpClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { type Api, type ModelRequest, type Reply, type Script, startApi, type ToolUse } from "./api.ts";
import { type Client, type ClientOptions, findClaude, isAlive, makeClient, noTerminal } from "./client.ts";

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const server = join(root, "dist", "server.js");
const readmeEntry = { "t9-ipc": { command: "node", args: [server] } };
/** The inbox socket switched off: what is left where a session has none. */
const noSocket = { CLAUDE_CODE_HARBOR_KITE: "0", DISABLE_TELEMETRY: "1" };
/** What a session is told of its mail. All mail here is from a peer_…; the instructions have other examples. */
const pointer = /t9-ipc: (\d+) new messages?, from peer_/;
/** The tool it names for reading. */
const namedTool = /t9-ipc: \d+ new messages?, from peer_.*?(mcp__[\w-]+__t9_ipc_unread)/gs;
const fiveTools = ["broadcast", "send", "set_name", "unread", "who"];

const found = findClaude({ fetch: process.env.npm_lifecycle_event === "test:clients" });
const skip = found.reason ?? false;
const needsClient = { skip, timeout: 60_000 };
const needsTerminal = { skip: skip || noTerminal, timeout: 60_000 };

test("`claude mcp add` and `claude mcp list`, as the README has them: ✔ Connected", needsClient, async (t) => {
  const { client } = await scene(t, {});
  const added = await client.run(["mcp", "add", "--scope", "user", "t9-ipc", "--", "node", server]);
  assert.equal(added.code, 0, added.stderr);
  const { stdout } = await client.run(["mcp", "list"]);
  assert.match(stdout, /^t9-ipc: node .*server\.js - ✔ Connected$/m);
});

test("the model calls all five tools and is shown the right answers", needsClient, async (t) => {
  const steps: (() => Reply | Promise<Reply>)[] = [
    () => call("who"),
    () => call("set_name", { name: "writer", working_on: "the parser" }),
    () => call("send", { to: "peer_api", subject: "status: done", body: "done with the parser" }),
    () => call("broadcast", { subject: "lunch", body: "at noon" }),
    async () => {
      await peer.call("send", { to: "writer", subject: "schema moved", body: "it lives in db/schema.sql now" });
      return call("unread");
    },
    () => "done",
  ];
  const { api, client, startPeer } = await scene(t, {
    mcpServers: readmeEntry,
    name: "claude_one",
    script: (request) => steps[request.index]?.() ?? "too many turns",
  });
  const peer = await startPeer("peer_api");
  const { code, stdout } = await client.run(["-p", "use all tools"]);
  assert.equal(code, 0);
  assert.match(stdout, /done/);

  const [first] = api.requests;
  assert.ok(first);
  assert.deepEqual(
    ourTools(first),
    fiveTools.map((tool) => `mcp__t9-ipc__t9_ipc_${tool}`),
  );
  assert.match(first.system + first.transcript, /mcp__t9-ipc__t9_ipc_send/, "the instructions reach the model");

  const results = api.requests.flatMap((request) => request.results);
  assert.deepEqual(
    results.filter((result) => result.isError),
    [],
  );
  const [who, setName, send, broadcast, unread] = results.map((result) => result.text);
  assert.match(who ?? "", /claude_one.*\(you\)/);
  assert.match(who ?? "", /peer_api/);
  assert.match(setName ?? "", /writer/);
  assert.match(send ?? "", /\d{8}T\d{12}-[0-9a-f]{8}-writer-peer_api-status__done\.md/);
  assert.match(broadcast ?? "", /peer_api/);
  assert.match(unread ?? "", /schema moved/);
  assert.match(unread ?? "", /it lives in db\/schema\.sql now/);

  const got = await peer.call("unread");
  assert.match(got, /status: done/);
  assert.match(got, /done with the parser/);
  assert.match(got, /at noon/);
});

test("an idle session is woken by its inbox socket, once for each message", needsTerminal, async (t) => {
  const { api, client, startPeer, online } = await scene(t, {
    mcpServers: readmeEntry,
    name: "claude_idle",
    script: (request) => (isTold(request) ? reading(request, "who") : "read"),
  });
  const peer = await startPeer("peer_api");
  await client.open();
  await online("claude_idle");
  assert.equal(api.requests.length, 0, "no turn yet");

  for (const [n, subject] of ["schema moved", "tests are green"].entries()) {
    const sent = await peer.call("send", { to: "claude_idle", subject, body: `body number ${n}` });
    assert.match(sent, /socket/, "the sender is told how it reaches the session");
    const woken = await api.waitFor("the pointer", (request) => request.last.includes(subject));
    assert.equal(pointer.exec(woken.last)?.[1], "1");
    assert.match(woken.last, /peer_api/);
    assert.doesNotMatch(woken.last, /body number/, "the pointer carries no body");
    const { results } = await api.waitFor("the body", (request) => request.results.length === 2, 30_000, woken.index);
    assert.match(results[1]?.text ?? "", new RegExp(`body number ${n}`));
    assert.doesNotMatch(results[0]?.text ?? "", /unread/, "no second announcement on a tool result");
  }
  assert.equal(announcements(api).length, 2);
});

test("a busy session is told between its tool calls", needsTerminal, async (t) => {
  const { api, client, startPeer, online } = await scene(t, {
    mcpServers: readmeEntry,
    name: "claude_busy",
    script: (request) => {
      if (isTold(request)) return reading(request);
      if (request.results[0]?.tool.endsWith("unread")) return "done";
      return request.index < 20 ? { tool: "Bash", input: { command: "sleep 1" } } : "gave up";
    },
  });
  const peer = await startPeer("peer_api");
  const session = await client.open();
  await online("claude_busy");
  await session.type("get to work");
  await api.waitFor("the first tool call", (request) => /get to work/.test(request.last));
  await peer.call("send", { to: "claude_busy", subject: "schema moved", body: "look at it" });
  const told = await api.waitFor("the pointer", (request) => pointer.test(request.last));
  assert.equal(told.results[0]?.tool, "Bash", "it comes with the result of the call that was running");
  const { results } = await api.waitFor("the body", (request) => request.results[0]?.tool.endsWith("unread") ?? false);
  assert.match(results[0]?.text ?? "", /look at it/);
  assert.equal(announcements(api).length, 1);
});

for (const [how, mcpServers] of [
  ["the plugin's waiting hook", {}],
  ["the plugin's hook beside the README's entry", readmeEntry],
] as const) {
  test(`without the socket ${how} wakes an idle session, again and again`, needsTerminal, async (t) => {
    const { api, client, startPeer, online, gone } = await scene(t, {
      mcpServers,
      args: ["--plugin-dir", root],
      name: "claude_hook",
      env: noSocket,
      script: (request) => (isTold(request) ? reading(request) : "read"),
    });
    const peer = await startPeer("peer_api");
    const session = await client.open();
    await online("claude_hook");
    // The first by the hook of SessionStart, the others by those of Stop.
    for (const subject of ["schema moved", "tests are green", "lunch"]) {
      await reachedBy(peer, "claude_hook", "hook");
      const sent = await peer.call("send", { to: "claude_hook", subject, body: `body of ${subject}` });
      assert.match(sent, /hook/, "the sender is told how it reaches the session");
      const woken = await api.waitFor(`the pointer to ${subject}`, (request) => request.last.includes(subject));
      assert.equal(pointer.exec(woken.last)?.[1], "1");
      assert.doesNotMatch(woken.last, /body of/, "the pointer carries no body");
      const read = await api.waitFor("the body", (request) => request.last.includes(`body of ${subject}`));
      assert.match(read.results[0]?.tool ?? "", /unread$/);
    }
    assert.equal(announcements(api).length, 3);

    const kin = session.children();
    assert.ok(kin.length > 0);
    await session.type("/exit");
    await gone("claude_hook");
    await until("the server and its hook have ended", () => !kin.some(isAlive));
  });
}

test("with neither socket nor hook the next tool result says that mail waits", needsTerminal, async (t) => {
  const { api, client, startPeer, online } = await scene(t, {
    mcpServers: readmeEntry,
    name: "claude_deaf",
    env: noSocket,
    script: (request) => {
      const [result] = request.results;
      if (!result) return call("who");
      if (result.tool.endsWith("who")) return /unread/.test(result.text) ? call("unread") : "all quiet";
      return call("who");
    },
  });
  const peer = await startPeer("peer_api");
  const session = await client.open();
  await online("claude_deaf");
  const sent = await peer.call("send", { to: "claude_deaf", subject: "schema moved", body: "look at it" });
  assert.match(sent, /next tool call/, "the sender is told how it reaches the session");
  await session.type("who is there?");
  await session.waitForScreen(/all quiet/);
  const [before, unread, after] = api.requests.flatMap((request) => request.results).map((result) => result.text);
  assert.match(before ?? "", /1 .*peer_api.*t9_ipc_unread/s);
  assert.doesNotMatch(before ?? "", /look at it/);
  assert.match(unread ?? "", /look at it/);
  assert.doesNotMatch(after ?? "", /t9_ipc_unread/, "nothing is left to say");
});

test(
  "two idle sessions: one asks, the other is woken and answers, the first is woken by that",
  needsTerminal,
  async (t) => {
    const { api, client, makeOther, online, ipc } = await scene(t, {
      mcpServers: readmeEntry,
      name: "peer_alpha",
      script: (request) => {
        if (isTold(request)) return reading(request);
        const [result] = request.results;
        if (/ask peer_beta/.test(request.last)) {
          return call("send", { to: "peer_beta", subject: "question", body: "where is the schema?" });
        }
        if (result?.text.includes("where is the schema?")) {
          return call("send", { to: "peer_alpha", subject: "Re: question", body: "in db/schema.sql" });
        }
        return result?.text.includes("in db/schema.sql") ? "now I know where it is" : "waiting";
      },
    });
    const alpha = await client.open();
    await makeOther("peer_beta").open();
    await online("peer_alpha");
    await online("peer_beta");
    await alpha.type("ask peer_beta");
    await alpha.waitForScreen(/now I know where it is/);
    assert.equal(readdirSync(join(ipc, "inbox")).length, 2);
    assert.equal(announcements(api).length, 2);
  },
);

test("a resumed conversation has its name again, and the mail that came meanwhile", needsClient, async (t) => {
  const { api, client, startPeer } = await scene(t, {
    mcpServers: readmeEntry,
    script: (request) => {
      if (request.results.length > 0) return "ok";
      return call(/any mail/.test(request.last) ? "unread" : "who");
    },
  });
  const first = await client.run(["-p", "who are you?", "--output-format", "json"]);
  const { session_id } = JSON.parse(first.stdout) as { session_id: string };
  const name = /(project-\S+) \(you\)/.exec(api.requests.at(-1)?.last ?? "")?.[1];
  assert.ok(name, "the name is made of the project's folder");
  const peer = await startPeer("peer_api");
  assert.match(await peer.call("send", { to: name, subject: "hello", body: "for later" }), /offline/);
  await client.run(["-p", "any mail?", "--resume", session_id]);
  assert.match(api.requests.at(-1)?.results[0]?.text ?? "", /for later/);
});

test("100 messages in one second: an idle plain session has read 100 of 100", needsTerminal, async (t) => {
  const { api, client, startPeer, online, ipc } = await scene(t, {
    mcpServers: readmeEntry,
    name: "claude_flood",
    script: (request) => {
      const [result] = request.results;
      const more = result?.tool.endsWith("unread") && /\b(left|more)\b/.test(result.text);
      return more || isTold(request) ? reading(request) : "read";
    },
  });
  const peer = await startPeer("peer_api");
  await client.open();
  await online("claude_flood");
  const started = Date.now();
  const bodies = Array.from({ length: 100 }, (_, n) => `body number ${n}, ${"and on ".repeat(60)}.`);
  await Promise.all(
    bodies.map(async (body, n) => {
      await new Promise((done) => setTimeout(done, n * 10));
      await peer.call("send", { to: "claude_flood", subject: `message ${n}`, body });
    }),
  );
  t.diagnostic(`100 messages sent in ${Date.now() - started} ms`);

  const read = join(ipc, "read", "claude_flood");
  const marks = () => (existsSync(read) ? readFileSync(read, "utf8").match(/^[^#].*\.md$/gm) : null) ?? [];
  await until("100 read marks", () => new Set(marks()).size === 100, 40_000);
  assert.equal(marks().length, 100, "each marked once");
  await api.waitFor("the last answer", () => shown().length >= 100);
  const texts = shown().map((body) => Number(/\d+/.exec(body)));
  assert.deepEqual(
    texts.sort((a, b) => a - b),
    bodies.map((_, n) => n),
    "each body shown to the model once",
  );
  t.diagnostic(`all read after ${Date.now() - started} ms, ${announcements(api).length} announcements`);

  function shown(): string[] {
    const results = api.requests.flatMap((request) => request.results);
    return results.flatMap((result) => result.text.match(/body number \d+,/g) ?? []);
  }
});

test("plugin and socket together announce each message once", needsTerminal, async (t) => {
  const { api, client, startPeer, online } = await scene(t, {
    args: ["--plugin-dir", root],
    name: "claude_both",
    script: (request) => (isTold(request) ? reading(request, "who") : "read"),
  });
  const peer = await startPeer("peer_api");
  const session = await client.open();
  await online("claude_both");
  await session.type("hello"); // so that a Stop hook has had its chance to wait
  await api.waitFor("a first turn", (request) => /hello/.test(request.last));
  const subjects = ["schema moved", "tests are green", "lunch"];
  for (const subject of subjects) {
    await peer.call("send", { to: "claude_both", subject, body: `body of ${subject}` });
    await api.waitFor("the body", (request) => request.last.includes(`body of ${subject}`));
  }
  const said = announcements(api);
  assert.deepEqual(
    said.map((request) => subjects.filter((subject) => request.last.includes(subject))),
    [["schema moved"], ["tests are green"], ["lunch"]],
  );
  for (const result of api.requests.flatMap((request) => request.results)) {
    if (result.tool.endsWith("who")) assert.doesNotMatch(result.text, /unread/);
  }
});

test("a killed client leaves neither server nor hook behind", needsTerminal, async (t) => {
  const { client, startPeer, online, gone } = await scene(t, {
    args: ["--plugin-dir", root],
    name: "claude_dead",
    env: noSocket,
  });
  const peer = await startPeer("peer_api");
  const session = await client.open();
  await online("claude_dead");
  await reachedBy(peer, "claude_dead", "hook");
  const kin = session.children();
  process.kill(session.pid, "SIGKILL");
  await gone("claude_dead");
  await until("the server and its hook have ended", () => !kin.some(isAlive), 15_000);
});

test(
  "`claude plugin validate` passes; the plugin connects, shows the five tools, lets -p end",
  needsClient,
  async (t) => {
    const { api, client } = await scene(t, { args: ["--plugin-dir", root] });
    const validated = await client.run(["plugin", "validate", root]);
    assert.equal(validated.code, 0, validated.stdout);
    assert.match(validated.stdout, /Validation passed/);
    assert.match((await client.run(["mcp", "list"])).stdout, /^plugin:t9-ipc:t9-ipc: node .* - ✔ Connected$/m);
    // A waiting hook would keep print mode from ending.
    const { code } = await client.run(["-p", "hello"], { ms: 15_000 });
    assert.equal(code, 0);
    const [first] = api.requests;
    assert.ok(first);
    assert.deepEqual(
      ourTools(first),
      fiveTools.map((tool) => `mcp__plugin_t9-ipc_t9-ipc__t9_ipc_${tool}`),
    );
    assert.match(
      first.system + first.transcript,
      /mcp__plugin_t9-ipc_t9-ipc__t9_ipc_send/,
      "instructions fit the plugin",
    );
  },
);

for (const how of ["directly", "through npx"]) {
  test(`the channel flag is seen when the server is started ${how}`, needsTerminal, async (t) => {
    const { client, startPeer, online, home } = await scene(t, {
      mcpServers:
        how === "directly" ? readmeEntry : { "t9-ipc": { command: "npx", args: ["--yes", "--offline", "../package"] } },
      args: ["--dangerously-load-development-channels", "server:t9-ipc"],
      name: "claude_flag",
    });
    writePackage(join(home, "package"));
    const peer = await startPeer("peer_api");
    await client.open();
    await online("claude_flag");
    const who = await peer.call("who");
    assert.match(who, /claude_flag.*channel/);
  });
}

interface SceneOptions extends Omit<ClientOptions, "claude" | "api"> {
  /** The session's name; by default the server finds one. */
  name?: string;
  /** What the model does; by default it says "ok". */
  script?: Script;
}

interface Peer {
  /** Calls one of the five tools and gives its answer; fails where the answer is an error. */
  call(tool: string, input?: Record<string, unknown>): Promise<string>;
}

/** An API, a home with a data folder, and other sessions to talk to. All of it goes away with the test. */
async function scene(t: TestContext, { name, script, env, ...options }: SceneOptions) {
  const api = await startApi(script ?? (() => "ok"));
  const clients: Client[] = [];
  const makeOther = (sessionName: string | undefined): Client => {
    const made = makeClient({
      ...options,
      claude: found.claude ?? "",
      api,
      env: { ...(sessionName ? { IPC_SESSION_ID: sessionName } : {}), ...env },
    });
    clients.push(made);
    // One folder for all; in Claude Code's environment, since hooks do not get that of the server's entry.
    made.env.IPC_DIR = join(clients[0]?.home ?? "", "ipc");
    return made;
  };
  const client = makeOther(name);
  const { home } = client;
  const ipc = join(home, "ipc");
  const peers: McpClient[] = [];
  t.after(async () => {
    for (const peer of peers) await peer.close();
    for (const each of clients.reverse()) await each.close(); // the folder goes last
    await api.close();
    assert.deepEqual(api.errors, [], "the script had no errors");
  });

  async function startPeer(peerName: string): Promise<Peer> {
    const peer = new McpClient({ name: "peer", version: "1.0.0" });
    peers.push(peer);
    const peerEnv = { PATH: client.env.PATH ?? "", HOME: home, IPC_DIR: ipc, IPC_SESSION_ID: peerName };
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [server],
      env: peerEnv,
      cwd: home,
      stderr: "ignore",
    });
    await peer.connect(transport);
    return {
      async call(tool, input = {}) {
        const result = await peer.callTool({ name: `t9_ipc_${tool}`, arguments: input });
        const text = (result.content as { text?: string }[]).map((block) => block.text ?? "").join("\n");
        assert.ok(!result.isError, text);
        return text;
      },
    };
  }

  const sessions = (): Record<string, unknown> => {
    try {
      return JSON.parse(readFileSync(join(ipc, "heartbeats.json"), "utf8")) as Record<string, unknown>;
    } catch {
      return {}; // not there yet
    }
  };
  const online = (who: string) => until(`${who} is online`, () => who in sessions());
  const gone = (who: string) => until(`${who} has left`, () => !(who in sessions()));
  return { api, client, home, ipc, makeOther, startPeer, online, gone };
}

/** Waits until others are told that mail reaches this session so. A hook starts a little after its server. */
async function reachedBy(peer: Peer, name: string, how: string): Promise<void> {
  for (const end = Date.now() + 10_000; ; ) {
    const line = (await peer.call("who")).split("\n").find((each) => each.includes(name)) ?? "";
    if (line.includes(how)) return;
    if (Date.now() > end) throw new Error(`not reached by ${how}: ${line}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

function call(tool: string, input: Record<string, unknown> = {}) {
  return { tool: `mcp__t9-ipc__t9_ipc_${tool}`, input };
}

/** Is there mail to read now? The session was told of some, or has its tools since it was told. */
function isTold(request: ModelRequest): boolean {
  return pointer.test(request.last) || request.results[0]?.tool === "WaitForMcpServers";
}

/**
 * What a model does that was told of mail: calls the tool that the pointer names, after others if need be.
 * Just after the start that is not on offer yet; then it waits for it, with the tool Claude Code has for that.
 */
function reading(request: ModelRequest, ...before: string[]): ToolUse[] {
  const named = [...request.transcript.matchAll(namedTool)].at(-1)?.[1] ?? "";
  if (request.tools.includes(named)) {
    const tools = before.map((tool) => named.replace(/unread$/, tool));
    return [...tools, named].map((tool) => ({ tool, input: {} }));
  }
  if (ourTools(request).length > 0) throw new Error(`the pointer names no tool that is on offer: ${named}`);
  return [{ tool: "WaitForMcpServers", input: {} }];
}

/** Our tools among those on offer, by name. */
function ourTools(request: ModelRequest): string[] {
  return request.tools.filter((tool) => tool.includes("t9_ipc_")).sort();
}

/** The requests that brought a pointer. */
function announcements(api: Api): ModelRequest[] {
  return api.requests.filter((request) => pointer.test(request.last));
}

/** A package whose program is our server, for npx to run without a registry. */
function writePackage(folder: string): void {
  mkdirSync(folder);
  const manifest = { name: "t9-ipc-stand-in", version: "1.0.0", type: "module", bin: { "t9-ipc-stand-in": "run.js" } };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(folder, "run.js"), `#!/usr/bin/env node\nimport ${JSON.stringify(server)};\n`, { mode: 0o755 });
}

async function until(what: string, holds: () => boolean, ms = 20_000): Promise<void> {
  for (const end = Date.now() + ms; !holds(); ) {
    if (Date.now() > end) throw new Error(`${what}: not so after ${ms} ms`);
    await new Promise((done) => setTimeout(done, 25));
  }
}
