/** Facts about the session that Codex sends with each tool call, in `_meta` (seen in 0.169). */
export interface CodexCall {
  /** The conversation that calls. Codex starts one server for each. */
  readonly thread: string;
  /** The user's conversation that it works for: itself, or another one for a sub-agent. */
  readonly session: string;
  /** True under `codex exec`, which ends when its turn does. */
  readonly isExec: boolean;
  /** When the turn began, in ms since 1970. */
  readonly turnBegan: number | undefined;
}

/** Undefined if the call does not come from Codex. */
export function parseCodexCall(meta: Readonly<Record<string, unknown>>): CodexCall | undefined {
  const { threadId: thread, sessionId } = meta;
  if (typeof thread !== "string") return undefined;
  const turn = Object(meta["x-codex-turn-metadata"]) as Record<string, unknown>;
  const began = turn.turn_started_at_unix_ms;
  return {
    thread,
    session: typeof sessionId === "string" ? sessionId : thread,
    isExec: turn.turn_trigger === "exec",
    turnBegan: typeof began === "number" ? began : undefined,
  };
}
