import { crossSessionInbound, settingsLayers } from "../agents/claude/settings.ts";
import type { Config } from "../config.ts";
import type { Entry } from "../sessions/entry.ts";
import { type Agent, isSame } from "../sessions/process.ts";

/** How mail reaches a session: the words that `t9_ipc_who` and `t9_ipc_send` use. */
export type Route =
  | "channel"
  | "inbox socket"
  | "codex queue"
  | typeof BY_TOOL_RESULT
  | "on its next tool call only";
export const BY_TOOL_RESULT = "on its next tool call";

/** A way to wake a session with a pointer, beside the channel notification, which is always sent. */
export interface Waker {
  readonly route: Route;
  /** False while an earlier pointer covers what came since, and where the session cannot be woken. */
  canWake(): boolean;
  /** Rejects, with the reason, where the session was not reached. */
  wake(pointer: string): Promise<void>;
  /** To be told of each tool call of the session, with the call's `_meta`. */
  called(tool: string, meta: Readonly<Record<string, unknown>>): void;
  /** Why the session is not reached, in words for the others; undefined where nothing is known against it. */
  problem(): string | undefined;
}

/**
 * The one path beside the channel notification. `auto` takes the first that holds: Claude Code was started with a
 * channel flag that names us, on a provider that has channels; it gave us an inbox socket, and the user's settings let
 * our pointers through. The rest is left to the line on the next tool result, and to a hook where one waits (see
 * `routeOf`).
 */
export function chooseRoute(config: Config, agent: Agent | undefined): Route {
  const { push, socket, hasChannels, log } = config;
  if (agent?.kind === "codex" && push === "auto") return "codex queue";
  if (push === "channel" || (push === "auto" && hasChannels && channelFlag(agent?.argv ?? [])))
    return "channel";
  if ((push === "socket" || push === "auto") && socket && !holdsPointers(config))
    return "inbox socket";
  if (push === "socket")
    log("IPC_PUSH=socket, but there is no inbox socket to use: mail is told on tool results");
  return push === "none" ? "on its next tool call only" : BY_TOOL_RESULT;
}

/** Do the user's settings keep from the session what is posted to its inbox socket? */
export function holdsPointers({ claudeDir, folder }: Config): boolean {
  const rule = crossSessionInbound(settingsLayers(claudeDir, folder));
  return rule === "hold" || rule === "refuse";
}

/** Does `--channels` or the development flag name us? Both take several values, after a space or a `=`. */
function channelFlag(argv: readonly string[]): boolean {
  let inFlag = false;
  for (const item of argv.flatMap((each) => (each.startsWith("-") ? each.split("=") : each))) {
    if (item.startsWith("-")) inFlag = /^--(dangerously-load-development-)?channels$/.test(item);
    else if (inFlag && /^(server|plugin):t9-ipc(@|$)/.test(item)) return true;
  }
  return false;
}

/** How mail reaches the session of a heartbeat entry now: a waiting hook has entered itself there. */
export function routeOf(entry: Readonly<Entry>): string {
  const { push, push_note } = entry;
  if (push === undefined) return "its own server's channel notification";
  if (push === BY_TOOL_RESULT && hasHook(entry)) return "hook";
  return push_note ? `${push} (${push_note})` : push;
}

/** Does a hook wait for this session's mail? Its PID alone does not tell: another process may have it by now. */
export function hasHook({ waiter, waiter_started }: Readonly<Entry>): boolean {
  return waiter !== undefined && isSame({ pid: waiter, started: waiter_started });
}
