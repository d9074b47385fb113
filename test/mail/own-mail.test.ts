// A session's own messages are those that it has sent, and not those that somebody else sent under
// a name that it has now.

import assert from "node:assert/strict";
import { test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { startSession, startSessions } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

test("a message from a session whose name its recipient takes over still arrives", async (t) => {
  const dir = tempDir(t);
  const [former, web] = await startSessions(["api-tests", "web-1"], { dir });
  await former.call("send", { to: "web-1", subject: "take over my name" });
  await former.close();
  await waitFor(() => !heartbeats(dir)["api-tests"], "the name to be free");
  const named = await web.call("set_name", { name: "api-tests" });
  assert.match(named.text, /now api-tests\. 1 unread message/);
  assert.match((await web.call("unread")).text, /^1 unread message:.*subject: take over my name/s);
  assert.equal((await web.waitForPushes(1))[0]?.meta.subject, "take over my name");
});

test("a message arrives if its sender's name was taken over before", async (t) => {
  const dir = tempDir(t);
  const [former, web] = await startSessions(["api-tests", "web-1"], { dir });
  await web.close();
  await former.call("send", { to: "web-1", subject: "for later" });
  await former.close();
  await waitFor(() => !heartbeats(dir)["api-tests"], "the name to be free");
  const again = await startSession("web-1", { dir });
  assert.equal((await again.call("set_name", { name: "api-tests" })).isError, false);
  await again.waitForPush(({ meta }) => meta.subject === "for later");
  assert.match((await again.call("unread")).text, /subject: for later/);
});

test("a broadcast is also the mail of the session that takes over its sender's name", async (t) => {
  const dir = tempDir(t);
  const [former, web] = await startSessions(["api-tests", "web-1"], { dir });
  await former.call("broadcast", { subject: "to everybody" });
  await web.waitForPush();
  await former.close();
  await waitFor(() => !heartbeats(dir)["api-tests"], "the name to be free");
  await web.call("set_name", { name: "api-tests" });
  assert.match((await web.call("unread")).text, /subject: to everybody/);
});

test("a session's broadcasts are never its own mail, not even renamed or restarted", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
  await alpha.call("broadcast", { subject: "first" });
  await beta.waitForPush(({ meta }) => meta.subject === "first");
  await alpha.call("set_name", { name: "gamma" });
  await alpha.call("broadcast", { subject: "second" });
  await beta.waitForPush(({ meta }) => meta.subject === "second");
  await alpha.waitForPushes(0);
  assert.match((await alpha.call("unread")).text, /^No unread messages/);
  assert.match((await beta.call("unread")).text, /^2 unread messages:/);
  await alpha.close();
  for (const name of ["gamma", "alpha"]) {
    const again = await startSession(name, { dir });
    await again.waitForPushes(0);
    assert.match((await again.call("unread")).text, /^No unread messages/, name);
    await again.close();
  }
});

test("a server killed right after its broadcast does not find it as mail later", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  await alpha.call("broadcast", { subject: "last words" });
  await alpha.kill();
  const again = await startSession("alpha", { dir });
  assert.match((await again.call("unread")).text, /^No unread messages/);
});
