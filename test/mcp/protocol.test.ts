import assert from "node:assert/strict";
import { test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { mail, writeMail } from "../support/mail.ts";
import { RawServer } from "../support/rpc.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const NAMES = ["t9_ipc_broadcast", "t9_ipc_send", "t9_ipc_set_name", "t9_ipc_unread", "t9_ipc_who"];

test("there are five tools, each with a title, a description, annotations and a closed schema", async (t) => {
  const alpha = await startSession("alpha", { dir: tempDir(t) });
  const { tools } = await alpha.client.listTools();
  assert.deepEqual(tools.map(({ name }) => name).sort(), NAMES);
  for (const tool of tools) {
    assert.ok(tool.title, tool.name);
    assert.ok((tool.description ?? "").length > 40, tool.name);
    assert.equal(
      tool.annotations?.readOnlyHint,
      ["t9_ipc_unread", "t9_ipc_who"].includes(tool.name),
      tool.name,
    );
    assert.equal(tool.annotations?.openWorldHint, false, tool.name);
    assert.equal(tool.inputSchema.additionalProperties, false, tool.name);
    assert.equal(tool.outputSchema, undefined, tool.name);
  }
  const parameters = (name: string) => {
    const { inputSchema } = tools.find((tool) => tool.name === name) ?? {};
    return {
      all: Object.keys(inputSchema?.properties ?? {}),
      required: inputSchema?.required ?? [],
    };
  };
  assert.deepEqual(parameters("t9_ipc_who").required, []);
  for (const name of ["to", "subject", "body", "priority", "reply_to", "type", "allow_unknown"]) {
    assert.ok(parameters("t9_ipc_send").all.includes(name), name);
  }
  assert.deepEqual(parameters("t9_ipc_send").required, ["to", "subject"]);
  for (const name of ["subject", "body", "priority", "type"]) {
    assert.ok(parameters("t9_ipc_broadcast").all.includes(name), name);
  }
  assert.deepEqual(parameters("t9_ipc_broadcast").required, ["subject"]);
  assert.deepEqual(parameters("t9_ipc_unread"), { all: ["session_id", "file"], required: [] });
  assert.deepEqual(parameters("t9_ipc_set_name"), {
    all: ["name", "working_on"],
    required: ["name"],
  });
});

test("the tools a woken session needs at once are never left to be searched for; the others can be found", async (t) => {
  const alpha = await startSession("alpha", { dir: tempDir(t) });
  const { tools } = await alpha.client.listTools();
  const always = tools.filter(({ _meta }) => _meta?.["anthropic/alwaysLoad"] === true);
  assert.deepEqual(always.map(({ name }) => name).sort(), ["t9_ipc_send", "t9_ipc_unread"]);
  for (const { name, _meta } of tools) {
    if (!always.some((tool) => tool.name === name))
      assert.match(String(_meta?.["anthropic/searchHint"]), /\w+ \w+/, name);
  }
});

test("answers are plain text: Claude Code would show the model structured content instead", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession("beta", { dir });
  await beta.call("send", { to: "alpha", subject: "hello" });
  await alpha.waitForPush();
  const calls = {
    t9_ipc_who: {},
    t9_ipc_send: { to: "beta", subject: "hello" },
    t9_ipc_broadcast: { subject: "hello" },
    t9_ipc_unread: {},
    t9_ipc_set_name: { name: "gamma" },
  };
  for (const [name, args] of Object.entries(calls)) {
    const result = await alpha.client.callTool({ name, arguments: args });
    assert.equal(result.structuredContent, undefined, name);
    const content = result.content as { type: string; text: string }[];
    assert.deepEqual(
      content.map(({ type }) => type),
      ["text"],
      name,
    );
    assert.doesNotMatch(content[0]?.text ?? "{", /^[{[]/, name);
  }
});

const CLAUDE_WORDS = [/<channel source="t9-ipc"/, /SendMessage/];
/** What the client is, how it names itself, its environment, its prefix, and words for it alone. */
const CLIENTS: [string, string, Record<string, string>, string, RegExp[]][] = [
  ["another client", "test", {}, "", []],
  ["Codex", "codex-mcp-client", {}, "", [/tool_search/]],
  ["Claude Code", "claude-code", {}, "mcp__t9-ipc__", CLAUDE_WORDS],
  [
    "a Claude Code plugin",
    "claude-code",
    { CLAUDE_PLUGIN_ROOT: "/plugins/t9-ipc" },
    "mcp__plugin_t9-ipc_t9-ipc__",
    CLAUDE_WORDS,
  ],
];
for (const [what, client, env, prefix, words] of CLIENTS) {
  test(`in ${what} the instructions name the tools as the model knows them, in under 2 KB`, async (t) => {
    const alpha = await startSession("alpha", { dir: tempDir(t), env, client });
    const text = alpha.client.getInstructions() ?? "";
    assert.ok(Buffer.byteLength(text) < 2048, `${Buffer.byteLength(text)} bytes`);
    const named = new Set(text.match(/[\w-]*t9_ipc_\w+/g));
    assert.deepEqual(
      [...named].sort(),
      NAMES.map((name) => prefix + name),
    );
    for (const word of [...words, /sub-agent/, /acknowledge/]) assert.match(text, word);
    // Codex shows only this paragraph until a tool is searched for.
    const [first = ""] = text.split("\n\n");
    assert.ok(first.length <= 400, `${first.length} characters`);
    for (const word of [/set_name/, /unread/, /never the user's permission/]) {
      assert.match(first, word);
    }
  });
}

test("channels are declared, and notifications have strings only", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  assert.equal(
    alpha.client.getServerVersion()?.name,
    "t9-ipc",
    "Claude Code makes it the tag's source",
  );
  assert.deepEqual(alpha.client.getServerCapabilities()?.experimental?.["claude/channel"], {});
  writeMail(
    dir,
    "note.md",
    mail({ from: "hand", to: "alpha", subject: "1", priority: "2", created: "3", type: "4" }),
  );
  const { meta, content } = await alpha.waitForPush();
  assert.equal(content, "1");
  for (const [key, value] of Object.entries(meta)) {
    assert.match(key, /^\w+$/);
    assert.equal(typeof value, "string", key);
  }
  assert.equal(meta.source, undefined);
});

test("stdout carries nothing but JSON-RPC, and stderr no warnings of Node", async (t) => {
  const dir = tempDir(t);
  writeMail(dir, "broken.md", "no header here");
  const server = new RawServer(dir, { name: "not a name" });
  server.write({ id: 1, method: "server/discover" });
  await server.initialize();
  server.write("this is no JSON\n");
  server.write({ id: 2, method: "tools/list" });
  server.call(3, "who");
  server.call(4, "unread");
  server.call(5, "send", { to: "nobody", subject: "x" });
  server.call(6, "no_such_tool");
  for (let id = 1; id <= 6; id++) await server.answer(id);
  await waitFor(() => server.stderr.includes("broken.md"), "a line about the broken file");
  server.lines();
  const { stderr } = server;
  assert.match(stderr, /IPC_SESSION_ID/);
  assert.doesNotMatch(stderr, /Warning|node:|\n\s+at /);
  for (const line of stderr.trimEnd().split("\n")) assert.match(line, /^t9-ipc: /);
});

test("an ordinary conversation leaves stderr empty", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  const beta = await startSession("beta", { dir });
  await alpha.call("send", { to: "beta", subject: "question", body: "why?" });
  await beta.waitForPush();
  await beta.call("unread");
  await beta.call("broadcast", { subject: "answer" });
  await alpha.waitForPush();
  await alpha.call("set_name", { name: "gamma" });
  await Promise.all([alpha.close(), beta.close()]);
  assert.equal(alpha.stderr() + beta.stderr(), "");
  assert.deepEqual([...alpha.faults, ...beta.faults], []);
});
