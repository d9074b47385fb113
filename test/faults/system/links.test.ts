// Symbolic links in the data folder are never followed for writing, wherever they come from.

import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { run } from "../../support/command.ts";
import { tempDir } from "../../support/folder.ts";
import { heartbeats } from "../../support/mail.ts";
import { startSession, startSessions, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

/** Claude Code with our plugin. The server takes the process that started it for Claude Code's. */
const CLAUDE_CODE = {
  client: "claude-code",
  env: {
    CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000001",
    CLAUDE_PLUGIN_ROOT: "/plugin",
  },
};

/** Runs one of the plugin's hooks. Resolves to its exit code. */
async function hook(dir: string, hook_event_name: string): Promise<number | null> {
  const input = JSON.stringify({ hook_event_name });
  const env = { CLAUDE_PID: String(process.pid) };
  return (await run(dir, ["hook"], { env, input })).code;
}

/** Sessions, hooks and a person at the command line do all that writes into the data folder. */
async function useIt(dir: string): Promise<void> {
  const [alpha, beta] = [
    await startSession("alpha", { dir }),
    await startSession("beta", { dir, ...CLAUDE_CODE }),
  ];
  assert.equal(await hook(dir, "SessionStart"), 0);
  await beta.call("set_name", { name: "gamma", working_on: "links" });
  await talk(dir, alpha, beta);
  await waitFor(() => heartbeats(dir).gamma, "the entry");
  await alpha.call("send", { to: "gamma", subject: "wake up" });
  const isWoken = async () => (await hook(dir, "FileChanged")) === 2;
  await waitFor(isWoken, () => `a notice for the hook; ${beta.stderr()}`);
  await beta.call("unread");
  await Promise.all([alpha.close(), beta.close()]);
}

/** Mail to one, to all and from the command line arrives. */
async function talk(dir: string, alpha: TestSession, beta: TestSession): Promise<void> {
  const sent = await alpha.call("send", { to: "beta", subject: "hello", allow_unknown: true });
  assert.match(sent.text, /^Stored as/);
  await alpha.call("broadcast", { subject: "hello all" });
  const person = { env: { IPC_SESSION_ID: "person" } };
  await run(dir, ["send", "beta", "from a person", "--allow-unknown"], person);
  await run(dir, ["unread"], person);
  await beta.waitForPush(({ meta }) => meta.subject === "from a person");
  assert.match((await beta.call("unread")).text, /^3 unread messages:/);
}

/** All files of a data folder but the messages: it is used first, so that none is forgotten. */
async function filesOf(dir: string): Promise<string[]> {
  const seen = new Set([
    "heartbeats.json",
    ".order",
    "cache.db",
    "read/alpha",
    "read/beta",
    "read/gamma",
    "read/person",
    `wake/${process.pid}`,
    `wake/${process.pid}.ready`,
  ]);
  mkdirSync(dir);
  const look = setInterval(() => {
    for (const { name } of readdirSync(dir, { withFileTypes: true }).filter((each) =>
      each.isFile(),
    ))
      seen.add(name);
  }, 1);
  await useIt(dir);
  clearInterval(look);
  return [...seen].filter((path) => !/^\.tmp-|-journal$/.test(path));
}

/** Names, kinds, times and texts of all that is in a folder. */
const contents = (folder: string): unknown[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((path) => {
      const stats = lstatSync(join(folder, path));
      return [
        path,
        stats.mode,
        stats.mtimeMs,
        stats.isFile() ? readFileSync(join(folder, path), "utf8") : "",
      ];
    });

const TARGETS: [string, (path: string) => void][] = [
  ["to a text", (path) => writeFileSync(path, "precious\n")],
  ["to an empty file", (path) => writeFileSync(path, "")],
  ["to a folder", (path) => mkdirSync(path)],
  ["to nothing", () => {}],
];

/** Puts a link in place of each file, to a target outside. Returns the folder of the targets. */
function link(dir: string, files: readonly string[], target: (path: string) => void): string {
  const outside = join(dirname(dir), "outside");
  for (const folder of [dir, outside, join(dir, "read"), join(dir, "wake")]) {
    mkdirSync(folder);
  }
  for (const [n, file] of files.entries()) {
    const path = join(outside, `target-${n}`);
    target(path);
    symlinkSync(path, join(dir, file));
  }
  return outside;
}

const noLinks = process.platform === "win32" && "needs rights on Windows";

describe("symbolic links in the data folder", { skip: noLinks }, () => {
  test("nothing outside is written through links in place of our files", async (t) => {
    const files = await filesOf(tempDir(t));
    t.diagnostic(files.join(", "));
    for (const [what, target] of TARGETS) {
      await t.test(what, async (t) => {
        const dir = tempDir(t);
        const outside = link(dir, files, target);
        const before = contents(outside);
        await useIt(dir);
        assert.deepEqual(contents(outside), before);
      });
    }
  });
});

/** Links that are so old that a lock would be taken over. */
const oldLink = (target: (path: string) => void) => (path: string) => {
  target(path);
  const longAgo = new Date(Date.now() - 3600_000);
  if (existsSync(path)) utimesSync(path, longAgo, longAgo);
};

describe("symbolic links in place of locks, which nobody acquires then", {
  skip: noLinks,
  concurrency: 4,
}, () => {
  for (const [what, target] of TARGETS) {
    test(`mail arrives without the inbox lock, a link ${what}`, async (t) => {
      const dir = tempDir(t);
      const outside = link(dir, ["inbox.lock", "read/beta.lock"], oldLink(target));
      const before = contents(outside);
      const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
      await talk(dir, alpha, beta);
      await Promise.all([alpha.close(), beta.close()]);
      assert.deepEqual(contents(outside), before);
    });

    test(`mail to all arrives without the heartbeats lock, a link ${what}`, async (t) => {
      const dir = tempDir(t);
      const outside = link(dir, ["heartbeats.json.lock"], oldLink(target));
      const before = contents(outside);
      const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
      // Without the lock no session gets its name.
      assert.match((await alpha.call("broadcast", { subject: "hello all" })).text, /^Stored as/);
      await beta.waitForPush(({ meta }) => meta.subject === "hello all");
      assert.match((await beta.call("unread")).text, /^1 unread message:/);
      await Promise.all([alpha.close(), beta.close()]);
      assert.deepEqual(contents(outside), before);
    });
  }
});
