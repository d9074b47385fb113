// read/NAME as a person sees it who looks into the file.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../support/command.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, mail, stamp, writeMail } from "../support/mail.ts";
import { startSession } from "../support/session.ts";

const env = { IPC_SESSION_ID: "person" };
const lines = (dir: string): string[] =>
  readFileSync(join(dir, "read/person"), "utf8").split("\n").slice(0, -1);

test("sends from the command line leave no empty line, and no line each", async (t) => {
  const dir = tempDir(t);
  await startSession("alpha", { dir });
  for (const subject of ["one", "two", "three"]) {
    const { code, stderr } = await run(dir, ["send", "alpha", subject], { env });
    assert.equal(code, 0, stderr);
  }
  assert.equal(filesIn(dir).length, 3);
  for (const line of lines(dir))
    assert.match(line, /^# since \d{8}T\d{12}$|^# folder .|\.md$/, JSON.stringify(lines(dir)));
  for (const note of ["# since", "# folder"]) {
    const count = lines(dir).filter((line) => line.startsWith(note)).length;
    assert.ok(count <= 1, lines(dir).join("\n"));
  }
});

test("a session that ends right after it has read leaves its marks and no lock", async (t) => {
  const dir = tempDir(t);
  for (let n = 0; n < 10; n++) {
    const fields = { from: "hand", to: "alpha", subject: `${n}` };
    writeMail(dir, `${stamp(0, n * 1000)}-0a1b2c3d-hand-alpha-x.md`, mail(fields));
    const alpha = await startSession("alpha", { dir });
    assert.match((await alpha.call("unread")).text, /^1 unread message:/, `session ${n}`);
    await alpha.close();
    assert.deepEqual(readdirSync(join(dir, "read")), ["alpha"]);
  }
});

test("an empty note of an older version hides no mail from the person", async (t) => {
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
