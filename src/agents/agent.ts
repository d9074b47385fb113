import type { AgentSession } from "../core/agent.ts";
import type { Waker } from "../notify/waker.ts";

/**
 * Who made a tool call. A sub-agent is not the session: what it reads stays unread for the session,
 * and it cannot rename the session.
 */
export type Caller = "session" | "sub-agent";

/**
 * The program that started this server, as it named itself at `initialize`. One folder for each.
 */
export interface Agent {
  readonly session: AgentSession;
  /** Ways to wake the session beside the channel notification, the best one first. */
  readonly wakers: readonly Waker[];
  /** False for clients that are known not to show channel notifications. */
  readonly showsChannels: boolean;
  /** True if the client was started with channels. */
  readonly expectsChannel: boolean;
  /** Full tool names start with this in the client. */
  readonly toolPrefix: string;
  /** How many bytes of an answer the client shows the model. */
  readonly maxAnswerBytes: number;
  /** Instructions for the model, the most important first. */
  readonly instructions: string;
  /** True between the client's turns; undefined if the client does not say. */
  isIdle(): boolean | undefined;
  /** Notes a call. Resolves to who made it as soon as that is known, within `patienceMs`. */
  identifyCaller(
    meta: Readonly<Record<string, unknown>>,
    patienceMs: number,
  ): Caller | Promise<Caller>;
}

/** `clientInfo` of the `initialize` request. */
export interface ClientInfo {
  readonly name: string;
  readonly version: string;
}
