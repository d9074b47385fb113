import * as z from "zod"; // `{ z }` would bundle its 50 languages
import { JsonFile } from "./json-file.ts";
import { isKnownForm, isSameName, type Name } from "./names.ts";
import { isSameProcess } from "./process.ts";
import type { DataFolder, System } from "./system.ts";
import { parseLocalTime } from "./timestamps.ts";

/** On another host a session counts as online for this long after its last beat. */
const REMOTE_TIMEOUT_MS = 90_000;
/** If the system does not report start times, a PID counts only with a beat younger than this. */
const UNSURE_TIMEOUT_MS = 5 * 60_000;
/**
 * For this long after its last beat, the entry of another host is kept. One of the Python original
 * counts as online for as long, if its process runs.
 */
const DAY_MS = 24 * 3600 * 1000;

/** An entry of heartbeats.json. The first four fields are those of the Python original. */
const Entry = z.looseObject({
  timestamp: z.string(),
  status: z.string(),
  pid: z.int().positive(),
  working_on: z.string().default(""),
  /** Time of the beat, in ms since 1970. */
  beat: z.number().optional(),
  /** Machine, boot and PID namespace. */
  host: z.string().optional(),
  /** Start of the process, in the system's own words. */
  started: z.string().optional(),
  /** The folder in which the session works. */
  cwd: z.string().optional(),
  /** The program that the session runs in, unless that is Claude Code. */
  client: z.string().optional(),
  /** Earlier names, which still receive mail. */
  names: z.array(z.string()).optional(),
  /** Names that belong to a conversation which this process has left, and that conversation. */
  borrowed: z.record(z.string(), z.string()).optional(),
  /** Time of the last tool call, in ms since 1970. */
  last_call: z.number().optional(),
  /** Id of the route by which mail reaches the session, and that route's problem if it has one. */
  push: z.string().optional(),
  push_note: z.string().optional(),
  /** Mail to everyone is this session's from this timestamp on. */
  since: z.string().optional(),
  /** The agent's process, and the conversation in it. */
  claude_pid: z.int().optional(),
  claude_session: z.string().optional(),
  /** The Claude Code folder in which the agent's process is registered. */
  claude_dir: z.string().optional(),
  /** True for runs that nobody watches, like `claude -p`: a broadcast does not wake them. */
  unattended: z.boolean().optional(),
  /** Full names of our tools start with this in the session. */
  tool_prefix: z.string().optional(),
  /** Sessions whose next idle moment is announced to this one. */
  watching: z.array(z.unknown()).optional(),
  /** Version and place of the installation that serves the session. */
  version: z.string().optional(),
  server: z.string().optional(),
});
export type Entry = z.infer<typeof Entry>;

export interface Session {
  readonly name: Name;
  readonly entry: Readonly<Entry>;
}

/** All names under which this session receives mail. */
export const namesOf = ({ name, entry }: Session): [Name, ...Name[]] => [
  name,
  ...(entry.names ?? []).filter(isKnownForm),
];

/** True if the session has this conversation open. */
export const isInConversation = ({ entry }: Session, conversation: string | undefined): boolean =>
  conversation !== undefined && entry.claude_session === conversation;

/**
 * The session that holds this name, in whatever spelling. The Python original takes a name without
 * asking, so another session may have it as an earlier name until its next look at the list.
 */
export const findHolder = (sessions: readonly Session[], name: string): Session | undefined =>
  sessions.find((session) => isSameName(session.name, name)) ??
  sessions.find((session) => namesOf(session).some((held) => isSameName(held, name)));

/** The list as it stands under the lock: to be read and changed within one call. */
export interface SessionList {
  /** Every entry, those of other implementations included. */
  readonly entries: Map<string, unknown>;
  readonly online: readonly Session[];
}

/** The file's contents. */
interface Contents {
  readonly entries: ReadonlyMap<string, unknown>;
  /** The entries that are sessions, sorted by name. */
  readonly sessions: readonly Session[];
}

/**
 * heartbeats.json: who is online. It is shared with the Python original, whose entries are kept
 * while their processes run.
 */
