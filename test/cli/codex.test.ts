// `setup --codex` and what `doctor` says of Codex. The program is a fake, where there is one at all.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { run } from "../support/command.ts";
import { homeOf, putProgram, tempDir } from "../support/folder.ts";
import { SERVER } from "../support/process.ts";

const BEFORE = `# mine
model = "one"   # not two

[tui]
notify = [
  "a",
]

# the end`;

const TOLERANT = `
const [command, action] = process.argv.slice(2);
if (command === "--version") console.log("codex-cli 0.169.0");
`;

test("setup --codex adds the entry, keeps the rest to the byte, and --undo gives the file back", async (t) => {
  const { setup, path, config } = scene(t, BEFORE);
  assert.equal((await setup()).code, 0);
  const now = config();
  assert.ok(now.startsWith(`${BEFORE}\n\n[mcp_servers.t9-ipc]\n`), now);
  assert.match(now, /^command = ".*node"$/m);
  assert.ok(now.includes(`args = [${JSON.stringify(SERVER)}]\n`), now);
  assert.match(now, /^env_vars = .*"CODEX_HOME".*"IPC_DIR".*"IPC_TG_TOKEN"/m);
  assert.doesNotMatch(now, /approval/, "nobody was asked");
  assert.equal(readFileSync(`${path}.t9-ipc-backup`, "utf8"), BEFORE);

  assert.match((await setup()).stdout, /nothing was changed/);
  assert.equal(config(), now);
  await setup("--undo");
  assert.equal(config(), BEFORE);
  assert.match((await setup("--undo")).stdout, /nothing was changed/);
});

test("where Codex has written since, --undo takes out our part only", async (t) => {
  const { setup, path, config } = scene(t, BEFORE);
  await setup();
  const since = '\n# trusted\n[projects."/p"]\ntrust_level = "trusted"\n';
  writeFileSync(path, config() + since);
  await setup("--undo");
  assert.equal(config(), `${BEFORE}\n\n\n${since}`, "blank lines are all that stays");
});

test("a file that was not there is made, and gone again after --undo", async (t) => {
  const { setup, path, config } = scene(t, undefined);
  await setup();
  assert.match(config(), /^\[mcp_servers\.t9-ipc\]\n/);
  await setup("--undo");
  assert.equal(existsSync(path), false);
});

test("with --allow, Codex never asks before it uses the tools", async (t) => {
  const { setup, config } = scene(t, BEFORE);
  await setup("--allow");
  assert.match(config(), /^default_tools_approval_mode = "approve"$/m);
});

test("an entry that is there already keeps what the user added", async (t) => {
  const before = `[mcp_servers."t9-ipc"]
  command = "npx"   # old
  args = [
    "t9-ipc",
  ]
env_vars = ["MINE"]
startup_timeout_sec = 20

[mcp_servers."t9-ipc".env]
IPC_POLL = "500"

[mcp_servers.other]
command = "other"
args = ["t9-ipc"]
`;
  const { setup, config } = scene(t, before);
  await setup();
  const now = config();
  assert.ok(
    now.includes(`  args = [${JSON.stringify(SERVER)}]\nenv_vars = ["MINE","CODEX_HOME"`),
    now,
  );
  assert.doesNotMatch(now, /npx/);
  const tail = before.slice(before.indexOf("startup_timeout_sec"));
  assert.ok(now.endsWith(tail), now);
  await setup("--undo");
  assert.equal(config(), before);
});

test("where Codex cannot read the file with our entry, it stays as it was", async (t) => {
  const before = 'mcp_servers = { t9-ipc = { command = "x" } }\n';
  const { dir, setup, config } = scene(t, before);
  putProgram(dir, "codex", 'console.error("duplicate key"); process.exit(1);');
  const { code, stderr } = await setup();
  assert.equal(code, 1);
  assert.match(stderr, /as it was.*duplicate key/);
  assert.equal(config(), before);
});

test("doctor says nothing of Codex where it is not used", async (t) => {
  const { doctor } = scene(t, undefined);
  assert.doesNotMatch(await doctor(), /Codex/);
});

test("doctor finds nothing wrong with what setup wrote", async (t) => {
  const { dir, setup, doctor } = scene(t, BEFORE);
  putProgram(dir, "codex", TOLERANT);
  assert.match(await doctor(), /^warning .*config\.toml: no t9-ipc entry\n.*run setup --codex/m);
  await setup();
  const said = (await doctor()).split("\n").filter((line) => /Codex|config\.toml/.test(line));
  assert.ok(said.length >= 4, said.join("\n"));
  for (const line of said) assert.match(line, /^ok /);
});

test("doctor names what is wrong with an entry", async (t) => {
  const gone = join(SERVER, "..", "gone.js");
  const { dir, doctor } = scene(
    t,
    `[mcp_servers.t9-ipc]
command = "node"
args = [${JSON.stringify(gone)}]
env_vars = ["IPC_DIR"]
default_tools_approval_mode = "prompt"
[mcp_servers.t9-ipc.env]
IPC_DIR = "/elsewhere"
`,
  );
  putProgram(dir, "codex", `${TOLERANT}if (command === "queue") process.exit(2);`);
  const said = await doctor();
  assert.match(said, /^warning .*Codex 0\.169\.0: it has no `queue`/m);
  assert.match(said, /^broken .*gone\.js: there is no such file/m);
  assert.match(said, /^warning .*env_vars lacks CODEX_HOME, IPC_SESSION_ID/m);
  assert.match(said, /^warning .*approval mode "prompt"/m);
  assert.match(said, /^warning .*mail is in \/elsewhere: not in /m);
});

/** A home with that config.toml; no `codex` on PATH. */
function scene(t: TestContext, before: string | undefined) {
  const dir = tempDir(t);
  const folder = join(homeOf(dir), ".codex");
  const path = join(folder, "config.toml");
  mkdirSync(folder);
  if (before !== undefined) writeFileSync(path, before);
  return {
    dir,
    path,
    setup: (...options: string[]) => run(dir, ["setup", "--codex", ...options]),
    doctor: async () => (await run(dir, ["doctor"])).stdout,
    config: () => readFileSync(path, "utf8"),
  };
}
