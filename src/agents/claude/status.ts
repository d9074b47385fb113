import type { Entry } from "../../core/heartbeats.ts";
import type { System } from "../../core/system.ts";
import { type RegisteredSession, readRegistered } from "./registry.ts";

/** What Claude Code says of a session of this host; undefined for other hosts and agents. */
export function statusOf(
  { host, client, claude_pid: pid, claude_dir: dir }: Readonly<Entry>,
  claudeDir: string,
  system: Pick<System, "files" | "processes">,
): RegisteredSession | undefined {
  const isHere = host === system.processes.host && client === undefined;
  return isHere && pid !== undefined ? readRegistered(dir ?? claudeDir, pid, system) : undefined;
}
