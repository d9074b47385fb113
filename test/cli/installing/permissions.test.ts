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
import {
  allowTools,
  disallowTools,
  readSettings,
  SERVER_RULE,
} from "../../../src/agents/claude/permissions.ts";
import { configOf, run } from "../../support/command.ts";
import { binOf, envOf, homeOf, tempDir } from "../../support/folder.ts";
import { Process, SERVE, works } from "../../support/process.ts";
import { waitFor } from "../../support/wait.ts";

const RULE = "mcp__t9-ipc";
const ONLY_OURS = { permissions: { allow: [RULE] } };

/** A home whose settings.json has that text, or that has none. */
function home(t: TestContext, text?: string) {
  const dir = tempDir(t);
  const folder = join(homeOf(dir), ".claude");
  const path = join(folder, "settings.json");
  mkdirSync(folder);
  if (text !== undefined) writeFileSync(path, text);
  const read = (): string => readFileSync(path, "utf8");
  return { dir, folder, path, read, json: () => JSON.parse(read()) };
}

/** What `setup` does to the settings with that option; returns what it prints. */
type Setup = (option: "--allow" | "--undo") => Promise<string>;

const byCommand =
  (dir: string): Setup =>
  async (option) => {
    const { code, stdout, stderr } = await run(dir, ["setup", option]);
    assert.equal(code, 0, stderr);
    return stdout;
  };

/** The same in this process, without everything else that `setup` does. */
const inProcess =
  (dir: string): Setup =>
  async (option) => {
    const lines: string[] = [];
    const print = (line: string) => lines.push(line);
    const config = configOf(dir);
    readSettings(config);
    await (option === "--allow"
      ? allowTools(SERVER_RULE, async () => true, config, print)
      : disallowTools(config, print));
    return lines.join("\n");
  };

const FILES: Record<string, string> = {
  "rules, two spaces": `${JSON.stringify({ model: "opus", permissions: { allow: ["Bash(ls:*)"], deny: [] }, z: null }, null, 2)}\n`,
  "tabs, permissions without allow":
    '{\n\t"permissions": {\n\t\t"deny": ["Read(./.env)",\n"WebFetch"]\n\t}\n}',
  "no permissions, CRLF": '{\r\n    "model": "opus",\r\n    "env": {}\r\n}\r\n',
  "one line": '{"model":"opus","permissions":{"allow":["WebFetch"]}}\n',
  "odd spacing": '{ "a" : 1\n,  "permissions" : { "allow" : [ "X" , "Y" ] } , "b":2 }',
  "an empty list": '{\n  "permissions": {\n    "allow": []\n  }\n}\n',
  "an empty object": "{}",
  "an empty file": "",
};

for (const [name, before] of Object.entries(FILES)) {
  test(`--allow keeps everything else in the settings, and --undo gives it back: ${name}`, (t) =>
    changeAndUndo(t, before, inProcess));
}

test("--allow keeps everything else in the settings, and --undo gives it back: by the command itself", async (t) => {
  await changeAndUndo(t, FILES["no permissions, CRLF"] ?? "", byCommand);
});

async function changeAndUndo(
  t: TestContext,
  before: string,
  how: (dir: string) => Setup,
): Promise<void> {
  const { dir, folder, path, read, json } = home(t, before);
  const setup = how(dir);
  const said = await setup("--allow");
  assert.match(
    said,
    new RegExp(`Claude may use the tools of ${RULE} without asking: .+ in ${path}$`, "m"),
  );
  const after = read();
  assert.equal(
    /[^\r]\n/.test(after),
    /[^\r]\n/.test(before) || !before.includes("\n"),
    "its own line ends",
  );
  const former = JSON.parse(before || "{}");
  const { permissions, ...rest } = former;
  assert.deepEqual(json(), {
    ...rest,
    permissions: { ...permissions, allow: [...(permissions?.allow ?? []), RULE] },
  });
  assert.equal(readFileSync(`${path}.t9-ipc-backup`, "utf8"), before);

  await setup("--allow");
  assert.equal(read(), after, "twice changes nothing");
  assert.equal(readFileSync(`${path}.t9-ipc-backup`, "utf8"), before);

  const undone = await setup("--undo");
  assert.ok(undone.includes(`Removed from ${path}.`), undone);
  if (before === "") {
    assert.deepEqual(readdirSync(folder), []);
    return;
  }
  assert.deepEqual(json(), former);
  assert.deepEqual(readdirSync(folder), ["settings.json"], "and nothing is left beside it");

  // Only our rule is removed if something else has changed in between.
  await setup("--allow");
  writeFileSync(path, read().replace("{", '{"mine":[0], '));
  await setup("--undo");
  assert.deepEqual(json(), { mine: [0], ...former });
}

