// Names that would read as if the user, or the program itself, had spoken.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fit, isName, nameProblem } from "../../src/sessions/names.ts";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

const SPEAKERS = ["user", "User", "HUMAN", "system", "Assistant", "claude", "CLAUDE"];

test("no session can call itself user, human, system, assistant or claude; another name is suggested", async (t) => {
  const dir = tempDir(t);
  const alpha = await startSession("alpha", { dir });
  for (const name of SPEAKERS) {
    const { text, isError } = await alpha.call("set_name", { name });
    assert.equal(isError, true, text);
    assert.match(
      text,
      new RegExp(`still alpha.*"${name}" cannot be a name.*Try "session-${name}"`),
    );
    const sent = await alpha.call("send", { to: name, subject: "hello", allow_unknown: true });
    assert.equal(sent.isError, true, "nobody can have that name, so nothing can wait for it");
  }
  for (const name of ["user-1", "claudette", "super-user", "system2"]) {
    assert.equal((await alpha.call("set_name", { name })).isError, false, name);
  }
});

test("such a name is not taken from IPC_SESSION_ID, nor is a project's folder one", async (t) => {
  const dir = tempDir(t);
  const asked = await startSession("Claude", { dir });
  await waitFor(() => asked.stderr().includes("IPC_SESSION_ID not used"), "a line on stderr");
  await asked.close();
  const project = join(dir, "../claude");
  mkdirSync(project);
  const session = await startSession(undefined, { dir, cwd: project });
  const [name = ""] = Object.keys(heartbeats(dir));
  assert.match(name, /^session-claude-[0-9a-f]{4}$/);
  await session.close();
});

test("what `fit` makes of any text is a name, and `isName` agrees with `nameProblem`", () => {
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
  ];
  for (const text of [...texts, "👍", "abc", "n".repeat(65)]) {
    assert.equal(isName(fit(text)), true, `${text} became ${fit(text)}`);
    assert.equal(isName(text), nameProblem(text) === undefined, text);
  }
});
