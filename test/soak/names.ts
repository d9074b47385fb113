// Who held which name at what time, as heartbeats.json said.

import { lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { nameKey } from "../../src/core/names.ts";
import type { Entry } from "../support/mail.ts";
import type { Actor } from "./actor.ts";
import type { World } from "./world.ts";

/** The list is checked for a new version this often, beside each call. */
const LOOK_MS = 15;
/** File times come from a clock that ticks this slowly, and a rename comes after the writing. */
const SLACK_MS = 30;

/** One version of the list: the sessions that held a name. */
interface Version {
  readonly at: number;
  readonly holders: ReadonlyMap<string, readonly Holder[]>;
}

/** Every actor works in a folder of its own, which tells the entries of the list apart. */
export class NameTimeline {
  readonly #versions: Version[] = [{ at: 0, holders: new Map() }];
  /** Names that a conversation, or the session in a folder, had at any time. */
  readonly #everHeld = new Map<string, Set<string>>();
  readonly #timer: NodeJS.Timeout;
  #seen = "";

  constructor(private readonly world: World) {
    this.#timer = setInterval(() => this.look(), LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  get #path(): string {
    return join(this.world.dir, "heartbeats.json");
  }

  look(): void {
    const entries = this.#readNew();
    if (!entries) return;
    const holders = new Map<string, Holder[]>();
    for (const [name, { cwd: folder = "", names = [], claude_session }] of entries.list) {
      const holder = { folder, conversation: claude_session ?? "" };
      for (const each of [name, ...names]) {
        const key = nameKey(each);
        holders.set(key, [...(holders.get(key) ?? []), holder]);
        this.note(holder.folder, each);
        this.note(holder.conversation, each);
      }
    }
    this.#versions.push({ at: entries.at, holders });
    for (const [name, all] of holders) this.#checkOne(name, all, entries.at);
  }

  #readNew() {
    try {
      const stats = lstatSync(this.#path);
      const { mtimeMs, ino } = stats;
      if (!stats.isFile() || `${mtimeMs} ${ino}` === this.#seen) return undefined;
      const text = readFileSync(this.#path, "utf8");
      this.#seen = `${mtimeMs} ${ino}`;
      return { at: mtimeMs, list: Object.entries(JSON.parse(text)) as [string, Listed][] };
    } catch {
      return undefined; // it is missing, or damaged on purpose
    }
  }

  /** Deletes the list: until the next version nobody is known to hold anything. */
  erase(): void {
    rmSync(this.#path, { force: true, recursive: true });
    this.onLost();
  }

  onLost(): void {
    this.#versions.push({ at: Date.now(), holders: new Map() });
  }

  /** The session in this folder, or this conversation, has the name. */
  note(holder: string, name: string): void {
    const names = this.#everHeld.get(holder) ?? new Set();
    this.#everHeld.set(holder, names.add(nameKey(name)));
  }

  namesOf({ conversation, folder }: Holder): ReadonlySet<string> {
    const own = this.#everHeld.get(conversation) ?? [];
    return new Set([...own, ...(this.#everHeld.get(folder) ?? [])]);
  }

  #checkOne(name: string, holders: readonly Holder[], at: number): void {
    if (holders.length < 2) return;
    const live = holders.filter(({ folder }) => this.#isPresent(folder, at, at));
    if (live.length < 2) return;
    const folders = live.map(({ folder }) => folder).join(" and ");
    this.world.fail(`${name} is held by ${folders} in one list, ${new Date(at).toISOString()}`);
  }

  #isPresent(folder: string, start: number, end: number): boolean {
    return this.world.actors.some(
      (actor) => actor.folder === folder && actor.wasPresent(start, end),
    );
  }

  /**
   * Who had the name all the time from `start` to `end` while this session was there without it;
   * undefined if nobody did. A session that looks at the list within this time knows that.
   */
  rightfulHolder(
    name: string,
    { conversation, folder }: Holder,
    start: number,
    end: number,
  ): Actor | undefined {
    const first = this.#versions.findLastIndex(({ at }) => at < start - SLACK_MS);
    const versions = this.#versions.slice(Math.max(0, first));
    const isOther = (each: Holder, other: string) =>
      each.folder === other && each.conversation !== conversation;
    const during = versions.filter(({ at }) => at <= end + SLACK_MS);
    return this.world.actors.find(
      (other) =>
        other.folder !== folder &&
        other.wasPresent(start - SLACK_MS, end + SLACK_MS) &&
        during.every(({ holders }) => {
          const all = holders.get(nameKey(name)) ?? [];
          const isOwn = all.some((each) => each.folder === folder);
          return !isOwn && all.some((each) => isOther(each, other.folder));
        }),
    );
  }

  /** The holder in the last version. */
  holderNow(name: string): Actor | undefined {
    this.look();
    const holders = this.#versions.at(-1)?.holders.get(nameKey(name)) ?? [];
    return this.world.actors.find(
      ({ folder, isUp }) => isUp && holders.some((each) => each.folder === folder),
    );
  }
}

type Listed = Partial<Entry> & { cwd?: string; names?: string[]; claude_session?: string };

/** A session, and the conversation that was open in it then. */
export interface Holder {
  readonly conversation: string;
  readonly folder: string;
}
