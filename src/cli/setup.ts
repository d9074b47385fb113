import { QUESTION } from "../agents/claude/permissions.ts";
import { setupClaude, undoClaude } from "../agents/claude/setup.ts";
import { setupCodex } from "../agents/codex/setup.ts";
import { nodeProgram } from "../agents/programs.ts";
import type { Config } from "../config.ts";
import { exchangeMessage } from "./demo.ts";
import { confirm, printText } from "./print.ts";

interface SetupOptions {
  readonly plugin?: true;
  readonly codex?: true;
  readonly allow?: true;
  readonly undo?: true;
}

/** Registers this installation with Claude Code or Codex, or removes what it added. */
export async function setup(config: Config, options: SetupOptions): Promise<void> {
  const { plugin = false, codex = false, allow = false, undo = false } = options;
  const isAllowed = async (): Promise<boolean> => allow || (await confirm(QUESTION));

  if (codex) {
    setupCodex(nodeProgram(), !undo && (await isAllowed()), undo, printText);
    return;
  }
  if (undo) {
    await undoClaude(config, printText);
    return;
  }

  await setupClaude(config, { plugin, isAllowed }, printText);
  const ms = await exchangeMessage();
  printText(`It works: two servers, and a message across in ${ms.toFixed(1)} ms.`);
  printText("Claude Code sessions started from now on have it.");
}
