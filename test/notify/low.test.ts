// Priority low: news that nobody waits for. It wakes nobody, and is told when its reader is at work
// anyway.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, test } from "node:test";
import { run } from "../support/command.ts";
import { socketOf, tempDir } from "../support/folder.ts";
import { filesIn, mail, readByLine, readMail, stamp, writeMail } from "../support/mail.ts";
import { startSession, startSessions, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** Sends news that nobody waits for. */
async function sendLow(from: TestSession, to: string, subject: string): Promise<string> {
  const { text, isError } = await from.call("send", {
    to,
    subject,
    priority: "low",
    allow_unknown: true,
  });
  assert.equal(isError, false, text);
  return text;
}

describe("priority low", { concurrency: true }, () => {
  test("is stored as such, and the send's answer says that it wakes nobody", async (t) => {
    const dir = tempDir(t);
    const [alpha] = await startSessions(["alpha", "beta"], { dir });
    const text = await sendLow(alpha, "beta", "news");
    assert.match(text, /^Stored as .*\blow\b/s);
    assert.equal(readByLine(readMail(dir, filesIn(dir)[0] ?? "")).fields.priority, "low");
    const all = await alpha.call("broadcast", { subject: "news for all", priority: "low" });
    assert.match(all.text, /^Stored as .*\blow\b/s);
    assert.doesNotMatch(
      (await alpha.call("send", { to: "beta", subject: "urgent" })).text,
      /\blow\b/,
    );
  });

  test("is never pushed, and told on the next tool result, once", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await sendLow(alpha, "beta", "news");
    await alpha.call("broadcast", { subject: "news for all", priority: "low" });
    await beta.waitForPushes(0);
    assert.match((await beta.call("who")).text, /2 .*messages?, from alpha.*“news”/);
    await alpha.call("send", { to: "beta", subject: "urgent" });
    await beta.waitForPushes(1);
    assert.match((await beta.call("unread")).text, /^3 unread messages:/);
    assert.doesNotMatch((await beta.call("who")).text, /“news”/);
  });

  test("by hand is the same: stored by anybody, pushed to nobody", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    const file = `${stamp(0, 1)}-0a1b2c3d-hand-beta-x.md`;
    writeMail(
      dir,
      file,
      mail({ from: "hand", to: "beta", subject: "by hand", priority: "low" }, "x"),
    );
    await beta.waitForPushes(0);
    assert.match((await beta.call("unread")).text, /subject: by hand/);
  });

  test("there before the session starts is not pushed at its start either", async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir });
    await sendLow(alpha, "beta", "news");
    const beta = await startSession("beta", { dir });
    await beta.waitForPushes(0);
    assert.match((await beta.call("who")).text, /1 .*message.*“news”/);
  });

  test("is not pointed to on the session's inbox socket", async (t) => {
    const dir = tempDir(t);
    const path = socketOf(dir, "socket");
    let posted = "";
    const server = createServer((socket) => {
      socket.setEncoding("utf8").on("data", (text: string) => {
        posted += text;
      });
    }).listen(path);
    await once(server, "listening");
    t.after(() => server.close());
    const alpha = await startSession("alpha", { dir });
    const env = { CLAUDE_CODE_MESSAGING_SOCKET: path, CLAUDE_CODE_MESSAGING_TOKEN: "x" };
    const beta = await startSession("beta", { dir, env, client: "claude-code" });
    await beta.client.listTools();
    await sendLow(alpha, "beta", "news");
    await beta.waitForPushes(0);
    await alpha.call("send", { to: "beta", subject: "urgent" });
    await waitFor(() => posted.includes("urgent"), "the post");
    assert.doesNotMatch(posted, /news|2 new/);
  });

  test("is what t9_ipc_broadcast's description advises for news that nobody waits for", async (t) => {
    const alpha = await startSession("alpha", { dir: tempDir(t) });
    const { tools } = await alpha.client.listTools();
    for (const name of ["t9_ipc_broadcast", "t9_ipc_send"]) {
      const tool = tools.find((each) => each.name === name);
      const { priority } = (tool?.inputSchema.properties ?? {}) as Record<
        string,
        { enum?: string[] }
      >;
      assert.ok(priority?.enum?.includes("low"), `${name}: ${priority?.enum}`);
    }
    assert.match(
      tools.find(({ name }) => name === "t9_ipc_broadcast")?.description ?? "",
      /\blow\b/,
    );
  });

  test("can be given on the command line", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    const { code, stdout, stderr } = await run(dir, ["send", "beta", "news", "--priority", "low"]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^Stored as /);
    await beta.waitForPushes(0);
    assert.match((await beta.call("unread")).text, /priority: low/);
  });
});
