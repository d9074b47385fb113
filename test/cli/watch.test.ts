import assert from "node:assert/strict";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { run, start } from "../support/command.ts";
import { envOf, tempDir } from "../support/folder.ts";
import { mail, stamp, writeMail } from "../support/mail.ts";
import { Process, SERVE, works } from "../support/process.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** `t9-ipc watch`, and what it has printed so far; it watches already. */
async function watching(dir: string, ...args: string[]) {
  mkdirSync(dir, { recursive: true });
  const watch = start(dir, ["watch", "--since", "1h", ...args]);
  const text = (): string => watch.stdout;
  const sign = `${stamp(0, 0)}-00000000-sign-sign-sign.md`;
  writeMail(
    dir,
    sign,
    mail({ from: "sign", to: "sign", type: "ipc", subject: "sign", created: "now" }),
  );
  if (args.length === 0 || args[0] === "--json")
    await waitFor(() => text().includes("sign"), "the watch to stand");
  return { text };
}

test("watch prints a block for each message that arrives, and marks broadcasts and urgent ones", async (t) => {
  const dir = tempDir(t);
  const { text } = await watching(dir);
  const alpha = await startSession("alpha", { dir });
  await alpha.call("send", {
    to: "later",
    subject: "one",
    body: "first\nbody",
    allow_unknown: true,
  });
  await alpha.call("broadcast", { subject: "two", priority: "critical", type: "escalation" });
  await waitFor(() => text().includes("two"), text);
  const blocks =
    /^alpha → later: one\n\d.{18} {2}(\S+\.md)\nfirst\nbody\n\nalpha → EVERYBODY: two \[critical, escalation\]\n/m;
  assert.match(text(), blocks);
  assert.ok(!text().includes("\u001b"), "no colors without a terminal");
});

test("watch prints only messages that its filters let through", async (t) => {
  const dir = tempDir(t);
  const from = await watching(dir, "--from", "ALPHA");
  const to = await watching(dir, "--to", "beta");
  const all = await watching(dir, "--to", "all");
  const put = (index: number, from: string, to: string) =>
    writeMail(
      dir,
      `${stamp(0, index)}-0a1b2c3d-x-x-x.md`,
      mail({ from, to, subject: `${from}-${to}` }),
    );
  put(1, "alpha", "beta");
  put(2, "alpha", "gamma");
  put(3, "gamma", "beta");
  put(4, "gamma", "broadcast");
  put(5, "alpha", "all");
  const subjects = (text: string): string[] =>
    [...text.matchAll(/^\S+ → \S+: (\S+)$/gm)].map(([, each = ""]) => each);
  const expected: [typeof from, string[]][] = [
    [from, ["alpha-beta", "alpha-gamma", "alpha-all"]],
    [to, ["alpha-beta", "gamma-beta"]],
    [all, ["gamma-broadcast", "alpha-all"]],
  ];
  for (const [{ text }, wanted] of expected) {
    await waitFor(() => subjects(text()).length >= wanted.length, text);
    assert.deepEqual(subjects(text()), wanted);
  }
});

test("--since prints earlier messages first, from the archive too, in the order of sending", async (t) => {
  const dir = tempDir(t);
  /** Writes a message that is this many days old. */
  const put = (folder: string, days: number, subject: string): void => {
    const path = join(dir, folder, `${stamp(days)}-0a1b2c3d-x-x-${subject}.md`);
    mkdirSync(join(dir, folder), { recursive: true });
    writeFileSync(path, mail({ from: "xxx", to: "all", subject }));
    const time = Date.now() / 1000 - days * 86_400;
    utimesSync(path, time, time);
  };
  put("inbox", 0.02, "recent");
  put("inbox", 3, "old");
  put("archive", 1.5, "archived");
  put("archive", 9, "older");
  const watch = start(dir, ["watch", "--since", "2d", "--json"]);
  const text = (): string => watch.stdout;
  await waitFor(() => text().includes("recent"), text);
  const messages = text()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    messages.map(({ subject }) => subject),
    ["archived", "recent"],
  );
  assert.equal(messages[0].to, "all");

  const fresh = start(dir, ["watch"]);
  const none = (): string => fresh.stdout;
  // What comes before it watches is from before.
  let count = 0;
  await waitFor(() => {
    put("inbox", -0.0001, `now-${++count}`);
    return none().includes("now");
  }, none);
  assert.doesNotMatch(none(), /recent|archived|old/, "without --since nothing from before");
});

