// Folders and names as only Windows has them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mail, stamp, writeMail } from "../../support/mail.ts";
import { ask, makeFolder } from "./windows.ts";

/** A drive that is not there. */
const absent = [..."QRSTUVWXY"].map((letter) => `${letter}:\\`).find((root) => !existsSync(root));

test("a data folder on an absent drive is a clear refusal", { timeout: 30_000 }, async (t) => {
  const { start } = makeFolder(t);
  const alpha = await start("alpha", { env: { IPC_DIR: `${absent}mail\\ipc` } });
  const message = { to: "beta_two", subject: "s", body: "b", allow_unknown: true };
  const sent = await alpha.call("send", message);
  assert.ok(sent.isError, sent.text);
  assert.match(sent.text, /nothing was stored: ENOENT/);
  const unread = await alpha.call("unread");
  assert.match(unread.text, /cannot be read: .*ENOENT/);
  assert.ok((await alpha.call("set_name", { name: "alpha_two" })).isError);
});

test("letter case and slashes do not make two data folders of one", async (t) => {
  const { dir, start } = makeFolder(t);
  const drive = dir[0] ?? "";
  const spellings = [
    dir,
    drive.toLowerCase() + dir.slice(1),
    drive.toUpperCase() + dir.slice(1).toUpperCase(),
    dir.replaceAll("\\", "/"),
  ];
  const sessions = await Promise.all(
    spellings.map((spelling, n) => start(`session_${n}`, { env: { IPC_DIR: spelling } })),
  );
  for (const session of sessions) {
    const who = await ask(session, "who");
    for (const n of sessions.keys()) assert.match(who, new RegExp(`session_${n}`));
  }
});

test("names of devices are refused with a suggestion, and mail from them is read", async (t) => {
  const { dir, start } = makeFolder(t);
  const alpha = await start("alpha");
  for (const name of ["con", "NUL", "aux", "prn", "com1", "LPT9"]) {
    const { text, isError } = await alpha.call("set_name", { name });
    assert.ok(isError, `${name}: ${text}`);
    assert.match(text, /device on Windows.*Try "session-/);
  }
  // From another machine, where that is a name like any other.
  const fields = { from: "con", to: "alpha", subject: "from con", created: "2026-01-01 00:00:00" };
  writeMail(dir, `${stamp()}-0123abcd-con-alpha-from_con.md`, mail(fields, "hello"));
  assert.match(await ask(alpha, "unread"), /from con[\s\S]*hello/);
});

test("a folder with spaces, brackets and Hangul works", async (t) => {
  const { dir, start } = makeFolder(t);
  const odd = join(dir, "a b (c) [d] & 한글 %PATH%");
  const alpha = await start("alpha", { env: { IPC_DIR: odd } });
  const beta = await start("beta_two", { env: { IPC_DIR: odd } });
  await ask(alpha, "send", { to: "beta_two", subject: "s", body: "across" });
  assert.match(await ask(beta, "unread"), /across/);
  assert.ok(existsSync(join(odd, "heartbeats.json")));
});
