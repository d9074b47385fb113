import { uptime } from "node:os";
import { diskFiles } from "../../core/files.ts";
import { createProcessTable } from "../../core/process.ts";
import { commandLine } from "../command-line.ts";
import { listRegistered, type RegisteredSession } from "./registry.ts";

/** A Claude Code session that runs on this machine. */
export interface RunningSession extends RegisteredSession {
  /** The arguments that it was started with. */
  readonly argv: readonly string[];
}

/**
 * The registered sessions whose process still runs, without workers that wait for a task. Windows
 * does not tell when a process was started: there, a file from before this boot is known only by
 * its age, if its PID is another process's by now.
 */
export function runningSessions(claudeDir: string): RunningSession[] {
  const sessions = listRegistered(claudeDir, { files: diskFiles, processes: createProcessTable() });
  const bootedAt = Date.now() - uptime() * 1000;
  return sessions
    .filter(({ isSpare, startedAt = bootedAt }) => !isSpare && startedAt >= bootedAt)
    .map((session) => ({ ...session, argv: commandLine(session.pid) }));
}
