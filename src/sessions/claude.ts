import { join } from "node:path";
import { readOwn } from "../files.ts";
import { isSame } from "./process.ts";

const MAX_BYTES = 64 * 1024;

export type ClaudeSession = NonNullable<ReturnType<typeof claudeSession>>;

/**
 * What Claude Code tells of one of its running sessions: it rewrites `sessions/PID.json` below its folder at each change.
 * The file is not documented (seen in 2.1.330), so nothing may depend on it: a field that is missing or odd there is
 * undefined, and so is all where the file is absent, odd, or left behind by an earlier process with the same PID.
 */
export function claudeSession(claudeDir: string, pid: number) {
  try {
    const json = JSON.parse(readOwn(join(claudeDir, "sessions", `${pid}.json`), MAX_BYTES).text);
    // Claude Code words the start of a process as `inspect` does: clock ticks on Linux, `lstart` of `ps` elsewhere.
    if (json.pid !== pid || !isSame({ pid, started: text(json.procStart) })) return undefined;
    const { status, statusUpdatedAt: since } = json;
    return {
      /** The conversation now. It changes with /clear; the environment of a server keeps the first one. */
      id: text(json.sessionId),
      /** The name that the user gave with `claude -n` or /rename, in the user's own words. */
      name: json.nameSource === "user" ? text(json.name) : undefined,
      /** True between turns, false during one. */
      isIdle: status === "idle" || (status === "busy" ? false : undefined),
      /** What the session wants from its user before it goes on: `permission prompt`, `dialog open` and the like. */
      waitingFor: status === "waiting" ? text(json.waitingFor) : undefined,
      /** When it became idle, busy or waiting: ms since 1970. */
      since: Number.isSafeInteger(since) && since > 0 ? (since as number) : undefined,
    };
  } catch {
    return undefined;
  }
}

/** Whoever shows such a text cleans it first; its length is bounded here. */
const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" && value.length <= 1000 ? value : undefined;
