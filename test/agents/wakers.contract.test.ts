// Each agent's ways to be woken pass the contract that the notifier relies on.

import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { InboxSocket } from "../../src/agents/claude/inbox-socket.ts";
import { readyFile, WakeFile, wakeFile } from "../../src/agents/claude/wake-file.ts";
import { CodexQueue } from "../../src/agents/codex/queue.ts";
import type { Waker } from "../../src/notify/waker.ts";
import { systemOf } from "../support/fake-system.ts";
import { binOf, putProgram, socketOf, tempDir } from "../support/folder.ts";
import { testWaker } from "../support/waker-contract.ts";

const UNREAD = "t9_ipc_unread";

/** Remembers the last notice under way, which needs real time. */
function followed<Kind extends Waker>(waker: Kind): { waker: Kind; settle: () => Promise<void> } {
  let last: Promise<void> = Promise.resolve();
  const wake = waker.wake.bind(waker);
  waker.wake = (notice) => {
    last = wake(notice);
    return last;
  };
  return { waker, settle: () => last.catch(() => {}) };
}

testWaker("the plugin's hook", async (_t, world) => {
  const { files, processes } = systemOf(world);
  const folder = "/ipc/wake";
  const path = wakeFile(folder, processes, 42);
  files.makeFolder(folder);
  files.create(readyFile(folder, processes, 42), "");
  const notices: string[] = [];
  const waker = new WakeFile([folder], 42, systemOf(world), () => undefined);
  return {
    waker,
    // The hook removes the file and prints it.
    received() {
      const text = world.disk.text(path);
      if (text !== undefined) notices.push(text.trim());
      files.remove(path);
      return notices;
    },
    act: () => waker.onToolCall({ tool: UNREAD, meta: {} }),
    breakDown: () => files.remove(readyFile(folder, processes, 42)),
  };
});

testWaker("its inbox socket", async (t, world) => {
  const dir = tempDir(t);
  const path = socketOf(dir, "inbox.sock");
  const notices: string[] = [];
  const server = createServer((connection) => {
    let text = "";
    connection.on("data", (chunk) => {
      text += chunk;
    });
    connection.on("end", () => {
      notices.push(JSON.parse(text.split("\n")[1] ?? "").message.content);
      connection.end();
    });
  });
  await new Promise<void>((done) => server.listen(path, done));
  t.after(() => server.close());
  const { clock } = systemOf(world);
  const { waker, settle } = followed(
    new InboxSocket({
      path,
      token: "secret",
      clock,
      registered: () => undefined,
      isHeld: () => false,
    }),
  );
  return {
    waker,
    settle,
    received: () => notices,
    act: () => waker.onToolCall({ tool: UNREAD, meta: {} }),
    breakDown: () => void server.close(),
  };
});

testWaker("`codex queue`", async (t) => {
  const dir = tempDir(t);
  const script = `require("node:fs").appendFileSync(__dirname + "/notes", JSON.stringify(process.argv.at(-1)) + "\\n");`;
  putProgram(dir, "codex", script);
  const { waker, settle } = followed(new CodexQueue(join(binOf(dir), "codex")));
  const call = (tool: string): void => {
    const turn = { turn_started_at_unix_ms: Date.now() };
    waker.onToolCall({ tool, meta: { threadId: "thread", "x-codex-turn-metadata": turn } });
  };
  call("t9_ipc_who");
  return {
    waker,
    settle,
    received() {
      const lines = tryRead(join(binOf(dir), "notes"))
        .split("\n")
        .filter(Boolean);
      return lines.map((line) => JSON.parse(line).replace("--message=", ""));
    },
    act: () => call(UNREAD),
    breakDown: () => putProgram(dir, "codex", "process.exit(1);"),
  };
});

function tryRead(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
