import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../support/command.ts";
import { envOf, tempDir } from "../support/folder.ts";
import { filesIn, mail, readMail, stamp, writeMail } from "../support/mail.ts";
import { SERVER, works } from "../support/process.ts";
import { failToOpen, runHere } from "../support/run-here.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const COMMANDS = [
  "setup",
  "doctor",
  "who",
  "unread",
  "send",
  "broadcast",
  "watch",
  "log",
  "demo",
  "statusline",
  "hook",
];

test("help lists every command, and each command's help is its own", async (t) => {
  const dir = tempDir(t);
  const all = await run(dir, ["--help"]);
  assert.equal(all.code, 0);
  assert.match(all.stdout, /MCP server/);
  assert.ok(all.stdout.includes(`claude mcp add --scope user t9-ipc -- node "${SERVER}"`));
  const helps = await Promise.all(COMMANDS.map((command) => run(dir, [command, "--help"])));
  for (const [index, command] of COMMANDS.entries()) {
    const { code, stdout, stderr } = helps[index] ?? assert.fail();
    assert.equal(code, 0, command);
    assert.equal(stderr, "");
    const [, usage = ""] = /^Usage: t9-ipc (.+)\n/.exec(stdout) ?? [];
    assert.ok(usage.split(" ")[0] === command, stdout);
    assert.match(all.stdout, new RegExp(`^  ${usage.replace(/[[\]]/g, "\\$&")}\\s`, "m"));
    // Each option that the usage names has a line of its own.
    const options = [...usage.matchAll(/--([\w-]+)/g)].map(([, name]) => name);
    const described = [...stdout.matchAll(/^ {2}--([\w-]+)[^\n]* {2}\S/gm)].map(([, name]) => name);
    assert.deepEqual(described, options);
  }
  assert.match(helps[COMMANDS.indexOf("send")]?.stdout ?? "", /BODY - is read from standard input/);
});

test("the server prints the help and ends if a person starts it on a terminal", {
  skip: !hasScript() && "no script(1)",
}, (t) => {
  const dir = tempDir(t);
  const { stdout, status } = spawnSync(
    "script",
    ["-qec", `'${process.execPath}' '${SERVER}'`, "/dev/null"],
    { encoding: "utf8", env: envOf(dir), timeout: 15_000 },
  );
  assert.equal(status, 0);
  assert.match(stdout, /It is an MCP server, which Claude Code starts\. To register it: /);
  assert.match(stdout, /^ {2}doctor /m);
  assert.ok(!existsSync(dir), "it left the folder alone");
});

function hasScript(): boolean {
  return process.platform === "linux" && works("script", "--version");
}

test("wrong usage has exit code 2 and one line on stderr with the usage, and does nothing", async (t) => {
  const dir = tempDir(t);
  const cases: [string[], RegExp][] = [
    [["nonsense"], /unknown command .nonsense./],
    [["constructor"], /unknown command .constructor./],
    [["who", "me"], /too many arguments .+usage: t9-ipc who/],
    [["--everything"], /--everything/],
    [["whoo"], /Did you mean who\?/],
    [["send", "beta"], /usage: t9-ipc send NAME SUBJECT \[BODY\]/],
    [["send", "beta", "two", "words", "more"], /put a text in quotes/],
    [["send", "beta", "s", "--priority", "urgent"], /--priority .+ low, normal, high, critical/],
    [["broadcast"], /usage: t9-ipc broadcast SUBJECT/],
    [["unread", "--all"], /--all/],
    [["unread", "--json=yes"], /--json/],
    [["setup", "--allow", "--everything"], /--everything/],
    [["setup", "now"], /usage: t9-ipc setup \[--plugin\]/],
    [["watch", "--since", "yesterday"], /--since .+takes a number/],
    [["watch", "--since"], /--since/],
  ];
  for (const [args, words] of cases) {
    const { code, stdout, stderr } = await runHere(dir, args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr, words);
    assert.match(stderr, /^t9-ipc: [^\n]+\n$/);
    assert.equal(stdout, "");
  }
  const [args] = cases[0] ?? assert.fail();
  assert.deepEqual(await run(dir, args), await runHere(dir, args), "the program does the same");
  assert.deepEqual(filesIn(dir), []);
});

