// `setup --codex` and what `doctor` says about Codex. The program is a fake, if there is one at
// all.

import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parse } from "@decimalturn/toml-patch";
import { checkCodex } from "../../../src/agents/codex/doctor.ts";
import { setupCodex, undoCodex } from "../../../src/agents/codex/setup.ts";
import type { Finding } from "../../../src/agents/finding.ts";
import { configOf, run } from "../../support/command.ts";
import { homeOf, putProgram, tempDir } from "../../support/folder.ts";
import { SERVER } from "../../support/process.ts";

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

test("setup --codex adds the entry and keeps the rest, and --undo removes it again", async (t) => {
  const { dir, path, config } = scene(t, BEFORE);
  const setup = (...options: string[]) => run(dir, ["setup", "--codex", ...options]);
  assert.equal((await setup()).code, 0);
  const now = config();
  assert.ok(now.startsWith(`${BEFORE}\n\n[mcp_servers.t9-ipc]\n`), now);
  assert.match(now, /^command = ".*node"$/m);
  assert.match(now, /^env_vars = .*"CODEX_HOME".*"IPC_DIR".*"IPC_TG_TOKEN"/m);
  assert.deepEqual(entryOf(now).args, [SERVER]);
  assert.doesNotMatch(now, /approval/, "nobody was asked");
  assert.equal(readFileSync(`${path}.t9-ipc-backup`, "utf8"), BEFORE);

  assert.match((await setup()).stdout, /nothing was changed/);
  assert.equal(config(), now);
  await setup("--undo");
  assert.equal(config().trimEnd(), BEFORE);
  assert.deepEqual(readdirSync(join(path, "..")), ["config.toml"], "the backup is gone");
  assert.match((await setup("--undo")).stdout, /nothing was changed/);
});

const OTHERS: Record<string, string> = {
  "line ends of Windows": 'model = 1 # one\r\n\r\n[a]\r\nb = "c"\r\n',
  "other servers":
    '[mcp_servers.a]\ncommand = "a" # b\n\n# last\n[z]\nwhen = 1979-05-27T07:32:00Z\n',
  "other servers in braces": 'mcp_servers = { other = { command = "x" } } # mine\n',
  "an empty table of servers": "[mcp_servers]\n# none yet\n",
};

for (const [name, before] of Object.entries(OTHERS)) {
  test(`setup --codex and --undo keep every line of a file with ${name}`, (t) => {
    const { setup, undo, config } = scene(t, before);
    setup();
    assert.deepEqual(entryOf(config()).args, [SERVER]);
    undo();
    assert.deepEqual(parse(config()).mcp_servers ?? {}, parse(before).mcp_servers ?? {});
    assert.equal(config(), before);
  });
}

for (const [name, since] of Object.entries({
  "another table": '\n# trusted\n[projects."/p"]\ntrust_level = "trusted"\n',
  "another table, right below": '[projects."/p"] # trusted\ntrust_level = "trusted"\n',
  "a comment at the end": "\n# that is all\n",
})) {
  test(`--undo removes our part only if the file has since got ${name}`, (t) => {
    const { setup, undo, path, config } = scene(t, BEFORE);
    setup();
    writeFileSync(path, config() + since);
    undo();
    assert.deepEqual(config().split(/\n+/), `${BEFORE}\n${since}`.split(/\n+/));
  });
}

