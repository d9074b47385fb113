// Symbolic links in the data folder: nothing outside of it is written, however they came there.

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
import { run } from "../support/command.ts";
import { homeOf, tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { Process, SERVE } from "../support/process.ts";
import { startSession, startSessions, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const CLAUDE_CODE_SESSION_ID = "4a6f2c1e-0000-4000-8000-000000000001";

/** Sessions, a hook and a person at the command line do all that writes into the data folder. */
async function useIt(dir: string): Promise<void> {
  const env = { CLAUDE_CODE_SESSION_ID };
  const [alpha, beta] = [
    await startSession("alpha", { dir }),
    await startSession("beta", { dir, env }),
  ];
  await beta.call("set_name", { name: "gamma", working_on: "links" });
  await talk(dir, alpha, beta);
  await waitFor(() => heartbeats(dir).gamma, "the entry");
  const hook = new Process([...SERVE, "wait"], {
    cwd: homeOf(dir),
    env: { HOME: homeOf(dir), IPC_DIR: dir, ...env },
  });
  hook.child.stdin.end("{}");
  await alpha.call("send", { to: "gamma", subject: "wake up" });
  assert.equal(await hook.ended, 2, hook.stderr);
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

/** What the data folder has in it beside the messages: found by using one, so that no file is forgotten. */
async function filesOf(dir: string): Promise<string[]> {
  const seen = new Set([
    "heartbeats.json",
    ".order",
    "cache.db",
    "read/alpha",
    "read/beta",
    "read/gamma",
    "read/person",
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

/** All that is in a folder: names, kinds, times and texts. */
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

/** Puts a link in place of each of these files, to a target outside of the data folder; returns the folder of those. */
function link(dir: string, files: readonly string[], target: (path: string) => void): string {
  const outside = join(dirname(dir), "outside");
  for (const folder of [dir, outside, join(dir, "read")]) mkdirSync(folder);
  for (const [n, file] of files.entries()) {
    const path = join(outside, `target-${n}`);
    target(path);
    symlinkSync(path, join(dir, file));
  }
  return outside;
}

describe("symbolic links in the data folder", {
  skip: process.platform === "win32" && "needs rights on Windows",
}, () => {
  test("in place of its files: nothing outside is written, and mail arrives", async (t) => {
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

  test("in place of its locks, which are then never to be had: the same", async (t) => {
    for (const [what, target] of TARGETS) {
      await t.test(what, async (t) => {
        const dir = tempDir(t);
        const outside = link(
          dir,
          ["heartbeats.json.lock", "inbox.lock", "read/beta.lock"],
          (path) => {
            target(path);
            const longAgo = new Date(Date.now() - 3600_000); // so old that a lock would be taken over
            if (existsSync(path)) utimesSync(path, longAgo, longAgo);
          },
        );
        const before = contents(outside);
        const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
        await talk(dir, alpha, beta);
        await Promise.all([alpha.close(), beta.close()]);
        assert.deepEqual(contents(outside), before);
      });
    }
  });
});
