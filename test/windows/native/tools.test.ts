// The five tools on Windows, between two servers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { filesIn, readMail } from "../../support/mail.ts";
import { ask, makeFolder } from "./windows.ts";

test("the five tools work between two servers", async (t) => {
  const { dir, start } = makeFolder(t);
  const alpha = await start("alpha");
  const beta = await start("beta_two");

  assert.match(await ask(alpha, "who"), /beta_two/);
  const began = performance.now();
  await ask(alpha, "send", { to: "beta_two", subject: "schema: moved", body: "first\nsecond" });
  const push = await beta.waitForPush(({ meta }) => meta.from === "alpha");
  t.diagnostic(`a message was announced after ${(push.at - began).toFixed(1)} ms`);
  assert.equal(push.content, "first\nsecond");

  const [file = ""] = filesIn(dir);
  assert.doesNotMatch(readMail(dir, file), /\r/, "line ends are the same on every system");
  assert.match(await ask(beta, "unread"), /first\nsecond/);
  assert.match(await ask(beta, "unread"), /No unread/);

  const reply = { to: "alpha", subject: "yes", body: "done", reply_to: file };
  await ask(beta, "send", reply);
  await alpha.waitForPush(({ meta }) => meta.from === "beta_two");
  await ask(beta, "broadcast", { subject: "to all", body: "hello all" });
  assert.match(await ask(alpha, "unread"), /done[\s\S]*hello all/);

  await ask(beta, "set_name", { name: "gamma", working_on: "the parser" });
  assert.match(await ask(alpha, "who"), /gamma[\s\S]*the parser/);
  await ask(alpha, "send", { to: "beta_two", subject: "old name", body: "still arrives" });
  assert.match(await ask(beta, "unread"), /still arrives/);
  for (const session of [alpha, beta]) assert.deepEqual(session.faults, []);
});

test("a server leaves the list and ends when its client closes it", async (t) => {
  const { start } = makeFolder(t);
  const alpha = await start("alpha");
  const beta = await start("beta_two");
  assert.match(await ask(alpha, "who"), /beta_two/);
  const ms = await beta.close();
  t.diagnostic(`the server ended ${ms.toFixed(0)} ms after its client closed it`);
  assert.doesNotMatch(await ask(alpha, "who"), /beta_two/);
});
