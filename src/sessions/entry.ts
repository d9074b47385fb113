import type { Config } from "../config.ts";
import { localTime } from "../stamp.ts";
import { isName, type Name, sameName } from "./names.ts";
import { inspect } from "./process.ts";

/** An entry of heartbeats.json. The first four fields are the original's; the others only ours have. */
export interface Entry {
  timestamp: string;
  status: string;
  pid: number;
  working_on: string;
  /** Time of the beat, ms since 1970. */
  beat?: number;
  /** The machine and PID namespace, and the machine's name for people. */
  host?: string;
  host_name?: string;
  /** Start of the process, as the system words it (process.ts). */
  started?: string;
  cwd?: string;
  /** What the session runs in, where that is not Claude Code. */
  client?: string;
  /** Earlier names, still delivered to. */
  names?: string[];
  /** Time of the last tool call, ms since 1970. */
  last_call?: number;
  /** How mail reaches the session, and what is known against that. */
  push?: string;
  push_note?: string;
  /** The PID of the hook that waits for the session's mail, if one does, and the start of that process. */
  waiter?: number;
  waiter_started?: string;
  /** Up to which stamp a hook has pointed to mail. */
  pointed?: { last: string };
  /** What the full names of our tools begin with in this session. */
  tool_prefix?: string;
  /** From which stamp on mail to all is this session's, where its name is new. */
  since?: string;
  /** The agent's process and conversation that this server belongs to, and the server's parent process. */
  claude_pid?: number;
  claude_session?: string;
  parent?: number;
}

export interface Session {
  readonly name: Name;
  readonly entry: Readonly<Entry>;
}

/** An entry for a session of this process. What others, and our hooks, wrote into the one before is kept. */
export function entryOf(
  config: Config,
  before: Readonly<Entry> | undefined,
  fields: Partial<Entry>,
): Entry {
  const started = inspect([process.pid]).get(process.pid)?.started;
  return {
    ...before,
    timestamp: localTime(),
    status: "active",
    pid: process.pid,
    working_on: "",
    beat: Date.now(),
    host: config.host,
    host_name: config.hostName,
    cwd: config.folder,
    tool_prefix: config.toolPrefix,
    parent: process.ppid,
    ...(started && { started }),
    ...fields,
  };
}

/** An entry as it stands in the file. */
export function serialized(name: string, entry: Entry): string {
  return JSON.stringify({ [name]: entry }, null, 2).slice(2, -2);
}

/** All names mail for this session may be addressed to. */
export const namesOf = ({ name, entry }: Session): Name[] => [
  name,
  ...(entry.names ?? []).filter(isName),
];

/** Who among these sessions is reached by that name, whatever its letter case. */
export function holderOf(name: string, sessions: readonly Session[]): Session | undefined {
  return sessions.find((session) => namesOf(session).some((held) => sameName(held, name)));
}

const words = (text: string): string[] => text.split(" ");
const TEXTS = words(
  "timestamp status working_on host host_name started cwd client push push_note tool_prefix since",
);
const NUMBERS = words("pid beat last_call waiter claude_pid parent");

/** Anybody may have written the file: an entry with a field of another type than ours is none, and is left alone. */
export function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Entry & Record<string, unknown>;
  return (
    TEXTS.every((field) => typeof (entry[field] ?? "") === "string") &&
    NUMBERS.every((field) => Number.isSafeInteger(entry[field] ?? 1)) &&
    Array.isArray(entry.names ?? []) &&
    (entry.names ?? []).every((name) => typeof name === "string") &&
    typeof (entry.pointed ?? {}) === "object" &&
    entry.pid > 0
  );
}
