import type { Config } from "../config.ts";
import type { Entry } from "../sessions/heartbeats.ts";
import { isRunning } from "../sessions/process.ts";

/** How mail reaches a session: the words that `t9_ipc_who` and `t9_ipc_send` use. */
export type Route = "channel" | "inbox socket" | typeof BY_TOOL_RESULT | "on its next tool call only";
export const BY_TOOL_RESULT = "on its next tool call";

/**
 * The one path beside the channel notification, which is always sent. `auto` takes the first that holds: Claude
 * Code was started with a channel flag that names us, on a provider that has channels; it gave us an inbox
 * socket; the rest is left to the line on the next tool result, and to a hook where one waits (see `routeOf`).
 */
export function chooseRoute({ push, socket, hasChannels, log }: Config, claudeArgv: readonly string[]): Route {
  if (push === "channel" || (push === "auto" && hasChannels && channelFlag(claudeArgv))) return "channel";
  if ((push === "socket" || push === "auto") && socket) return "inbox socket";
  if (push === "socket") log("IPC_PUSH=socket, but Claude Code gave no inbox socket: mail is told on tool results");
  return push === "none" ? "on its next tool call only" : BY_TOOL_RESULT;
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
  if (entry.push === undefined) return "its own server's channel notification";
  const hook = entry.push === BY_TOOL_RESULT && entry.waiter !== undefined && isRunning(entry.waiter);
  return hook ? "hook" : entry.push;
}
