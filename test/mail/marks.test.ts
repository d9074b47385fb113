// read/NAME as a person who looks into it sees it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../support/command.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn } from "../support/mail.ts";
import { startSession } from "../support/session.ts";

const env = { IPC_SESSION_ID: "person" };
const lines = (dir: string): string[] =>
  readFileSync(join(dir, "read/person"), "utf8").split("\n").slice(0, -1);

test("the command line's sends leave no empty line, and no line each", async (t) => {
  const dir = tempDir(t);
  await startSession("alpha", { dir });
  for (const subject of ["one", "two", "three"]) {
    const { code, stderr } = await run(dir, ["send", "alpha", subject], { env });
    assert.equal(code, 0, stderr);
  }
  assert.equal(filesIn(dir).length, 3);
  for (const line of lines(dir))
    assert.match(line, /^# since \d{8}T\d{12}$|\.md$/, JSON.stringify(lines(dir)));
  assert.ok(
    lines(dir).filter((line) => line.startsWith("# since")).length <= 1,
    lines(dir).join("\n"),
  );
});

test("an empty line of an older version is taken for none, and the person's mail to all is still found", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  await run(dir, ["send", "alpha", "hello"], { env });
  writeFileSync(join(dir, "read/person"), "# since \n# since \n");
  await alpha.call("broadcast", { subject: "to all" });
  await alpha.call("send", { to: "person", subject: "to you" });
  const { stdout } = await run(dir, ["unread"], { env });
  assert.match(stdout, /subject: to you/);
  assert.match((await run(dir, ["unread"], { env })).stdout, /^No unread messages/);
});

test("a person who has written is somebody to answer", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  await run(dir, ["send", "alpha", "hello"], { env });
  const answer = await alpha.call("send", { to: "person", subject: "answer" });
  assert.equal(answer.isError, false, answer.text);
  await alpha.call("broadcast", { subject: "to all, later" });
  assert.match(
    (await run(dir, ["unread"], { env })).stdout,
    /subject: answer.*subject: to all, later/s,
  );
});
