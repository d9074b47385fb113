import { setupClaude, undoClaude } from "../agents/claude/setup.ts";
import { setupCodex, undoCodex } from "../agents/codex/setup.ts";
import type { Config } from "../config.ts";
import { exchangeMessage } from "./demo.ts";
import { confirm, printText } from "./print.ts";

const QUESTION = [
  "A session that mail wakes while you are away stops if it has to ask you before it uses a tool.",
  "May it use the five tools of t9-ipc, and nothing else, without asking?",
].join("\n");

/** @param theirs the command of the status line that the user has */
function statusLineQuestion(theirs: string | undefined): string {
  const what = "your session's name, its unread mail and who is online";
  if (theirs === undefined) return `Show ${what} in Claude Code's status line?`;
  return `You have a status line (${theirs}). Show ${what} in a line below it?`;
}

interface SetupOptions {
  readonly plugin?: true;
  readonly codex?: true;
  readonly allow?: true;
  readonly statusline?: true;
  readonly undo?: true;
}

/**
 * Registers this installation with Claude Code or Codex, or removes what an earlier setup added.
 */
export async function setup(config: Config, options: SetupOptions): Promise<void> {
  const { plugin = false, codex = false, allow = false, undo = false } = options;
  const isAllowed = async (): Promise<boolean> => allow || (await confirm(QUESTION));
  const isStatusLineWanted = async (theirs: string | undefined): Promise<boolean> =>
    options.statusline || (await confirm(statusLineQuestion(theirs)));

  if (undo) {
    if (codex) undoCodex(config, printText);
    else await undoClaude(config, printText);
    return;
  }
  if (codex) {
    setupCodex(config, await isAllowed(), printText);
    return;
  }

  await setupClaude(config, { plugin, isAllowed, isStatusLineWanted }, printText);
  const ms = await exchangeMessage();
  printText(`It works: two servers, and a message across in ${ms.toFixed(1)} ms.`);
  printText("Claude Code sessions started from now on have it.");
}
