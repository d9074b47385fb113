// What the tests here have in common. They run on Windows, or under Wine.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { type Options, startSession, type TestSession } from "../../support/session.ts";

/** The real Claude Code; undefined if there is none. */
export const CLAUDE = process.env.CLAUDE_BIN || undefined;
export const needsClaude = {
  skip: !CLAUDE && "no claude.exe: CLAUDE_BIN names one",
  timeout: 120_000,
};
/** For what changes the machine. */
export const needsWine = { skip: !process.env.T9_IPC_WINE && "only under Wine" };

export interface Folder {
  /** The data folder. */
  readonly dir: string;
  start(name: string | undefined, options?: Partial<Options>): Promise<TestSession>;
}

/** A data folder and the means to start servers in it. All end with the test. */
export function makeFolder(t: TestContext): Folder {
  const dir = tempDir(t);
  const sessions: TestSession[] = [];
  // Hooks run in the order of their making: tempDir's own waits for what runs in its folder.
  t.after(() => Promise.all(sessions.map((session) => session.close().catch(() => {}))));
  return {
    dir,
    async start(name, options = {}) {
      const session = await startSession(name, { dir, ...options });
      sessions.push(session);
      return session;
    },
  };
}

/** The answer of a tool, which must not be a refusal. */
export async function ask(session: TestSession, tool: string, args = {}): Promise<string> {
  const { text, isError } = await session.call(tool, args);
  assert.ok(!isError, `${tool}: ${text}`);
  return text;
}
