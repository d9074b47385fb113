import { join } from "node:path";
import { readOwn } from "../files.ts";
import { inspect } from "./process.ts";

const MAX_BYTES = 64 * 1024;

/** What Claude Code writes about one of its running sessions; a field that is missing or odd there is missing here. */
export interface ClaudeSession {
  /** The conversation now. It changes with /clear; the environment of a server keeps the first one. */
  readonly id?: string;
  /** The name that the user gave with `claude -n` or /rename, in the user's own words. */
  readonly name?: string;
  /** True between turns, false during one. */
  readonly isIdle?: boolean;
  /** What the session wants from its user before it goes on: `permission prompt`, `dialog open` and the like. */
  readonly waitingFor?: string;
  /** When it became idle, busy or waiting: ms since 1970. */
  readonly since?: number;
}

/**
 * Reads `sessions/PID.json` below Claude Code's folder, which Claude Code rewrites at each change. The file is not
 * documented (seen in 2.1.330), so nothing may depend on it: undefined where it is absent, odd, or left behind by
 * an earlier process with the same PID.
 */
export function claudeSession(claudeDir: string, pid: number): ClaudeSession | undefined {
  try {
    const json = JSON.parse(readOwn(join(claudeDir, "sessions", `${pid}.json`), MAX_BYTES).text) ?? {};
    if (json.pid !== pid || isLeftBehind(pid, json.procStart)) return undefined;
    const { sessionId: id, name, nameSource, status, waitingFor, statusUpdatedAt: since } = json;
    return {
      ...(isText(id) && { id }),
      ...(isText(name) && nameSource === "user" && { name }),
      ...((status === "idle" || status === "busy") && { isIdle: status === "idle" }),
      ...(status === "waiting" && isText(waitingFor) && { waitingFor }),
      ...(Number.isSafeInteger(since) && since > 0 && { since }),
    };
  } catch {
    return undefined;
  }
}

/** Claude Code words the start of a process as `inspect` does: clock ticks on Linux, `lstart` of `ps` elsewhere. */
function isLeftBehind(pid: number, procStart: unknown): boolean {
  const started = inspect([pid]).get(pid)?.started;
  return started !== undefined && isText(procStart) && procStart !== started;
}

/** Whoever shows such a text cleans it first; its length is bounded here. */
const isText = (value: unknown): value is string => typeof value === "string" && value !== "" && value.length <= 1000;
