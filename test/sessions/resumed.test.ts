// A name lasts as long as its conversation: a resumed one takes again what it was given.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { startSession, type TestSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const ONE = { CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000001" };
const TWO = { CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000002" };
const nameOf = (dir: string, session: TestSession): string =>
  Object.entries(heartbeats(dir)).find(([, { pid }]) => pid === session.pid)?.[0] ?? "";

/** A conversation of Claude Code in the project `shop`, started or resumed. */
async function conversation(
  dir: string,
  env: Record<string, string>,
  name?: string,
  client = "claude-code",
): Promise<TestSession> {
  const cwd = join(dirname(dir), "shop");
  mkdirSync(cwd, { recursive: true });
  return startSession(name, { dir, env, cwd, client });
}

/** It is given a name, and ends. */
async function named(
  dir: string,
  env: Record<string, string>,
  name: string,
  working_on?: string,
): Promise<void> {
  const session = await conversation(dir, env);
  const { text, isError } = await session.call("set_name", {
    name,
    ...(working_on && { working_on }),
  });
  assert.equal(isError, false, text);
  await session.close();
  await waitFor(() => !heartbeats(dir)[name], "its end");
}

describe("a resumed conversation", { concurrency: true }, () => {
  test("a resumed conversation has the name it was given, what it works on, and the mail that came meanwhile", async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir });
    await named(dir, ONE, "api-tests", "the API");
    const sent = await alpha.call("send", { to: "api-tests", subject: "while you were away" });
    assert.equal(sent.isError, false, sent.text);
    const again = await conversation(dir, ONE);
    assert.equal(nameOf(dir, again), "api-tests");
    assert.equal(heartbeats(dir)["api-tests"]?.working_on, "the API");
    await again.waitForPush(({ meta }) => meta.subject === "while you were away");
    assert.match((await alpha.call("who")).text, /^- api-tests: .*working on “the API”/m);
  });

  test("a conversation has the last name it was given, however often it is resumed", async (t) => {
    const dir = tempDir(t);
    await named(dir, ONE, "first-name", "one");
    await named(dir, ONE, "second-name", "two");
    for (const round of [1, 2, 3]) {
      const again = await conversation(dir, ONE);
      assert.equal(nameOf(dir, again), "second-name", `round ${round}`);
      assert.equal(heartbeats(dir)["second-name"]?.working_on, "two");
      if (round === 2) await again.kill();
      else await again.close();
    }
  });

  test("a resumed conversation yields its name to a session that holds it by then", async (t) => {
    const dir = tempDir(t);
    await named(dir, ONE, "api-tests", "the API");
    const holder = await startSession("holder", { dir });
    assert.equal((await holder.call("set_name", { name: "api-tests" })).isError, false);
    const again = await conversation(dir, ONE);
    assert.equal(heartbeats(dir)["api-tests"]?.pid, holder.pid);
    assert.match(nameOf(dir, again), /^shop-[0-9a-f]{4}$|^api-tests-2$/);
  });

  test("a name belongs to one conversation: another one in the same folder does not have it", async (t) => {
    const dir = tempDir(t);
    await named(dir, ONE, "api-tests");
    const other = await conversation(dir, TWO);
    assert.match(nameOf(dir, other), /^shop-[0-9a-f]{4}$/);
    const none = await conversation(dir, {}, undefined, "test");
    assert.match(nameOf(dir, none), /^shop-[0-9a-f]{4}$/);
  });

  test("a resumed conversation goes by IPC_SESSION_ID unless it was given a name", async (t) => {
    const dir = tempDir(t);
    const first = await conversation(dir, TWO);
    await first.close();
    await named(dir, ONE, "api-tests");
    const given = await conversation(dir, ONE, "asked-for");
    assert.equal(nameOf(dir, given), "api-tests");
    await given.close();
    const asked = await conversation(dir, TWO, "asked-for");
    assert.equal(nameOf(dir, asked), "asked-for");
  });
});
