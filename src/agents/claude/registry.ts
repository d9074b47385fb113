import { join } from "node:path";
import { isSameProcess } from "../../core/process.ts";
import type { System } from "../../core/system.ts";

const MAX_BYTES = 64 * 1024;

/** The session works, is between turns, or waits for its user. */
export type SessionStatus = "busy" | "idle" | "waiting";

export interface RegisteredSession {
  readonly pid: number;
  /** The conversation that is open now. */
  readonly conversation?: string | undefined;
  /** The name that the user gave with `claude -n` or /rename, in the user's words. */
  readonly name?: string | undefined;
  readonly status?: SessionStatus | undefined;
  /** The reason why it waits for its user, like `permission prompt`. */
  readonly waitingFor?: string | undefined;
  /** Since when the status holds, in ms since 1970. */
  readonly since?: number | undefined;
  /** The folder that it works in now. */
  readonly folder?: string | undefined;
  readonly socket?: string | undefined;
  /** When the process was started, in ms since 1970. */
  readonly startedAt?: number | undefined;
  /** A worker that waits for a task. */
  readonly isSpare: boolean;
  /** A run that nobody watches, like `claude -p`. */
  readonly isUnattended: boolean;
  /** Started in the background, by `--bg` or /bg. */
  readonly isBackground: boolean;
}

/** `sessions/PID.json` in Claude Code's folder: Claude Code rewrites it at each change. */
const registryFolder = (claudeDir: string): string => join(claudeDir, "sessions");

/**
 * What Claude Code says of one of its processes. The file is not documented (seen in 2.1.330), so
 * everything in it is optional.
 *
 * @returns undefined if the file is missing, or describes an earlier process with this PID
 */
export function readRegistered(
  claudeDir: string,
  pid: number,
  { files, processes }: Pick<System, "files" | "processes">,
): RegisteredSession | undefined {
  try {
    const path = join(registryFolder(claudeDir), `${pid}.json`);
    const json = JSON.parse(files.read(path, MAX_BYTES).text);
    // Claude Code words the start of a process as `ProcessTable.startOf` does on Linux and macOS.
    const started = processes.startOf(pid) === undefined ? undefined : toText(json.procStart);
    if (json.pid !== pid || isSameProcess(processes, { pid, started }) === false) return undefined;
    return toRegistered(pid, json);
  } catch {
    return undefined;
  }
}

function toRegistered(pid: number, json: Record<string, unknown>): RegisteredSession {
  const status = ["busy", "idle", "waiting"].find((known) => known === json.status);
  const isUsersName = json.nameSource === "user" || (json.kind === "bg" && json.name !== undefined);
  return {
    pid,
    conversation: toText(json.sessionId),
    name: isUsersName ? toText(json.name) : undefined,
    status: status as SessionStatus | undefined,
    waitingFor: status === "waiting" ? toText(json.waitingFor) : undefined,
    since: toTime(json.statusUpdatedAt),
    folder: toText(json.cwd),
    socket: toText(json.messagingSocketPath),
    startedAt: toTime(json.startedAt),
    isSpare: json.spare === true,
    isUnattended: toText(json.entrypoint)?.startsWith("sdk-") ?? false,
    isBackground: json.kind === "bg",
  };
}

/** Every process that is registered and still runs. */
export function listRegistered(
  claudeDir: string,
  system: Pick<System, "files" | "processes">,
): RegisteredSession[] {
  try {
    const pids = system.files
      .list(registryFolder(claudeDir))
      .flatMap((file) => /^(\d+)\.json$/.exec(file)?.[1] ?? []);
    return pids.flatMap((pid) => readRegistered(claudeDir, Number(pid), system) ?? []);
  } catch {
    return []; // older versions have no registry
  }
}

/** Whoever shows such a text cleans it first; its length is bounded here. */
const toText = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" && value.length <= 1000 ? value : undefined;

const toTime = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined;