test("who prints the tool's answer, and as JSON every field of each entry", async (t) => {
  const dir = tempDir(t);
  assert.equal((await runHere(dir, ["who"])).stdout, "Nobody is online.\n");
  assert.equal((await runHere(dir, ["who", "--json"])).stdout, "[]\n");
  const [alpha] = await Promise.all([
    startSession("alpha", { dir }),
    startSession("beta", { dir }),
  ]);
  await alpha.call("set_name", { name: "alpha", working_on: "the parser" });
  const { stdout, code } = await runHere(dir, ["who"]);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^2 sessions online:\n- alpha: .*in “.+”; working on “the parser”.+\n- beta: /,
  );
  assert.doesNotMatch(stdout, /\(you\)/);
  const [first, second] = JSON.parse((await runHere(dir, ["who", "--json"])).stdout);
  const [one, two] = first.name === "alpha" ? [first, second] : [second, first];
  assert.equal(one.working_on, "the parser");
  assert.equal(one.pid, alpha.pid);
  assert.equal(two.reached_by, "on its next tool call");
});

test("a message from the command line reaches a session, which answers to the sender's name", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const me = (await run(dir, ["send", "beta", "build failed", "see the log", "--priority", "high"]))
    .stdout;
  assert.match(me, /^Stored as .+\. beta is online, .+ Not read yet\.\n$/);
  const push = await beta.waitForPush();
  assert.equal(push.content, "see the log");
  assert.equal(push.meta.priority, "high");
  assert.ok(
    userInfo().username.length < 3 || push.meta.from === userInfo().username,
    push.meta.from,
  );

  const answer = await beta.call("send", { to: push.meta.from, subject: "thanks", body: "on it" });
  assert.match(answer.text, /^Stored as/, "its name is known");
  const first = await runHere(dir, ["unread"]);
  assert.match(first.stdout, /^1 unread message:/);
  assert.match(first.stdout, /subject: thanks\n.*\non it\n/s);
  assert.equal((await runHere(dir, ["unread"])).stdout, "No unread messages.\n");
});

test("IPC_SESSION_ID is the sender if it can be a name, even one of the greatest length", async (t) => {
  const dir = tempDir(t);
  const name = `${"가".repeat(63)}Z`;
  await runHere(dir, ["broadcast", "one"], { IPC_SESSION_ID: name });
  const odd = await runHere(dir, ["broadcast", "two"], { IPC_SESSION_ID: "a b" });
  assert.match(odd.stderr, /IPC_SESSION_ID is not used: "a b" cannot be a session's name/);
  const [one = "", two = ""] = filesIn(dir).map((file) => readMail(dir, file));
  assert.ok(one.includes(`\nfrom: ${name}\n`));
  assert.doesNotMatch(two, /from: a b/);
});

test("a body comes from standard input, to the letter, without the last line end", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  const input = "  FAIL 한국어\n\n--- not a header\n\tat x.ts:1\n";
  assert.equal((await run(dir, ["send", "beta", "log", "-"], { input })).code, 0);
  assert.equal((await beta.waitForPush()).content, input.slice(0, -1));
  assert.equal((await run(dir, ["broadcast", "log", "-"], { input: "x\r\n" })).code, 0);
  assert.equal((await beta.waitForPush((push) => push.meta.type === "broadcast")).content, "x");
});

test("a broadcast reaches everybody, and its answer names them", async (t) => {
  const dir = tempDir(t);
  const sessions = await Promise.all(["alpha", "beta"].map((name) => startSession(name, { dir })));
  const { stdout } = await run(dir, ["broadcast", "lunch", "at noon"]);
  for (const name of ["alpha", "beta"])
    assert.match(stdout, new RegExp(`Online to receive it: .*${name} \\(`));
  for (const session of sessions) assert.equal((await session.waitForPush()).content, "at noon");
});

