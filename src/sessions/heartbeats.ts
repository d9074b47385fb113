import { renameSync, utimesSync } from "node:fs";
import type { Config } from "../config.ts";
import {
  checkMounted,
  errorCode,
  isUnreachable,
  readOwn,
  readOwnBytes,
  reasonOf,
  versionOf,
  withLock,
  writeWhole,
} from "../files.ts";
import { stampOf, wallClock } from "../stamp.ts";
import { type Entry, holderOf, isEntry, type Session, serialized } from "./entry.ts";
import { isName, type Name } from "./names.ts";
import { inspect, isRunning, isSame } from "./process.ts";

const MAX_BYTES = 8 << 20;
/** A session on another host, or in another PID namespace, is online while its last beat is younger. */
const FOREIGN_BEAT_MS = 90_000;
/** An entry of another implementation counts no longer than this; nor is a foreign host's kept longer. */
const DAY_MS = 24 * 3600 * 1000;

export type Entries = Map<string, Entry>;

/** heartbeats.json: who is online. Shared with the Python original, whose entries and fields are kept. */
export class Heartbeats {
  /** For sessions on other hosts: their last beat, and when we saw it change by our own clock, since theirs may be wrong. */
  readonly #moves = new Map<string, { beat: number; at: number }>();
  /** What the file said when it was last read, and its version then. */
  #last: { readonly version: string; readonly json: object } | undefined;

  constructor(private readonly config: Config) {}

  /** Every session that is online, sorted by name. Throws where the data folder does not answer. */
  online(): Session[] {
    const { entries } = this.#read();
    for (const name of this.#moves.keys()) if (!entries.has(name)) this.#moves.delete(name);
    return this.#online(entries);
  }

  /** The session that is online and has this name, or had it earlier. Costs little among many. Throws as `online`. */
  holder(name: string): Session | undefined {
    const entry = this.#read({ isFresh: false }).entries.get(name);
    const found = entry && this.#online(new Map([[name, entry]]))[0];
    if (found) return found;
    const holders = [...this.#read().entries].filter(
      ([held, entry]) => isEntry(entry) && holderOf(name, [{ name: held as Name, entry }]),
    );
    return this.#online(new Map(holders))[0];
  }

  /** The first entry of this host that fits and whose process runs. Asks less of the system than `online`. */
  find(fits: (entry: Readonly<Entry>) => boolean): Session | undefined {
    for (const [name, entry] of this.#read().entries) {
      if (!isName(name) || !isEntry(entry) || entry.host !== this.config.host) continue;
      if (fits(entry) && isRunning(entry.pid)) return { name, entry };
    }
    return undefined;
  }

  /** Does the file have this entry under this name? Costs little while it is as we wrote it. */
  has(name: string, entry: Entry): boolean {
    try {
      // The bytes are enough: a text would have to be made of them at each change of a large file.
      if (readOwnBytes(this.config.heartbeats, MAX_BYTES).bytes.includes(serialized(name, entry)))
        return true;
    } catch {
      // `#read` takes notice of what is wrong
    }
    return this.#read().entries.get(name)?.pid === entry.pid;
  }

  /** Changes whenever heartbeats.json does; "" where it is missing. Throws where the data folder does not answer. */
  version(): string {
    return versionOf(this.config.heartbeats);
  }

  /**
   * Reads, changes and rewrites heartbeats.json under its lock; entries of ended sessions are dropped, an unreadable
   * file is kept aside. `change` may return false to leave the file as it is; `online` costs time, so it is asked for.
   * Resolves to false where the lock was not to be had: nothing has happened then.
   */
  async update(change: (entries: Entries, online: () => Session[]) => boolean): Promise<boolean> {
    const { dir, heartbeats, log } = this.config;
    checkMounted(dir);
    return withLock(heartbeats, log, (locked) => {
      if (!locked) return false;
      const { entries, problem } = this.#read();
      if (problem) {
        const aside = `${heartbeats}.bad-${stampOf(wallClock())}`;
        renameSync(heartbeats, aside);
        log(`heartbeats.json could not be read (${problem}): kept as ${aside}, starting a new one`);
      }
      for (const [name, entry] of entries)
        if (isEntry(entry) && this.#hasEnded(entry)) entries.delete(name);
      if (!change(entries, () => this.#online(entries))) return true;
      // A null prototype: `__proto__` is a name like any other.
      const json = Object.assign(Object.create(null), Object.fromEntries(entries));
      writeWhole(heartbeats, `${JSON.stringify(json, null, 2)}\n`);
      return true;
    });
  }

  /** What is certain without asking much: other hosts' sessions are theirs to remove, for a day. */
  #hasEnded(entry: Entry): boolean {
    if (this.#isElsewhere(entry)) return Math.abs(Date.now() - (entry.beat ?? 0)) > DAY_MS;
    return !isRunning(entry.pid) || (entry.host === undefined && isOutdated(entry));
  }

  /** Reads the file. `isFresh`: also where it seems unchanged, because a network mount may tell of a change late. */
  #read({ isFresh = true, isTouched = false } = {}): { entries: Entries; problem?: string } {
    checkMounted(this.config.dir);
    try {
      const version = this.version();
      if (isFresh || version !== this.#last?.version) {
        const json: unknown = JSON.parse(readOwn(this.config.heartbeats, MAX_BYTES).text);
        if (typeof json !== "object" || json === null || Array.isArray(json))
          throw new Error("it is no JSON object");
        this.#last = { version, json };
      }
      return { entries: new Map(Object.entries(this.#last.json)) };
    } catch (error) {
      if (isUnreachable(error)) throw error;
      if (error instanceof SyntaxError && !isTouched && touch(this.config.heartbeats))
        return this.#read({ isTouched: true });
      return {
        entries: new Map(),
        ...(errorCode(error) !== "ENOENT" && { problem: reasonOf(error) }),
      };
    }
  }

  #online(entries: Entries): Session[] {
    const all = [...entries].flatMap(([name, entry]) =>
      isName(name) && isEntry(entry) ? { name, entry } : [],
    );
    const ours = all.filter(({ entry }) => entry.host === this.config.host);
    const found = inspect([process.pid, ...ours.map(({ entry }) => entry.pid)]);
    const isOnline = ({ name, entry }: Session): boolean => {
      if (entry.status === "signing-off") return false;
      if (this.#isElsewhere(entry)) return this.#beats(name, entry.beat ?? 0);
      // Another implementation's counts while its process lives, for a day; ours while it is still the same process.
      return entry.host === undefined
        ? isRunning(entry.pid) && !isOutdated(entry)
        : isSame(entry, found);
    };
    return all.filter(isOnline).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #isElsewhere({ host }: Entry): boolean {
    return host !== undefined && host !== this.config.host;
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

/**
 * A network mount's cache may cut a file that another machine has rewritten at the length of the file before. A touch
 * makes it ask for the length. False where the file cannot be touched.
 */
function touch(path: string): boolean {
  try {
    const now = new Date();
    utimesSync(path, now, now);
    return true;
  } catch {
    return false;
  }
}

const isOutdated = ({ timestamp }: Entry): boolean =>
  !(Date.now() - Date.parse(timestamp?.replace(" ", "T")) < DAY_MS);
