import { QUESTION } from "../agents/claude/permissions.ts";
import { setupClaude, undoClaude } from "../agents/claude/setup.ts";
import { setupCodex } from "../agents/codex/setup.ts";
import { nodeProgram } from "../agents/programs.ts";
import type { Print } from "../agents/report.ts";
import type { Config } from "../config.ts";
import { demo } from "./demo.ts";
import { ask, type Options } from "./print.ts";

/** Registers this installation with Claude Code for all projects, or takes that back; gives the exit code. */
export async function setup(config: Config, options: Options, print: Print): Promise<number> {
  const { undo, plugin, allow, codex } = options;
  const isAllowed = async () => allow === true || (await ask(QUESTION));
  if (codex) return setupCodex(nodeProgram(), !undo && (await isAllowed()), undo === true, print);
  if (undo) {
    await undoClaude(config, print);
    return 0;
  }
  await setupClaude(config, { plugin: plugin === true, isAllowed }, print);
  print(`It works: two servers, and a message across in ${(await demo(() => 0)).toFixed(1)} ms.`);
  return print("Claude Code sessions started from now on have it.");
}