test("a refusal has the tools' words and exit code 1, and nothing is stored", async (t) => {
  const dir = tempDir(t);
  const long = await run(dir, ["send", "beta", "s", "-"], { input: "x".repeat(10_241) });
  assert.equal(long.code, 1);
  assert.match(
    long.stderr,
    /^t9-ipc: Not sent: the body has 10241 characters, the limit is 10240\. .+\n$/,
  );
  const beta = await startSession("beta", { dir });
  const other = await beta.call("send", { to: "gamma", subject: "s", body: "x".repeat(10_241) });
  assert.equal(long.stderr, `t9-ipc: ${other.text}\n`);

  const unknown = await runHere(dir, ["send", "beta-tests", "s"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /Did you mean beta\?.+repeat with --allow-unknown\./);
  for (const to of ["", " , "]) {
    const nobody = await runHere(dir, ["send", to, "s"]);
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /^t9-ipc: Not sent: no recipient is named\. `t9-ipc who` lists/);
  }
  const odd = await runHere(dir, ["send", "no name", "s"]);
  assert.match(odd.stderr, /Online: beta\. `t9-ipc who` lists who is online/);
  assert.deepEqual(filesIn(dir), []);
  assert.equal((await runHere(dir, ["send", "beta-tests", "s", "--allow-unknown"])).code, 0);
  assert.equal(filesIn(dir).length, 1);
});

test("unread says as text and beside its JSON that a message cannot be read just now", async (t) => {
  const dir = tempDir(t);
  const file = `${stamp()}-0a1b2c3d-hand-beta-x.md`;
  writeMail(dir, file, mail({ from: "hand", to: "beta", subject: "x" }));
  const env = { IPC_SESSION_ID: "beta" };
  failToOpen(t, (path) => path.endsWith(file));
  const problem = `${file} cannot be read just now: EIO: simulated.\n`;
  const text = await runHere(dir, ["unread"], env);
  assert.equal(text.stdout, `No unread message can be read just now:\n${problem}`);
  for (const args of [[], ["beta"]]) {
    const json = await runHere(dir, ["unread", ...args, "--json"], env);
    assert.deepEqual(json, { code: 1, stdout: "[]\n", stderr: `t9-ipc: ${problem}` });
  }
});

test("unread with a name marks nothing, and as JSON has header and body", async (t) => {
  const dir = tempDir(t);
  const beta = await startSession("beta", { dir });
  await runHere(dir, ["send", "beta", "one", "first\nbody"]);
  for (let i = 0; i < 2; i++)
    assert.match((await runHere(dir, ["unread", "beta"])).stdout, /^1 unread message for beta/);
  const [message] = JSON.parse((await runHere(dir, ["unread", "beta", "--json"])).stdout);
  assert.equal(message.subject, "one");
  assert.equal(message.body, "first\nbody");
  assert.equal(message.file, filesIn(dir)[0]);
  assert.match((await beta.call("unread")).text, /^1 unread message:/);
  // The mark is written once the answer is out.
  await waitFor(
    async () => (await runHere(dir, ["unread", "beta", "--json"])).stdout === "[]\n",
    "the mark, seen from outside",
  );
});

test("unread prints all mail at once, without the control characters of a message", async (t) => {
  const dir = tempDir(t);
  const body = `red \u001b[31malert\u001b[0m \u001b]0;title\u0007 \u009b2J bell\u0007 back\b\rover\ttab ${"y".repeat(9000)}`;
  for (let i = 0; i < 8; i++) {
    const file = `${stamp(0, i)}-0a1b2c3d-xxx-me-too-x.md`;
    writeMail(dir, file, mail({ from: "xxx", to: "me-too" }, body));
  }
  const { stdout } = await runHere(dir, ["unread"], { IPC_SESSION_ID: "me-too" });
  assert.match(stdout, /^8 unread messages:/);
  assert.equal(stdout.match(/^red alert .*\ttab y{9000}$/gm)?.length, 8);
  assert.match(stdout, /^[^\p{Cc}]+$/mu);
  assert.doesNotMatch(stdout, /[^\P{Cc}\n\t]/u);
});

