import { readFileSync } from "node:fs";
import type { Entry, Session } from "../../core/heartbeats.ts";
import type { System } from "../../core/system.ts";
import { listRegistered, type RegisteredSession, readRegistered } from "./registry.ts";

/** The registry entry of a session on this host; undefined for other hosts and agents. */
export function statusOf(
  { host, client, claude_pid: pid, claude_dir: dir }: Readonly<Entry>,
  claudeDir: string,
  system: Pick<System, "files" | "processes">,
): RegisteredSession | undefined {
  const isHere = host === system.processes.host && client === undefined;
  return isHere && pid !== undefined ? readRegistered(dir ?? claudeDir, pid, system) : undefined;
}

/**
 * Claude Code sessions of this user that run without a server of ours. Workers without a task, runs
 * that nobody watches and sessions with IPC_DISABLED are left out.
 */
export function sessionsWithoutServer(
  claudeDir: string,
  online: readonly Session[],
  system: Pick<System, "files" | "processes">,
): RegisteredSession[] {
  const served = new Set(online.map(({ entry }) => entry.claude_pid));
  return listRegistered(claudeDir, system).filter(
    ({ pid, isSpare, isUnattended }) =>
      !served.has(pid) && !isSpare && !isUnattended && !isDisabled(pid),
  );
}

/** False if the system does not show the environment of other processes. */
function isDisabled(pid: number): boolean {
  try {
    const variables = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
    return variables.some((each) => /^IPC_DISABLED=(1|true|yes)$/i.test(each));
  } catch {
    return false;
  }
}