test("watch keeps running if the folder is polled, and Ctrl-C ends it", async (t) => {
  const dir = tempDir(t);
  const watch = start(dir, ["watch", "--json"], { env: { IPC_POLL: "50" } });
  await waitFor(
    async () => {
      await run(dir, ["broadcast", "again"]);
      return watch.stdout.includes("again");
    },
    () => watch.stdout,
  );
  await watch.kill("SIGINT");
  assert.equal(watch.child.signalCode, "SIGINT");
});

test("watch ends without an error when its reader closes the pipe", async (t) => {
  const dir = tempDir(t);
  const watch = start(dir, ["watch", "--since", "1h"]);
  writeMail(dir, `${stamp()}-0a1b2c3d-x-x-x.md`, mail({ from: "xxx", to: "all", subject: "one" }));
  await waitFor(() => watch.stdout.includes("one"), "a first message");
  watch.child.stdout.destroy();
  await waitFor(async () => {
    await run(dir, ["broadcast", "more"]);
    return watch.child.exitCode !== null;
  }, "its end");
  await watch.ended;
  assert.doesNotMatch(watch.stderr, /EPIPE|Error/);
});

const noScript =
  !(process.platform === "linux" && works("/usr/bin/script", "--version")) && "no script(1)";

/** `t9-ipc ARGS` on a terminal. */
function onTerminal(dir: string, args: readonly string[], env: Record<string, string> = {}) {
  mkdirSync(dir, { recursive: true });
  const command = [...SERVE, ...args].map((each) => `'${each}'`).join(" ");
  const terminal = new Process(["/usr/bin/script", "-qec", command, "/dev/null"], {
    cwd: dir,
    env: { ...envOf(dir), SHELL: "/bin/sh", TERM: "xterm-256color", ...env },
  });
  return () => terminal.stdout.replaceAll("\r", "");
}

for (const [title, env, isColored] of [
  ["in colors", {}, true],
  ["without colors if NO_COLOR is set", { NO_COLOR: "1" }, false],
] as const) {
  test(`on a terminal watch prints a line for each message, and who comes and goes, ${title}`, {
    skip: noScript,
  }, async (t) => {
    const dir = tempDir(t);
    const text = onTerminal(dir, ["watch", "--since", "1h"], env);
    const file = `${stamp()}-0a1b2c3d-sign-sign-sign.md`;
    writeMail(dir, file, mail({ from: "sign", to: "sign", subject: "sign" }));
    await waitFor(() => text().includes("sign"), text);
    const alpha = await startSession("alpha", { dir });
    await waitFor(() => text().includes("alpha is online, in "), text);
    await alpha.call("send", { to: "all", subject: "one", body: "first\nbody" });
    await waitFor(() => text().includes("body"), text);
    await alpha.close();
    await waitFor(() => text().includes("alpha has left"), text);
    const line = text()
      .split("\n")
      .find((each) => each.includes("one"));
    const plain = stripVTControlCharacters(line ?? "");
    assert.match(plain, /^\d\d:\d\d:\d\d {2}alpha → EVERYBODY {2}one {2}first body$/);
    const dimmed = "\u001b[2mfirst body\u001b[22m";
    if (isColored) assert.ok(line?.endsWith(dimmed), JSON.stringify(line));
    else assert.equal(line, plain);
  });
}

test("on a terminal watch --json prints JSON and nothing else", { skip: noScript }, async (t) => {
  const dir = tempDir(t);
  const text = onTerminal(dir, ["watch", "--since", "1h", "--json"]);
  writeMail(dir, `${stamp()}-0a1b2c3d-x-x-x.md`, mail({ from: "xxx", to: "all", subject: "one" }));
  await waitFor(() => text().includes("one"), text);
  assert.equal(JSON.parse(text()).subject, "one");
});

test("on a terminal who --watch refreshes its list in place", { skip: noScript }, async (t) => {
  const dir = tempDir(t);
  const text = onTerminal(dir, ["who", "--watch"]);
  await waitFor(() => text().includes("Nobody is online."), text);
  await startSession("alpha", { dir });
  await waitFor(() => text().includes("- alpha: "), text);
  const screens = text().split("\u001b[1;1H\u001b[0J");
  assert.match(screens.at(-1) ?? "", /^1 session online:\n- alpha: /);
});

test("without a terminal who --watch prints the list again and again", async (t) => {
  const dir = tempDir(t);
  const who = start(dir, ["who", "--watch"]);
  await waitFor(
    () => who.stdout === "Nobody is online.\n".repeat(2),
    () => who.stdout,
  );
  const json = start(dir, ["who", "--watch", "--json"]);
  await waitFor(
    () => json.stdout === "[]\n[]\n",
    () => json.stdout,
  );
});