test("settings that were not there get our rule and nothing else, and --undo removes them", async (t) => {
  const { dir, folder, path, json } = home(t);
  assert.equal((await run(dir, ["setup", "--allow"])).code, 0);
  assert.deepEqual(json(), ONLY_OURS);
  assert.equal(lstatSync(path).mode & 0o777, 0o600);
  assert.equal((await run(dir, ["setup", "--undo"])).code, 0);
  assert.deepEqual(readdirSync(folder), []);
  assert.match((await run(dir, ["setup", "--undo"])).stdout, /nothing was changed/);
});

test("rules that the user has added to the list stay", async (t) => {
  const { dir, path, json } = home(t, '{ "model": "opus" }');
  await inProcess(dir)("--allow");
  const { permissions } = json();
  writeFileSync(
    path,
    JSON.stringify({ model: "haiku", permissions: { allow: [...permissions.allow, "WebFetch"] } }),
  );
  await inProcess(dir)("--undo");
  assert.deepEqual(json(), { model: "haiku", permissions: { allow: ["WebFetch"] } });

  // The same if the user had no settings before.
  const other = home(t);
  await inProcess(other.dir)("--allow");
  writeFileSync(other.path, JSON.stringify({ ...other.json(), model: "haiku" }));
  await inProcess(other.dir)("--undo");
  assert.deepEqual(other.json(), { model: "haiku" });
});

test("a rule that the user wrote is enough, and stays with --undo", async (t) => {
  for (const [rule, how] of [
    [RULE, inProcess],
    [`${RULE}__*`, byCommand], // --undo also succeeds if there is nothing to remove
  ] as const) {
    const text = JSON.stringify({ permissions: { allow: [rule] } });
    const { dir, read } = home(t, text);
    assert.match(await how(dir)("--allow"), /may use the tools of mcp__t9-ipc without asking: /);
    assert.equal(read(), text);
    await how(dir)("--undo");
    assert.equal(read(), text);
  }
});

test("settings that are not a JSON object are left alone, and so is everything else", async (t) => {
  const refusal = /settings\.json.+ Nothing was changed: fix it first\.$/;
  const wrong = ['{ "a": 1, ', '{ "permissions": { "allow": "Bash" } }'];
  for (const text of [...wrong, "// mine\n{}", "[]", '"x"']) {
    const { dir, read } = home(t, text);
    assert.throws(() => readSettings(configOf(dir)), { message: refusal });
    assert.equal(read(), text);
  }
  for (const text of wrong) {
    const { dir, folder, read } = home(t, text);
    for (const args of [["setup", "--allow"], ["setup"], ["setup", "--undo"]]) {
      const { code, stderr } = await run(dir, args);
      assert.equal(code, 1, text);
      assert.match(stderr.trimEnd(), refusal);
    }
    assert.equal(read(), text);
    assert.deepEqual(readdirSync(folder), ["settings.json"]);
    assert.ok(
      !existsSync(join(homeOf(dir), ".claude.json")),
      "the server is not registered either",
    );
  }
});

test("a link to the user's dotfiles stays a link; one that leads nowhere is left alone", async (t) => {
  const { dir, path } = home(t);
  const real = join(dir, "..", "dotfiles.json");
  writeFileSync(real, '{\n  "model": "opus"\n}\n', { mode: 0o644 });
  symlinkSync(real, path);
  await byCommand(dir)("--allow");
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.equal(lstatSync(real).mode & 0o777, 0o644, "its mode stays too");
  assert.deepEqual(JSON.parse(readFileSync(real, "utf8")), { model: "opus", ...ONLY_OURS });
  await inProcess(dir)("--undo");
  assert.deepEqual(JSON.parse(readFileSync(real, "utf8")), { model: "opus" });

  const lost = home(t);
  symlinkSync(join(lost.dir, "none.json"), lost.path);
  const { code, stderr } = await run(lost.dir, ["setup", "--allow"]);
  assert.equal(code, 1);
  assert.match(stderr, /settings\.json cannot be read \(ENOENT: .+\)\. Nothing was changed/);
});

