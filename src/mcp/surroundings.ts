import type { RegisteredSession } from "../agents/claude/registry.ts";
import type { Entry, Session } from "../core/heartbeats.ts";
import type { Mailbox } from "../core/mailbox.ts";
import { duration, oneLine } from "../core/text.ts";

/** Sources of the facts in answers. */
export interface Surroundings {
  readonly mailbox: Mailbox;
  /** The most that the client shows the model of an answer. */
  readonly maxBytes: number;
  /** The state of a session, as its agent reports it. */
  readonly statusOf: (entry: Readonly<Entry>) => RegisteredSession | undefined;
  /** Sessions of this user that run without t9-ipc. */
  readonly unlisted: (online: readonly Session[]) => readonly RegisteredSession[];
  /** In ms since 1970. */
  readonly now: () => number;
}

/** "idle since 3 min", "waits for its user (permission prompt) since 12 s". */
export function activityText(
  entry: Readonly<Entry>,
  { statusOf, now }: Surroundings,
): string | undefined {
  const { status, waitingFor, since } = statusOf(entry) ?? {};
  if (status === undefined) return undefined;
  const what =
    status === "waiting" ? `waits for its user (${oneLine(waitingFor ?? "?", 80)})` : status;
  return since === undefined ? what : `${what} since ${duration(now() - since)}`;
}

export function lastCallText(entry: Readonly<Entry>, { now }: Surroundings): string {
  if (entry.host === undefined) return `last seen ${oneLine(entry.timestamp)}`;
  if (entry.last_call === undefined) return "no tool call yet";
  return `last tool call ${duration(now() - entry.last_call)} ago`;
}
