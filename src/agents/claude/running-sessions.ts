import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readOwn } from "../../files.ts";
import { inspect, isSame } from "../../sessions/process.ts";

const MAX_BYTES = 64 * 1024;

/** A Claude Code session that runs on this machine. */
export interface RunningSession {
  readonly pid: number;
  readonly conversation: string | undefined;
  readonly folder: string | undefined;
  /** The user's name for it. */
  readonly name: string | undefined;
  readonly argv: readonly string[];
  /** Milliseconds since 1970; undefined if the file does not say. */
  readonly startedAt: number | undefined;
}

/**
 * The sessions in `sessions/PID.json` whose process still runs. The files are not documented (seen
 * in 2.1.330), so one that cannot be read is left out. Workers that wait for a task are left out
 * too.
 */
export function runningSessions(claudeDir: string): RunningSession[] {
  const folder = join(claudeDir, "sessions");
  return listJson(folder).flatMap((file) => {
    try {
      const json = JSON.parse(readOwn(join(folder, file), MAX_BYTES).text);
      const pid = Number(json.pid);
      const started = textOf(json.procStart);
      if (`${pid}.json` !== file || json.spare === true || !isSame({ pid, started })) return [];
      return {
        pid,
        conversation: textOf(json.sessionId),
        folder: textOf(json.cwd),
        name: textOf(json.name),
        argv: inspect([pid]).get(pid)?.argv() ?? [],
        startedAt: typeof json.startedAt === "number" ? json.startedAt : undefined,
      };
    } catch {
      return [];
    }
  });
}

function listJson(folder: string): string[] {
  try {
    return readdirSync(folder).filter((file) => file.endsWith(".json"));
  } catch {
    return [];
  }
}

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;
