import { CommanderError } from "commander";
import { reasonOf } from "../files.ts";
import { Refusal } from "../mail/draft.ts";

/** The command line was not understood: exit code 2. */
export class UsageError extends Error {}

/** The command has already printed what failed, and nothing is added to it: exit code 1. */
export class ReportedError extends Error {}

/**
 * The exit code for what a command threw: 0 after help and version, 1 if it failed, 2 for wrong
 * usage.
 */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  return error instanceof UsageError ? 2 : 1;
}

/** The line for stderr, or undefined if there is nothing to say. */
export function describeError(error: unknown): string | undefined {
  if (error instanceof CommanderError || error instanceof ReportedError) return undefined;
  if (error instanceof UsageError) return error.message;
  return error instanceof Refusal ? forCommandLine(error.message) : reasonOf(error);
}

/** Refusals are worded for a model, which has tools where the command line has commands. */
function forCommandLine(text: string): string {
  return text
    .replace(/\bt9_ipc_(?=who)/g, "t9-ipc ")
    .replace("allow_unknown: true", "--allow-unknown");
}
