import type { Agent } from "../agents/agent.ts";
import type { Mailbox } from "../core/mailbox.ts";
import type { Header } from "../core/message.ts";
import type { Presence } from "../core/presence.ts";
import type { Turns } from "../core/turns.ts";
import type { IdleWatch } from "../notify/idle-watch.ts";
import type { Notifier } from "../notify/notifier.ts";
import type { Surroundings } from "./surroundings.ts";

/** The session that calls the tools, as far as they need it. `server.ts` puts it together. */
export interface ToolContext {
  readonly agent: Agent;
  readonly mailbox: Mailbox;
  readonly presence: Presence;
  readonly notifier: Notifier;
  readonly idleWatch: IdleWatch;
  readonly around: Surroundings;
  /** Calls of `unread` take turns: what one has marked is not shown by the next. */
  readonly unreadTurns: Turns;
  /**
   * Forwards an escalation to Telegram; undefined if that is not set up. Never rejects: a failure
   * comes to the sender as a message.
   */
  readonly forward: ((header: Header, body: string) => Promise<void>) | undefined;
  /** Notes that are added to the answer of any tool. */
  sessionNotes(): string[];
  /** Opens the mailbox, unless it is open: a Codex server opens nothing before its first call. */
  start(): Promise<void>;
}
