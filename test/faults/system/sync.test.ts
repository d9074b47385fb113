// After the answer "Stored", the message is brought to the disk in the background. Only strace
// tells a synced file from one that is not.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { filesIn } from "../../support/mail.ts";
import { SERVE, works } from "../../support/process.ts";
import { startSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

const noStrace =
  !works("strace", "-f", "-e", "trace=fsync", "true") && "needs strace, and leave to trace";

/** The server under strace: what it syncs and writes, with the paths, a line each. */
const traced = (log: string, ...options: string[]): string[] => [
  ...[
    "strace",
    "-f",
    "-y",
    "-ttt",
    "-s",
    "300",
    "-e",
    "trace=fsync,fdatasync,write,writev",
    "-e",
    "signal=none",
  ],
  ...[...options, "-o", log, ...SERVE],
];

const linesOf = (log: string): string[] =>
  existsSync(log) ? readFileSync(log, "utf8").split("\n") : [];
const isSync = (line: string): boolean => /\bf(data)?sync\(/.test(line);
/** Seconds since 1970, as strace says them. */
const timeOf = (line: string): number => Number(/\b(\d{9,}\.\d+)\b/.exec(line)?.[1]);

describe("stored messages", { skip: noStrace }, () => {
  test("a message and its folder are synced right after the answer", async (t) => {
    const dir = tempDir(t);
    const log = join(dirname(dir), "trace");
    const alpha = await startSession("alpha", { dir, command: traced(log) });
    const { text } = await alpha.call("send", {
      to: "beta",
      subject: "kept",
      body: "text",
      allow_unknown: true,
    });
    const [file = ""] = filesIn(dir);
    assert.ok(text.includes(file));
    const inbox = join(dir, "inbox");
    const synced = (path: string) =>
      linesOf(log).findIndex((line) => isSync(line) && line.includes(`<${path}>`));
    await waitFor(() => synced(join(inbox, file)) >= 0, "the file to be synced");
    await waitFor(() => synced(inbox) >= 0, "the folder to be synced");
    const answered = linesOf(log).findIndex(
      (line) => /write/.test(line) && line.includes("Stored as"),
    );
    assert.ok(
      answered >= 0 && answered < synced(join(inbox, file)),
      "the answer waited for the disk",
    );
    const late = timeOf(linesOf(log)[synced(inbox)] ?? "") - timeOf(linesOf(log)[answered] ?? "");
    t.diagnostic(`${(late * 1000).toFixed(1)} ms after the answer, under strace`);
    assert.ok(late < 1, `${late} s after the answer`);
  });

  test("messages that are sent at once are synced together", async (t) => {
    const dir = tempDir(t);
    const log = join(dirname(dir), "trace");
    const alpha = await startSession("alpha", { dir, command: traced(log) });
    const count = 100;
    const send = (_: unknown, n: number) =>
      alpha.call("send", { to: "beta", subject: `${n}`, allow_unknown: true });
    await Promise.all(Array.from({ length: count }, send));
    const files = filesIn(dir);
    assert.equal(files.length, count);
    const syncs = () => linesOf(log).filter(isSync);
    const all = () => files.every((file) => syncs().some((line) => line.includes(file)));
    await waitFor(all, () => `${syncs().length} of ${count} files`);
    const ofFolder = () => syncs().filter((line) => line.includes(`<${join(dir, "inbox")}>`));
    const folder = await waitFor(
      () => ofFolder().length > 0 && ofFolder(),
      "the folder to be synced",
    );
    assert.ok(
      folder.length >= 1 && folder.length <= count / 4,
      `the folder was synced ${folder.length} times`,
    );
  });

  test("messages are sent as ever if the file system refuses to sync", async (t) => {
    const dir = tempDir(t);
    const log = join(dirname(dir), "trace");
    const refuse = ["-e", "inject=fsync:error=EINVAL", "-e", "inject=fdatasync:error=EINVAL"];
    const alpha = await startSession("alpha", { dir, command: traced(log, ...refuse) });
    const beta = await startSession("beta", { dir });
    for (let n = 0; n < 5; n++) {
      const { text } = await alpha.call("send", { to: "beta", subject: `${n}` });
      assert.match(text, /^Stored as/);
    }
    await beta.waitForPushes(5);
    await waitFor(() => linesOf(log).some(isSync), "an attempt to sync");
    assert.match((await alpha.call("who")).text, /beta/);
    assert.ok((alpha.stderr().match(/\n/g) ?? []).length <= 1, alpha.stderr());
  });
});