export class Heartbeats {
  readonly #file: JsonFile<Contents>;
  /**
   * Last beats of sessions on other hosts, and when they changed by our clock: theirs may be wrong.
   */
  readonly #remoteBeats = new Map<string, { beat: number; changedAt: number | undefined }>();

  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
  ) {
    this.#file = new JsonFile(folder.heartbeats, system, (entries) => ({
      entries,
      sessions: sessionsIn(entries),
    }));
  }

  /**
   * Every session that is online, sorted by name. Throws if the list cannot be read just now.
   *
   * @param isWanted leaves out sessions that do not matter before their processes are looked up
   */
  online(isWanted: (session: Session) => boolean = () => true): Session[] {
    const { sessions } = this.#file.read();
    this.#noteRemoteBeats(sessions);
    return sessions.filter((session) => isWanted(session) && this.#isOnline(session));
  }

  #noteRemoteBeats(sessions: readonly Session[]): void {
    const remote = sessions.filter(({ entry }) => this.#isRemote(entry));
    const names = new Set<string>(remote.map(({ name }) => name));
    for (const name of this.#remoteBeats.keys()) {
      if (!names.has(name)) this.#remoteBeats.delete(name);
    }
    for (const { name, entry } of remote) {
      const { beat = 0 } = entry;
      const seen = this.#remoteBeats.get(name);
      if (seen?.beat === beat) continue;
      this.#remoteBeats.set(name, { beat, changedAt: seen && this.system.clock.elapsed() });
    }
  }

  #isRemote({ host }: Entry): boolean {
    return host !== undefined && host !== this.system.processes.host;
  }

  #isOnline({ name, entry }: Session): boolean {
    const { host, pid, started, beat = 0, timestamp, status } = entry;
    const { clock, processes } = this.system;
    if (status === "signing-off") return false;
    if (host === undefined) {
      // The Python original rewrites its entry only now and then.
      const written = parseLocalTime(clock, timestamp) ?? 0;
      return processes.isRunning(pid) && clock.now() - written < DAY_MS;
    }
    if (this.#isRemote(entry)) return this.#beatsRemotely(name, beat);
    const isSame = isSameProcess(processes, { pid, started });
    return isSame ?? Math.abs(clock.now() - beat) < UNSURE_TIMEOUT_MS;
  }

  /** True if the beat is recent by our clock, or was seen to change recently. */
  #beatsRemotely(name: string, beat: number): boolean {
    const { clock } = this.system;
    if (Math.abs(clock.now() - beat) < REMOTE_TIMEOUT_MS) return true;
    const { changedAt } = this.#remoteBeats.get(name) ?? {};
    return changedAt !== undefined && clock.elapsed() - changedAt < REMOTE_TIMEOUT_MS;
  }

  /**
   * Changes the list under its lock and drops entries of sessions that have ended. `change` returns
   * undefined to leave the file as it is. Resolves to what `change` returned, once it is on the
   * disk; to undefined if the lock could not be acquired. Rejects if the file cannot be written.
   */
  update<T>(change: (list: SessionList) => T | undefined): Promise<T | undefined> {
    return this.system.withLock(this.folder.heartbeats, (isLocked) => {
      if (!isLocked) return undefined;
      const { entries: before, sessions } = this.#file.readLocked();
      this.#noteRemoteBeats(sessions);
      const online = sessions.filter((session) => this.#isOnline(session));
      const entries = new Map(before);
      for (const session of sessions) {
        if (this.#hasEnded(session, online.includes(session))) entries.delete(session.name);
      }
      const result = change({ entries, online });
      if (result === undefined) return undefined;
      this.#file.write(entries);
      return result;
    });
  }

  /**
   * True if the entry is ours to remove. Those of other hosts are theirs to remove, for a day. One
   * with neither a host nor a time that can be read is another program's, and is left alone.
   */
  #hasEnded({ entry }: Session, isOnline: boolean): boolean {
    const { clock } = this.system;
    const { host, beat = 0, timestamp } = entry;
    const isForeign = host === undefined && parseLocalTime(clock, timestamp) === undefined;
    if (isForeign) return false;
    return this.#isRemote(entry) ? Math.abs(clock.now() - beat) > DAY_MS : !isOnline;
  }
}

/** Entries with a field of another type than ours are not sessions. They are left alone. */
function sessionsIn(entries: ReadonlyMap<string, unknown>): Session[] {
  const sessions = [...entries].flatMap(([name, value]): Session[] => {
    const { success, data } = Entry.safeParse(value);
    return success && isKnownForm(name) ? [{ name, entry: data }] : [];
  });
  return sessions.sort((a, b) => (a.name < b.name ? -1 : 1));
}
