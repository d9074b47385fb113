import { diskFiles } from "../../core/files.ts";
import { createProcessTable } from "../../core/process.ts";
import { commandLine } from "../command-line.ts";
import { listRegistered, type RegisteredSession } from "./registry.ts";

/** A Claude Code session that runs on this machine. */
export interface RunningSession extends RegisteredSession {
  /** The arguments that it was started with. */
  readonly argv: readonly string[];
}

/** The registered sessions whose process still runs, without workers that wait for a task. */
export function runningSessions(claudeDir: string): RunningSession[] {
  const sessions = listRegistered(claudeDir, { files: diskFiles, processes: createProcessTable() });
  return sessions
    .filter(({ isSpare }) => !isSpare)
    .map((session) => ({ ...session, argv: commandLine(session.pid) }));
}