test("CLAUDE_CONFIG_DIR moves the settings", async (t) => {
  const { dir, folder } = home(t);
  const elsewhere = join(dir, "..", "config");
  assert.equal(
    (await run(dir, ["setup", "--allow"], { env: { CLAUDE_CONFIG_DIR: elsewhere } })).code,
    0,
  );
  assert.deepEqual(JSON.parse(readFileSync(join(elsewhere, "settings.json"), "utf8")), ONLY_OURS);
  assert.deepEqual(readdirSync(folder), []);
});

test("without a terminal and without --allow, setup allows nothing and prints the rule to copy", async (t) => {
  const { dir, folder, path } = home(t);
  const { code, stdout } = await run(dir, ["setup"], { input: "y\n" });
  assert.equal(code, 0);
  const [, words = ""] =
    new RegExp(`run setup --allow, or add to ${path}: (.+)$`, "m").exec(stdout) ?? [];
  assert.deepEqual(JSON.parse(words), ONLY_OURS);
  assert.deepEqual(readdirSync(folder), []);
});

test("rules that deny or ask are not overwritten", async (t) => {
  for (const list of ["deny", "ask"]) {
    for (const rule of [RULE, `${RULE}__t9_ipc_send`, "mcp__*"]) {
      const text = JSON.stringify({ permissions: { [list]: [rule] } });
      const { dir, path, read } = home(t, text);
      const said = await inProcess(dir)("--allow");
      assert.ok(
        said.includes(`"${rule}" under "${list}" in ${path} wins over what is allowed`),
        said,
      );
      assert.equal(read(), text);
    }
  }
});

test("setup names a project's rule that wins over ours, and writes ours all the same", async (t) => {
  const { dir, json } = home(t);
  const project = join(dir, "..", "project");
  mkdirSync(join(project, ".claude"), { recursive: true });
  const local = join(project, ".claude", "settings.local.json");
  writeFileSync(local, JSON.stringify({ permissions: { deny: [`${RULE}__t9_ipc_send`] } }));
  const { stdout } = await run(dir, ["setup", "--allow"], { cwd: project });
  assert.ok(stdout.includes(`"${RULE}__t9_ipc_send" under "deny" in ${local} wins`), stdout);
  assert.deepEqual(json(), ONLY_OURS);
});

test("a file that another program holds is not changed without its lock", async (t) => {
  for (const [file, args] of [
    [".claude.json", ["setup"]],
    [join(".claude", "settings.json"), ["setup", "--allow"]],
  ] as const) {
    const { dir } = home(t, "{}");
    const path = join(homeOf(dir), file);
    if (!existsSync(path)) writeFileSync(path, "{}");
    mkdirSync(`${path}.lock`); // fresh, as if taken just now
    const { code, stderr } = await run(dir, args);
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^t9-ipc: ${path} was not changed: another program holds ${path}\\.lock\\.`),
    );
    assert.equal(readFileSync(path, "utf8"), "{}");
  }
});

test("on a terminal the question is asked once, with yes as its default", {
  skip: !hasScript() && "no script(1)",
}, async (t) => {
  const question = /A session that mail wakes .+\n.+ without asking\? \[Y\/n\] /;
  /** What is on the terminal at the end, with that answer to the question, if it is asked. */
  const answer = async (dir: string, input: string): Promise<string> => {
    const command = [...SERVE, "setup"].map((each) => `'${each}'`).join(" ");
    const env = { ...envOf(dir), PATH: binOf(dir), SHELL: "/bin/sh" };
    const terminal = new Process(["/usr/bin/script", "-qec", command, "/dev/null"], {
      cwd: homeOf(dir),
      env,
    });
    const text = (): string => terminal.stdout.replaceAll("\r", "");
    const isAskedForStatusLine = (): boolean => text().includes("status line? [Y/n]");
    await waitFor(() => question.test(text()) || isAskedForStatusLine(), text);
    if (question.test(text())) terminal.child.stdin.write(input);
    await waitFor(isAskedForStatusLine, text);
    terminal.child.stdin.write("n\n");
    assert.equal(await terminal.ended, 0, text());
    return text();
  };
  const no = home(t);
  assert.match(await answer(no.dir, "n\n"), question);
  assert.deepEqual(readdirSync(no.folder), []);
  const [yes, silent] = [home(t), home(t)];
  assert.match(await answer(yes.dir, "yes\n"), question);
  assert.match(await answer(silent.dir, "\n"), question);
  assert.deepEqual(silent.json(), ONLY_OURS);
  assert.equal(yes.read(), silent.read(), "so that what follows holds for both");
  assert.doesNotMatch(await answer(silent.dir, ""), question, "not a second time");
});

function hasScript(): boolean {
  return process.platform === "linux" && works("/usr/bin/script", "--version");
}
