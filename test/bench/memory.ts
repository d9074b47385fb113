// What a server keeps in memory, by heap snapshots. These take half a minute of processor time and
// are the only way to see that nothing grows with the days, so they have a command of their own:
// `npm run test:memory`.

import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { filesIn, heartbeats, localTime, mail, stamp, writeMail } from "../support/mail.ts";
import { SERVER } from "../support/process.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** The server with code of ours in its process. */
const withCode = (code: string): string[] => [
  ...[process.execPath, "--import", `data:text/javascript,${encodeURIComponent(code)}`],
  SERVER,
];

let sequence = 0;

/** A message that was stored just now. */
function put(dir: string, _days: number, fields: Record<string, string> = {}): string {
  const { to = "beta" } = fields;
  const file = `${stamp(0, ++sequence)}-0a1b2c3d-hand-${to.slice(0, 16)}-x.md`;
  writeMail(dir, file, mail({ from: "hand", to, subject: "x", ...fields }));
  return file;
}

/** The texts in a server's memory: a leak of headers or names shows in no answer. */
async function textsIn(session: TestSession, path: string): Promise<string[]> {
  rmSync(path, { force: true });
  process.kill(session.pid, "SIGUSR2");
  await waitFor(() => existsSync(`${path}.done`), "the snapshot");
  const { strings } = JSON.parse(readFileSync(path, "utf8")) as { strings: string[] };
  rmSync(`${path}.done`);
  return strings;
}

const withSnapshot = (path: string): string[] =>
  withCode(`import { writeHeapSnapshot } from "node:v8"; import { writeFileSync } from "node:fs";
    const path = ${JSON.stringify(path)};
    process.on("SIGUSR2", () => { writeHeapSnapshot(path); writeFileSync(path + ".done", ""); });`);

describe("the memory of a server", () => {
  test("a server holds nothing of messages that were read and have left the inbox", async (t) => {
    const dir = tempDir(t);
    const snapshot = join(dirname(dir), "snapshot");
    const beta = await startSession("beta", { dir, command: withSnapshot(snapshot) });
    const count = 500;
    for (let n = 0; n < count; n++) put(dir, 0, { subject: `left behind ${n}` });
    await waitFor(
      () => beta.pushes.length >= count,
      () => `${beta.pushes.length} pushes`,
    );
    // Nothing but `unread` is called, as by a session that only receives.
    for (let text = ""; !text.startsWith("No unread"); ) text = (await beta.call("unread")).text;
    const held = (strings: string[]): number =>
      strings.filter((text) => /^left behind \d+$|subject: left behind/.test(text)).length;
    assert.ok(held(await textsIn(beta, snapshot)) > 0, "the test does not see what is held");
    for (const file of filesIn(dir)) rmSync(join(dir, "inbox", file));
    // The folder is listed every two seconds.
    let left = count;
    await waitFor(
      async () => {
        await beta.call("unread");
        left = held(await textsIn(beta, snapshot));
        return left <= 10;
      },
      () => `nothing to be held of ${left} messages`,
      20_000,
    );
  });

  test("a server holds nothing of sessions of other hosts that have gone", async (t) => {
    const dir = tempDir(t);
    const snapshot = join(dirname(dir), "snapshot");
    const beta = await startSession("beta", { dir, command: withSnapshot(snapshot) });
    const held = (strings: string[]): number =>
      strings.filter((text) => /^foreign-\d+$/.test(text)).length;
    const foreign = (n: number) => [
      `foreign-${n}`,
      {
        timestamp: localTime(),
        status: "active",
        pid: 1,
        working_on: "",
        host: "elsewhere",
        beat: Date.now(),
      },
    ];
    const own = await waitFor(() => heartbeats(dir).beta, "the entry");
    const write = (others: object): void =>
      writeFileSync(join(dir, "heartbeats.json"), JSON.stringify({ ...others, beta: own }));
    write(Object.fromEntries(Array.from({ length: 300 }, (_, n) => foreign(n))));
    assert.match((await beta.call("who")).text, /^301 sessions online/);
    // Repeated, since the server may write its own list in between.
    await waitFor(async () => {
      write({});
      return (await beta.call("who")).text.startsWith("Nobody else");
    }, "the others to be gone");
    const left = held(await textsIn(beta, snapshot));
    assert.ok(left <= 10, `${left} names are held`);
  });
});
