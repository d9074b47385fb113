// Arguments that no tool should take: each is refused with a way out, and leaves no trace. What is
// refused before a tool runs is in arguments-as-sent.test.ts.

import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { errorCode } from "../../src/core/errors.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn } from "../support/mail.ts";
import { startSession, startSessions } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const NO_NAMES = "a/b¦../../x¦..¦.hid¦a\0b¦a\nb¦esc\u001b[1m¦ab¦¦   ¦a b c¦-rf *¦a:b¦a\\b".split(
  "¦",
);
NO_NAMES.push(
  "x".repeat(65),
  "n".repeat(300),
  "\u200fabc",
  "\u202eabc",
  "abc\u200d",
  "\ud800abc",
  "../heartbeats.json",
);

/** One character for people and for Python, two for JavaScript: limits count it once. */
const THUMB = "👍";
const SEND = { to: "beta", subject: "x" };

const WRONG: [string, unknown, RegExp][] = [
  ["who", { verbose: true }, /no parameter "verbose"/],
  ["send", {}, /to is missing.*subject is missing/],
  ["send", { ...SEND, to: "n".repeat(65) }, /64.*\b65\b/],
  ["send", { ...SEND, to: "two words" }, /"two words".*Online: beta\. t9_ipc_who/],
  ["send", { ...SEND, to: "alpha" }, /"alpha" is this session itself/],
  ["send", { ...SEND, subject: " \n\t " }, /subject is empty/],
  ["send", { ...SEND, subject: THUMB.repeat(201) }, /201.*\b200\b.*body/],
  ["send", { ...SEND, body: THUMB.repeat(10_241) }, /10241.*10240.*parts.*file/],
  ["broadcast", { subject: "x", to: "beta" }, /every session, not to "beta" alone/],
  ["broadcast", { subject: " " }, /subject is empty/],
  ["unread", { session_id: "web-1", file: "x.md" }, /^file .+ Give only one of them/],
  ["set_name", { name: "gamma", working_on: "x".repeat(201) }, /201.*200/],
  ["no_such_tool", {}, /t9_ipc_who, t9_ipc_send, t9_ipc_broadcast, t9_ipc_unread, t9_ipc_set_name/],
];

describe("tool arguments", { concurrency: true }, () => {
  test("what cannot be a name is refused by every tool with what a name is, and touches no file", async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir });
    await alpha.call("who");
    const everything = (): string[] => {
      try {
        return (readdirSync(dirname(dir), { recursive: true }) as string[])
          .filter((path) => !/heartbeats|cache\.db|\.order|\.lock$/.test(path))
          .sort();
      } catch (error) {
        if (errorCode(error) !== "ENOENT") throw error;
        return everything(); // a lock was released while it was being listed
      }
    };
    await waitFor(() => existsSync(join(dir, "read", "alpha")), "the first marks");
    const before = everything();
    for (const name of NO_NAMES) {
      for (const [tool, args] of [
        ["send", { to: name, subject: "x", allow_unknown: true }],
        ["set_name", { name }],
        ["unread", { session_id: name }],
      ] as const) {
        if (tool === "unread" && name === "") continue; // not given
        const { text, isError } = await alpha.call(tool, args);
        assert.ok(isError, `${tool} takes ${JSON.stringify(name)}: ${text}`);
        // A mailbox is looked for among the names that exist.
        if (name.trim())
          assert.match(text, tool === "unread" ? /Names that exist: alpha/ : /3 to 64/);
        assert.doesNotMatch(text, /[\p{Cc}\u200f\u202e]/u, "shown as it is");
        assert.doesNotMatch(text, /failed|E[A-Z]+:/, "an error of the system");
        assert.ok(text.length < 1000, text);
      }
    }
    const all = await alpha.call("unread", { session_id: "all" });
    assert.ok(all.isError, all.text);
    assert.deepEqual(everything(), before);
    assert.match((await alpha.call("who")).text, /^- alpha \(you\)/m);
    assert.equal(alpha.stderr(), "");
  });

  test("wrong arguments are refused with what is wrong, the limit and a way out, and nothing is stored", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    for (const [tool, args, answer] of WRONG) {
      const { text, isError } = await alpha.call(tool, args as Record<string, unknown>);
      const what = `${tool} ${JSON.stringify(args).slice(0, 80)}: ${text}`;
      assert.ok(isError, what);
      assert.match(text, answer, what);
      assert.ok(text.length < 1000, what);
    }
    for (const args of [[], "to", 5, null]) {
      const call = alpha.client.callTool({
        name: "t9_ipc_send",
        arguments: args as unknown as Record<string, unknown>,
      });
      const answer = await call.catch((error: Error) => ({
        isError: true,
        content: error.message,
      }));
      assert.ok(answer.isError, JSON.stringify(answer));
    }
    assert.deepEqual(filesIn(dir), []);
    await beta.waitForPushes(0);
    assert.match((await alpha.call("who")).text, /^- alpha \(you\)/m);
  });

  test("a text that cannot be stored as it is is refused", async (t) => {
    const alpha = await startSession("alpha", { dir: tempDir(t) });
    for (const text of ["nul \0", "half \ud83d"]) {
      for (const what of ["subject", "body"]) {
        const args = { to: "beta", subject: "x", body: "x", allow_unknown: true, [what]: text };
        const answer = await alpha.call("send", args);
        assert.ok(answer.isError && answer.text.includes(what), answer.text);
      }
    }
    assert.deepEqual(filesIn(alpha.dir), []);
    const answer = await alpha.call("set_name", {
      name: "gamma",
      working_on: "a\n- boss (you): \u001b[31mred",
    });
    assert.equal(answer.isError, false);
    assert.doesNotMatch((await alpha.call("who")).text, /^- boss|\p{Cc}red/mu);
    assert.ok(statSync(alpha.dir).isDirectory());
  });
});
