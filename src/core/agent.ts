/**
 * A session from the point of view of the program that it runs in. Each agent's folder in
 * `agents/` implements this, so the core knows none of them.
 */
export interface AgentSession {
  /** The program's name, as others see it; undefined for Claude Code. */
  readonly client?: string | undefined;
  /** The agent's process. Servers of one process serve one session. */
  readonly pid?: number | undefined;
  /** Fields that the agent adds to the session's entry in heartbeats.json. */
  readonly details?: Readonly<Record<string, unknown>>;
  /**
   * False while the session is not to be listed: a spare worker, a Codex session before its call.
   */
  mayJoin(): boolean;
  /** Identifies the conversation that is open now; undefined if the agent does not say. */
  conversation(): string | undefined;
  /** The conversation that this one goes on with under another id, in another process. */
  continues?(): string | undefined;
  /** The name that the user gave the session in the agent, in the user's words. */
  givenName(): string | undefined;
  /** The folder that the session works in now. */
  folder(): string;
}
