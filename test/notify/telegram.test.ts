import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const TOKEN = "123456:AAtop-secret_token";

interface Call {
  readonly url: string;
  readonly body: { chat_id: string; text: string };
  /** When it came, ms. */
  readonly at: number;
}

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const answer =
  (status: number, json: object): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(json));
  };
const ok = answer(200, { ok: true, result: { message_id: 1 } });
const cut: Answer = (_response, request) => request.socket.destroy();

/**
 * A server on loopback that answers as told, one request after the other, then with ok; what it was
 * sent.
 */
async function botApi(
  t: TestContext,
  ...answers: Answer[]
): Promise<{ api: string; calls: Call[] }> {
  const calls: Call[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    calls.push({
      url: `${request.method} ${request.url}`,
      body: JSON.parse(text),
      at: performance.now(),
    });
    (answers.shift() ?? ok)(response, request);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { api: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

async function session(t: TestContext, api: string): Promise<TestSession> {
  return startSession("alpha", {
    dir: tempDir(t),
    env: { IPC_TG_TOKEN: TOKEN, IPC_TG_CHAT: "42", IPC_TG_API: `${api}/` },
  });
}

const escalate = (alpha: TestSession, subject: string, body = "") =>
  alpha.call("broadcast", { subject, body, type: "escalation" });

/** The message that tells alpha that its escalation did not get through. */
const failure = (alpha: TestSession) => alpha.waitForPush((push) => push.meta.from === "t9-ipc");

test("an escalation reaches the chat with its sender and its body, as plain text", async (t) => {
  const { api, calls } = await botApi(t);
  const alpha = await session(t, api);
  const { text } = await escalate(alpha, "disk *full*", "on _db_ <1>\n한국어");
  assert.match(text, /being forwarded to Telegram/);
  await waitFor(() => calls.length === 1, "the request");
  assert.equal(calls[0]?.url, `POST /bot${TOKEN}/sendMessage`);
  assert.deepEqual(calls[0]?.body, {
    chat_id: "42",
    text: "[ESCALATION] disk *full*\nfrom alpha\n\non _db_ <1>\n한국어",
  });
  await alpha.call("send", { to: "beta", subject: "s", type: "escalation", allow_unknown: true });
  await waitFor(() => calls.length === 2, "the request");
  await alpha.call("send", { to: "beta", subject: "no escalation", allow_unknown: true });
  await alpha.close();
  assert.equal(calls.length, 2, "nothing else is forwarded");
  assert.ok(!alpha.stderr().includes(TOKEN));
});

test("an escalation to several sessions reaches the chat once", async (t) => {
  const { api, calls } = await botApi(t);
  const alpha = await session(t, api);
  const escalation = { type: "escalation", to: "beta,gamma", allow_unknown: true };
  for (const subject of ["one", "two"]) await alpha.call("send", { ...escalation, subject });
  const subjects = () => calls.map(({ body }) => /] (.*)/.exec(body.text)?.[1]);
  await waitFor(() => subjects().includes("two"), "the second escalation");
  assert.deepEqual(subjects(), ["one", "two"]);
});

test("the answer does not wait for a slow Telegram", async (t) => {
  let finish = () => {};
  const { api, calls } = await botApi(t, (response, request) => {
    finish = () => ok(response, request);
  });
  const alpha = await session(t, api);
  assert.match((await escalate(alpha, "slow")).text, /being forwarded/);
  await waitFor(() => calls.length === 1, "the request");
  assert.match((await alpha.call("who")).text, /alone/, "and work goes on meanwhile");
  finish();
  await escalate(alpha, "next");
  await waitFor(() => calls.length === 2, "the next request");
  assert.ok(alpha.pushes.every((push) => push.meta.from !== "t9-ipc"));
});

test("429 is waited out as long as it asks", async (t) => {
  const { api, calls } = await botApi(
    t,
    answer(429, { ok: false, description: "Too Many Requests", parameters: { retry_after: 2 } }),
  );
  const alpha = await session(t, api);
  await escalate(alpha, "again");
  await waitFor(() => calls.length === 2, "the second request");
  const [first, second] = calls as [Call, Call];
  assert.ok(second.at - first.at >= 1990, `${second.at - first.at} ms`);
  assert.deepEqual(first.body, second.body);
});

test("errors of the server and cut connections are tried again, with growing waits", async (t) => {
  const { api, calls } = await botApi(t, answer(500, {}), cut);
  const alpha = await session(t, api);
  await escalate(alpha, "persist");
  await waitFor(() => calls.length === 3, "the third request");
  const [one = 0, two = 0, three = 0] = calls.map(({ at }) => at);
  assert.ok(two - one >= 990 && three - two >= 1990, `${two - one}, ${three - two}`);
  await alpha.close();
  assert.ok(!alpha.stderr().includes("Telegram"), alpha.stderr());
});

for (const [name, status, description] of [
  ["a refusal", 400, `Bad Request: chat not found, /bot${TOKEN}/sendMessage`],
  ["a wait longer than five minutes", 429, "Too Many Requests: retry after 301"],
] as const) {
  test(`${name} is final: a line on stderr and a message for the sender, neither with the token`, async (t) => {
    const { api, calls } = await botApi(
      t,
      answer(status, { ok: false, description, parameters: { retry_after: 301 } }),
    );
    const alpha = await session(t, api);
    const { text } = await escalate(alpha, "lost");
    const push = await failure(alpha);
    const [, file = "-"] = /Stored as (\S+\.md)/.exec(text) ?? [];
    assert.ok(
      push.content.startsWith(
        `${file} is stored in the inbox, but was not forwarded: Telegram answered ${status}`,
      ),
      push.content,
    );
    assert.equal(push.meta.to, "alpha");
    assert.match((await alpha.call("unread")).text, /subject: escalation did not reach Telegram\n/);
    assert.match(
      alpha.stderr(),
      new RegExp(`escalation ${file} did not reach Telegram: Telegram answered ${status}`),
    );
    assert.equal(calls.length, 1);
    assert.ok(![push.content, alpha.stderr(), text].join().includes("top-secret"));
  });
}

test("a long text comes in parts of at most 4,096, cut at line ends, whole together and in order", async (t) => {
  const { api, calls } = await botApi(t, ok, answer(429, { parameters: { retry_after: 1 } }));
  const alpha = await session(t, api);
  const lines = Array.from({ length: 60 }, (_, i) => `${i}: ${"가".repeat(100)}`);
  const body = `${lines.join("\n")}\n${"🎉".repeat(3000)}`;
  await escalate(alpha, "long", body);
  const whole = `[ESCALATION] long\nfrom alpha\n\n${body}`;
  // The second part was asked for twice.
  const parts = () =>
    calls.map((call) => call.body.text).filter((text, i, all) => text !== all[i - 1]);
  await waitFor(
    () => parts().join("").length >= whole.length - 3,
    () => `${parts().map((part) => part.length)}`,
  );
  for (const part of parts()) {
    assert.ok(part.length <= 4096, `${part.length}`);
    assert.ok(part.isWellFormed());
  }
  assert.equal(parts().join("").replaceAll("\n", ""), whole.replaceAll("\n", ""));
  assert.ok(whole.startsWith(`${parts()[0]}\n`), "the first cut is at a line end");
});

test("without Telegram an escalation says that it is not forwarded, and how to set that up", async (t) => {
  const alpha = await startSession("alpha", { dir: tempDir(t) });
  assert.match(
    (await escalate(alpha, "nobody")).text,
    /Not forwarded.+IPC_TG_TOKEN and IPC_TG_CHAT/,
  );
});
