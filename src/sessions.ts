import { renameSync } from "node:fs";
import type { Config } from "./config.ts";
import { errorCode, readOwn, reasonOf, statOf, withLock, writeWhole } from "./files.ts";
import { isName } from "./names.ts";
import { inspect, isRunning } from "./process.ts";
import { stamp, wallClock } from "./stamp.ts";

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
  /** Up to which stamp hooks have pointed to mail, when last (ms since 1970), and how often to the newest. */
  pointed?: { last: string; at: number; times: number };
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
  readonly #moves = new Map<string, { beat: number; at: number | undefined }>();

  constructor(config: Config) {
    this.#config = config;
  }

  /** Every session that is online, sorted by name. */
  online(): Session[] {
    return this.alive(this.#read().entries);
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
  async update(change: (entries: Entries, online: Session[]) => boolean | undefined): Promise<boolean> {
    const { heartbeats, log } = this.#config;
    return withLock(heartbeats, log, (locked) => {
      if (!locked) return false;
      const { entries, problem } = this.#read();
      if (problem) {
        const aside = `${heartbeats}.bad-${stamp(wallClock())}`;
        renameSync(heartbeats, aside);
        log(`heartbeats.json could not be read (${problem}): kept as ${aside}, starting a new one`);
      }
      const online = this.alive(entries);
      for (const [name, entry] of entries) if (this.#isOver(name, entry, online)) entries.delete(name);
      if (change(entries, online) === false) return true;
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
      return errorCode(error) === "ENOENT" ? { entries: new Map() } : { entries: new Map(), problem: reasonOf(error) };
    }
  }

  /** The rule for being online, in DESIGN's words: see each line. */
  alive(entries: Entries): Session[] {
    const all = [...entries].filter(
      ([name, entry]) => isName(name) && isEntry(entry) && entry.status !== "signing-off",
    );
    const local = all.filter(([, entry]) => entry.host === this.#config.host);
    const running = inspect(local.map(([, entry]) => entry.pid));
    const sessions: Session[] = [];
    for (const [name, entry] of all) {
      const alive =
        entry.host === undefined
          ? // another implementation's: its process lives, under 24 h
            isRunning(entry.pid) && Date.now() - timeOf(entry) < DAY_MS
          : entry.host === this.#config.host
            ? // on this host: the process lives, and it is still the same
              isRunning(entry.pid) &&
              (running.size === 0 || !entry.started || running.get(entry.pid)?.started === entry.started)
            : // elsewhere: it beats
              this.#beats(name, entry);
      if (alive) sessions.push({ name, entry });
    }
    return sessions.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Is the last beat recent by our clock, or was it seen to change recently whatever their clock says? */
  #beats(name: string, entry: Entry): boolean {
    const beat = entry.beat ?? 0;
    const before = this.#moves.get(name);
    const now = performance.now();
    if (before?.beat !== beat) this.#moves.set(name, { beat, at: before ? now : undefined });
    const moved = this.#moves.get(name)?.at;
    return Math.abs(Date.now() - beat) < FOREIGN_BEAT_MS || (moved !== undefined && now - moved < FOREIGN_BEAT_MS);
  }

  /** May this entry be removed? Only what is certain: other hosts' sessions are theirs to remove for a day. */
  #isOver(name: string, entry: Entry, online: Session[]): boolean {
    if (!isEntry(entry) || online.some((session) => session.name === name)) return false;
    if (entry.host === undefined || entry.host === this.#config.host) return true;
    return Math.abs(Date.now() - (entry.beat ?? 0)) > DAY_MS;
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

/** Time of an entry's local `timestamp`, ms since 1970; 0 where it has none. */
function timeOf(entry: Entry): number {
  const ms = Date.parse(String(entry.timestamp).replace(" ", "T"));
  return Number.isNaN(ms) ? 0 : ms;
}