test("--undo also removes what the user or Codex added to our entry", (t) => {
  const { setup, undo, path, config } = scene(t, BEFORE);
  setup();
  const tools = '[mcp_servers.t9-ipc.tools.t9_ipc_send]\napproval_mode = "approve"\n';
  writeFileSync(path, `${config().replace("args = [", "args = [  ")}\n${tools}\n[z]\na = 1\n`);
  undo();
  // toml-patch's objects have no prototype.
  const plain = (toml: object) => JSON.parse(JSON.stringify(toml));
  assert.deepEqual(plain(parse(config())), plain({ ...parse(BEFORE), z: { a: 1 } }));
  assert.match(config(), /# mine\n.*# not two\n/);
});

test("a file that was not there is created, and removed by --undo", (t) => {
  const { setup, undo, path, config } = scene(t, undefined);
  setup();
  assert.match(config(), /^\[mcp_servers\.t9-ipc\]\n/);
  undo();
  assert.equal(existsSync(path), false);
});

test("a link to the user's dotfiles stays a link, and the file keeps its mode", (t) => {
  const { dir, setup, undo, path } = scene(t, undefined);
  const real = join(dir, "..", "dotfiles.toml");
  writeFileSync(real, BEFORE, { mode: 0o644 });
  symlinkSync(real, path);
  setup();
  assert.deepEqual(entryOf(readFileSync(real, "utf8")).args, [SERVER]);
  undo();
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.equal(lstatSync(real).mode & 0o777, 0o644);
  assert.equal(readFileSync(real, "utf8").trimEnd(), BEFORE);
});

test("with --allow, Codex never asks before it uses the tools", (t) => {
  const { setup, config } = scene(t, BEFORE);
  setup(true);
  assert.equal(entryOf(config()).default_tools_approval_mode, "approve");
});

test("an entry that is there already keeps what the user added, and returns with --undo", (t) => {
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
  const { setup, undo, config } = scene(t, before);
  setup();
  const entry = entryOf(config());
  assert.deepEqual(entry.args, [SERVER]);
  assert.deepEqual(entry.env_vars.slice(0, 2), ["MINE", "CODEX_HOME"]);
  assert.doesNotMatch(config(), /npx/);
  assert.match(config(), /# old/);
  const tail = before.slice(before.indexOf("startup_timeout_sec"));
  assert.ok(config().endsWith(tail), config());
  undo();
  assert.equal(config(), before);
});

test("a file that is not TOML is not touched", async (t) => {
  const { dir, config } = scene(t, "a = ");
  for (const options of [[], ["--undo"]]) {
    const { code, stderr } = await run(dir, ["setup", "--codex", ...options]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /config\.toml cannot be read \(.+\)\. Nothing was changed: fix it first\./,
    );
  }
  assert.equal(config(), "a = ");
});

test("if Codex cannot read the file with our entry, it stays as it was", async (t) => {
  const { dir, config } = scene(t, BEFORE);
  putProgram(dir, "codex", 'console.error("duplicate key"); process.exit(1);');
  const { code, stderr } = await run(dir, ["setup", "--codex"]);
  assert.equal(code, 1);
  assert.match(stderr, /as it was.*duplicate key/);
  assert.equal(config(), BEFORE);
});

test("doctor says nothing about Codex if it is not used", async (t) => {
  const { doctor } = scene(t, undefined);
  assert.deepEqual(await doctor(), []);
});

test("doctor finds nothing wrong with what setup wrote", async (t) => {
  const { dir, setup, doctor } = scene(t, BEFORE);
  putProgram(dir, "codex", TOLERANT);
  const missing = (await doctor()).find(({ what }) => what.endsWith("config.toml"));
  assert.equal(missing?.problem, "no t9-ipc entry");
  assert.equal(missing?.remedy, "run setup --codex");
  setup();
  const findings = await doctor();
  assert.ok(findings.length >= 6, JSON.stringify(findings));
  for (const { state, what, problem } of findings) assert.equal(state, "ok", `${what}: ${problem}`);
  const stdout = (await run(dir, ["doctor"])).stdout;
  assert.match(stdout, /^ok {7}Codex 0\.169\.0$/m);
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
IPC_SESSION_ID = "everybody"
`,
  );
  putProgram(dir, "codex", `${TOLERANT}if (command === "queue") process.exit(2);`);
  const lines = (await doctor()).map(({ state, what, problem }) => `${state} ${what}: ${problem}`);
  const said = lines.join("\n");
  assert.match(said, /^warning Codex 0\.169\.0: it has no `queue`/m);
  assert.match(said, /^broken .*gone\.js: there is no such file/m);
  assert.match(said, /^warning .*env_vars lacks CODEX_HOME, IPC_SESSION_ID/m);
  assert.match(said, /^warning .*approval mode "prompt"/m);
  assert.match(said, /^warning .*mail is in \/elsewhere: not in /m);
  assert.match(said, /^warning IPC_SESSION_ID=everybody in .+: every Codex session asks for/m);
});

const entryOf = (text: string) => parse(text).mcp_servers["t9-ipc"];

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
    setup: (isAllowed = false) => setupCodex(configOf(dir), isAllowed, () => {}),
    undo: () => undoCodex(configOf(dir), () => {}),
    doctor: async (): Promise<Finding[]> => {
      const findings: Finding[] = [];
      for await (const finding of checkCodex(configOf(dir))) findings.push(finding);
      return findings;
    },
    config: () => readFileSync(path, "utf8"),
  };
}

test("doctor warns of an output limit that cuts answers, since what is cut counts as read", async (t) => {
  for (const [limit, state] of [
    ["", undefined],
    ["tool_output_token_limit = 1666", "warning"],
    ["tool_output_token_limit = 1667", "ok"],
    ["tool_output_token_limit = 10_000", "ok"],
    ['tool_output_token_limit = "many"', undefined],
  ] as const) {
    const { dir, setup } = scene(t, `${limit}\n`);
    setup();
    const findings: Finding[] = [];
    for await (const finding of checkCodex(configOf(dir))) findings.push(finding);
    const found = findings.find(({ what }) => what.startsWith("tool_output_token_limit"));
    assert.equal(found?.state, state, limit);
    if (state !== "warning") continue;
    assert.match(found?.problem ?? "", /about 7996 bytes .+ up to 8000: .+ it counts as read/);
    assert.equal(found?.remedy, "set it to 1667 or more, or remove it");
  }
});
