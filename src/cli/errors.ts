import { CommanderError } from "commander";
import { type Hint, messageOf, UserError } from "../core/errors.ts";
import { toPlainText } from "./print.ts";

/** The command line was not understood: exit code 2. */
export class UsageError extends Error {}

/** A hook wakes its session with this text on standard error: exit code 2. */
export class WakeSignal extends Error {}

/** The command has already printed what failed, and nothing is added to it: exit code 1. */
export class ReportedError extends Error {}

/**
 * The exit code for what a command threw: 0 after help and version, 1 if it failed, 2 for wrong
 * usage.
 */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  return error instanceof UsageError || error instanceof WakeSignal ? 2 : 1;
}

/** The line for stderr; undefined if the error needs none. */
export function describeError(error: unknown): string | undefined {
  if (error instanceof CommanderError || error instanceof ReportedError) return undefined;
  if (error instanceof WakeSignal) return error.message;
  return `t9-ipc: ${toPlainText(reasonOf(error))}`;
}

function reasonOf(error: unknown): string {
  if (error instanceof UsageError) return error.message;
  if (!(error instanceof UserError)) return messageOf(error);
  return error.hint ? `${error.message} ${HINTS[error.hint]}` : error.message;
}

/** The next step after a refusal, in the terms of the command line. */
const HINTS: Record<Hint, string> = {
  "list-sessions": "`t9-ipc who` lists who is online.",
  "allow-unknown":
    "To leave the message for a session that is still to come, repeat with --allow-unknown.",
  "copy-file-name": "`t9-ipc log` shows the file name of each message.",
};
