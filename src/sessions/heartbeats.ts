import { renameSync } from "node:fs";
import type { Config } from "../config.ts";
import { errorCode, readOwn, reasonOf, statOf, withLock, writeWhole } from "../files.ts";
import { stamp, wallClock } from "../stamp.ts";
import { isName } from "./names.ts";
import { inspect, isRunning } from "./process.ts";

const MAX_BYTES = 8 << 20;
/** A session on another host, or in another PID namespace, is online while its last beat is younger. */
const FOREIGN_BEAT_MS = 90_000;
/** An entry of another implementation counts no longer than this; nor is a foreign host's kept longer. */
const DAY_MS = 24 * 3600 * 1000;

/** An entry of heartbeats.json. The first four fields are the original's; the others only ours have. */
export interface Entry {
  timestamp: string;
  status: string;
  pid: number;
  working_on: string;
  /** Time of the beat, ms since 1970. */
  beat?: number;
  host?: string;
  /** Start of the process, as the system words it (process.ts). */
  started?: string;
  cwd?: string;
  /** Earlier names, still delivered to. */
  names?: string[];
  /** Time of the last tool call, ms since 1970. */
  last_call?: number;
  /** How mail reaches the session (route.ts), and the PID of the hook that waits for it, if one does. */
  push?: string;
  waiter?: number;
  /** Up to which stamp a hook has pointed to mail, and when to do so again (ms since 1970), if at all. */
  pointed?: { last: string; remind?: number };
  /** What the full names of our tools begin with in this session. */
  tool_prefix?: string;
  /** From which stamp on mail to all is this session's, where its name is new. */
  since?: string;
  /** The Claude Code process and conversation this server belongs to, and the server's parent process. */
  claude_pid?: number;
  claude_session?: string;
  parent?: number;
}

export interface Session {
  readonly name: string;
  readonly entry: Readonly<Entry>;
}

export type Entries = Map<string, Entry>;

/** heartbeats.json: who is online. Shared with the Python original, whose entries and fields are kept. */
export class Sessions {
  readonly #config: Config;
  /** Foreign beats and when (own clock) they were seen to change: the other clock may be wrong. */
  readonly #moves = new Map<string, { beat: number; at: number }>();

  constructor(config: Config) {
    this.#config = config;
  }

  /** Every session that is online, sorted by name. */
  online(): Session[] {
    return this.#online(this.#read().entries);
  }

  /** Is there an entry of this name with this PID? Asks nothing of the system: for looking often. */
  hasEntry(name: string, pid: number): boolean {
    return this.#read().entries.get(name)?.pid === pid;
  }

  /** Changes whenever heartbeats.json does; "" where it is missing. */
  version(): string {
    const stats = statOf(this.#config.heartbeats);
    return stats ? `${stats.ino}:${stats.mtimeMs}:${stats.size}` : "";
  }

  /**
   * Reads, changes and rewrites heartbeats.json under its lock; ended sessions are dropped, an unreadable file
   * is kept aside. `change` may return false to leave the file as it is. Resolves to false where the lock was
   * not to be had: nothing has happened then.
   */
  async update(change: (entries: Entries, online: Session[]) => boolean): Promise<boolean> {
    const { heartbeats, log } = this.#config;
    return withLock(heartbeats, log, (locked) => {
      if (!locked) return false;
      const { entries, problem } = this.#read();
      if (problem) {
        const aside = `${heartbeats}.bad-${stamp(wallClock())}`;
        renameSync(heartbeats, aside);
        log(`heartbeats.json could not be read (${problem}): kept as ${aside}, starting a new one`);
      }
      const online = this.#online(entries);
      for (const [name, entry] of entries) {
        if (!isEntry(entry) || online.some((session) => session.name === name)) continue;
        // Only what is certain: other hosts' sessions are theirs to remove, for a day.
        const age = Math.abs(Date.now() - (entry.beat ?? 0));
        if (!this.#isElsewhere(entry) || age > DAY_MS) entries.delete(name);
      }
      if (!change(entries, online)) return true;
      // A null prototype: `__proto__` is a name like any other.
      const json = Object.assign(Object.create(null), Object.fromEntries(entries));
      writeWhole(heartbeats, `${JSON.stringify(json, null, 2)}\n`);
      return true;
    });
  }

  #read(): { entries: Entries; problem?: string } {
    try {
      const json: unknown = JSON.parse(readOwn(this.#config.heartbeats, MAX_BYTES).text);
      if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Error("it is no JSON object");
      return { entries: new Map(Object.entries(json)) };
    } catch (error) {
      return { entries: new Map(), ...(errorCode(error) !== "ENOENT" && { problem: reasonOf(error) }) };
    }
  }

  #online(entries: Entries): Session[] {
    const all = [...entries]
      .map(([name, entry]) => ({ name, entry }))
      .filter(({ name, entry }) => isName(name) && isEntry(entry) && entry.status !== "signing-off");
    const ours = all.filter(({ entry }) => entry.host === this.#config.host);
    const running = inspect(ours.map(({ entry }) => entry.pid));
    const isOnline = ({ name, entry }: Session): boolean => {
      if (this.#isElsewhere(entry)) return this.#beats(name, entry.beat ?? 0);
      if (!isRunning(entry.pid)) return false;
      // Another implementation's: its process lives, under 24 h.
      if (entry.host === undefined) return Date.now() - Date.parse(entry.timestamp?.replace(" ", "T")) < DAY_MS;
      // Ours: it is still the same process, where the system tells.
      return running.size === 0 || !entry.started || running.get(entry.pid)?.started === entry.started;
    };
    return all.filter(isOnline).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #isElsewhere({ host }: Entry): boolean {
    return host !== undefined && host !== this.#config.host;
  }

  /** Is the last beat recent by our clock, or was it seen to change recently whatever their clock says? */
  #beats(name: string, beat: number): boolean {
    const now = performance.now();
    let seen = this.#moves.get(name);
    if (seen?.beat !== beat) {
      seen = { beat, at: seen ? now : -FOREIGN_BEAT_MS };
      this.#moves.set(name, seen);
    }
    return Math.min(Math.abs(Date.now() - beat), now - seen.at) < FOREIGN_BEAT_MS;
  }
}

/** All names mail for this session may be addressed to. */
export const namesOf = (session: Session): string[] => [session.name, ...(session.entry.names ?? [])];

const TEXTS = ["timestamp", "status", "working_on", "host", "started", "cwd", "push", "tool_prefix", "since"] as const;
const NUMBERS = ["pid", "beat", "last_call", "waiter", "claude_pid", "parent"] as const;

/** Anybody may have written the file: an entry with a field of another type than ours is none, and is left alone. */
function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Entry;
  return (
    TEXTS.every((field) => typeof (entry[field] ?? "") === "string") &&
    NUMBERS.every((field) => Number.isSafeInteger(entry[field] ?? 1)) &&
    Array.isArray(entry.names ?? []) &&
    (entry.names ?? []).every((name) => typeof name === "string") &&
    typeof (entry.pointed ?? {}) === "object" &&
    entry.pid > 0
  );
}