test("unread registers its reader: broadcasts and direct mail reach people at the command line", async (t) => {
  const dir = tempDir(t);
  const env = { IPC_SESSION_ID: "person" };
  const beta = await startSession("beta", { dir });
  await beta.call("broadcast", { subject: "before anybody asked" });
  assert.equal((await runHere(dir, ["unread"], env)).stdout, "No unread messages.\n");
  await beta.call("broadcast", { subject: "to everyone" });
  const { isError } = await beta.call("send", { to: "person", subject: "to you" });
  assert.equal(isError, false, "the name is known");
  const { stdout } = await runHere(dir, ["unread"], env);
  assert.match(stdout, /^2 unread messages:.+subject: to everyone\n.+subject: to you\n/s);
  assert.equal((await runHere(dir, ["unread"], env)).stdout, "No unread messages.\n");
});

test("send registers its sender: broadcasts that come after it are its mail", async (t) => {
  const dir = tempDir(t);
  const env = { IPC_SESSION_ID: "person" };
  const beta = await startSession("beta", { dir });
  await runHere(dir, ["send", "all", "hello"], env);
  await beta.call("broadcast", { subject: "welcome" });
  const { stdout } = await runHere(dir, ["unread"], env);
  assert.match(stdout, /^1 unread message:.+subject: welcome\n/s);
});

test("a message that is stored in a folder made just now is said to be, since a sandbox loses it", async (t) => {
  const dir = tempDir(t);
  const folder = dir.replaceAll("\\", "\\\\");
  const words = new RegExp(`^The folder ${folder} was made just now, .+ set IPC_DIR `, "m");
  const send = (...args: string[]) => runHere(dir, ["send", "later", ...args, "--allow-unknown"]);
  const first = await send("one");
  assert.equal(first.code, 0);
  assert.match(first.stdout, /^Stored as .+\n/);
  assert.match(first.stdout, words);
  assert.doesNotMatch((await send("two")).stdout, words);

  const used = tempDir(t);
  await startSession("alpha", { dir: used });

  test("an empty folder is called new for a minute, and one with mail or a list of sessions is not", async (t) => {
    const isCalledNew = async (files: readonly string[], ageMs = 0): Promise<boolean> => {
      const dir = tempDir(t);
      mkdirSync(join(dir, "inbox"), { recursive: true });
      for (const file of files) writeFileSync(join(dir, file), "{}");
      const now = Date.now() + ageMs;
      const { mock } = t.mock.method(Date, "now", () => now);
      const { stdout } = await runHere(dir, ["send", "later", "one", "--allow-unknown"]);
      mock.restore();
      assert.match(stdout, /^Stored as /);
      return stdout.includes("was made just now");
    };
    assert.equal(await isCalledNew([]), true);
    assert.equal(await isCalledNew([], 61_000), false);
    assert.equal(await isCalledNew(["inbox/note.md"]), false);
    assert.equal(await isCalledNew(["heartbeats.json"]), false);
  });
  const { stdout } = await runHere(used, ["send", "later", "one", "--allow-unknown"]);
  assert.doesNotMatch(stdout, words, "a session is there");
});

test("commands and servers run in a working folder that was deleted", {
  skip: process.platform === "win32" && "Windows deletes no folder that is in use",
}, async (t) => {
  const dir = tempDir(t);
  const inDeleted = (input: string, ...args: string[]) => {
    const command = [process.execPath, SERVER, ...args].map((each) => `'${each}'`).join(" ");
    const script = `mkdir '${dir}-gone' && cd '${dir}-gone' && rmdir '${dir}-gone' && ${command}`;
    return spawnSync("/bin/sh", ["-c", script], { encoding: "utf8", env: envOf(dir), input });
  };
  const who = inDeleted("", "who");
  assert.deepEqual([who.status, who.stdout], [0, "Nobody is online.\n"]);
  const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
  const server = inDeleted(`${JSON.stringify(ping)}\n`);
  assert.equal(server.status, 0, server.stderr);
  assert.deepEqual(JSON.parse(server.stdout), { jsonrpc: "2.0", id: 1, result: {} });
});
