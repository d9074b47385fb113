// Codex on Windows, as npm installs it: a codex.cmd that starts Node. It is a fake one, which notes
// how it was called.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { homeOf } from "../../support/folder.ts";
import { waitFor } from "../../support/wait.ts";
import { ask, makeFolder } from "./windows.ts";

test("a Codex session is woken through codex.cmd, and a subject starts no program", async (t) => {
  const { dir, start } = makeFolder(t);
  const home = homeOf(dir);
  const bin = join(home, "npm");
  mkdirSync(bin);
  // As npm's shims do: cmd.exe reads the arguments a second time.
  writeFileSync(
    join(bin, "codex.cmd"),
    `@ECHO off\r\n"${process.execPath}" "%~dp0\\codex.js" %*\r\n`,
  );
  const script = `require("node:fs").appendFileSync(__dirname + "/calls", JSON.stringify(process.argv.slice(2)) + "\\n")`;
  writeFileSync(join(bin, "codex.js"), script);

  const system = join(process.env.SYSTEMROOT ?? "C:\\Windows", "system32"); // has cmd.exe
  const codex = await start(undefined, {
    client: "codex-mcp-client",
    env: { PATH: `${bin};${system}` },
  });
  const thread = "0199a213-81c0-7800-8aa1-bbab2a035a53";
  const call = { name: "t9_ipc_set_name", arguments: { name: "codex_one" } };
  await codex.client.callTool({ ...call, _meta: { threadId: thread, sessionId: thread } });

  const alpha = await start("alpha");
  const subject = `a" & echo x> "${home}\\broken" & "%PATH%`;
  await ask(alpha, "send", { to: "codex_one", subject, body: "b" });
  const calls = join(bin, "calls");
  const read = () => existsSync(calls) && readFileSync(calls, "utf8");
  const line = await waitFor(read, () => `codex.cmd is called; ${codex.stderr()}`);
  const [queue, to, message] = JSON.parse(line.split("\n")[0] ?? "");
  assert.deepEqual([queue, to], ["queue", `--thread=${thread}`]);
  assert.match(message, /^--message=t9-ipc: 1 new message, from alpha/);
  assert.equal(existsSync(join(home, "broken")), false, "the subject was run as a command");
  assert.doesNotMatch(message, new RegExp(bin.replaceAll("\\", "\\\\")), "%PATH% was replaced");
});
