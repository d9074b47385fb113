// Names that would read as if the user, or the program itself, had spoken.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { explainInvalidName, isName, toName } from "../../src/core/names.ts";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const SPEAKERS = ["user", "User", "HUMAN", "system", "Assistant", "claude", "CLAUDE", "t9-ipc"];

test("a session cannot take a speaker's name, and the answer suggests another one", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  for (const name of SPEAKERS) {
    const { text, isError } = await alpha.call("set_name", { name });
    assert.equal(isError, true, text);
    assert.match(
      text,
      new RegExp(`still alpha.*"${name}" cannot be a session's name.*Try "session-${name}"`),
    );
    const sent = await alpha.call("send", { to: name, subject: "hello", allow_unknown: true });
    assert.equal(sent.isError, true, "nobody can have that name, so nothing can wait for it");
  }
  for (const name of ["user-1", "claudette", "super-user", "system2"]) {
    assert.equal((await alpha.call("set_name", { name })).isError, false, name);
  }
});

test("a speaker's name is taken from neither IPC_SESSION_ID nor the folder", async (t) => {
  const dir = tempDir(t);
  const asked = await startSession("Claude", { dir });
  await waitFor(() => asked.stderr().includes("IPC_SESSION_ID is not used"), "a line on stderr");
  await asked.close();
  const project = join(dir, "../claude");
  mkdirSync(project);
  await startSession(undefined, { dir, cwd: project });
  const [name = ""] = await waitFor(() => {
    const names = Object.keys(heartbeats(dir));
    return names.length > 0 && names;
  }, "the session on the list");
  assert.match(name, /^session-claude-[0-9a-f]{4}$/);
});

test("`toName` makes a name of any text, and `isName` agrees with `explainInvalidName`", () => {
  const texts = [
    ...SPEAKERS,
    "all",
    "Broadcast",
    "",
    "-",
    "ab",
    "a b",
    "--user--",
    "../system",
    "가".repeat(90),
    "𠀀".repeat(90),
    "👍",
    "abc",
    "n".repeat(65),
  ];
  for (const text of texts) {
    assert.equal(isName(toName(text)), true, `${text} became ${toName(text)}`);
    assert.equal(isName(text), explainInvalidName(text) === undefined, text);
  }
});
