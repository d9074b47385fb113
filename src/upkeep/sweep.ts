import { join } from "node:path";
import { isLeftBehind } from "../agents/claude/wake-file.ts";
import { messageOf } from "../core/errors.ts";
import { isTemporary, listIfThere, tryRemove, tryStat, writeFileAtomic } from "../core/files.ts";
import { type Heartbeats, namesOf } from "../core/heartbeats.ts";
import type { Inbox } from "../core/inbox.ts";
import { type Header, mayBeAddressedTo } from "../core/message.ts";
import { isEveryone, isKnownForm, type Name } from "../core/names.ts";
import { isAddressee, isUnread, ReadState, type ReadView } from "../core/read-state.ts";
import type { DataFolder, System, Timer } from "../core/system.ts";
import type { Timestamp } from "../core/timestamps.ts";

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
const MONTH_MS = 30 * DAY_MS;
/** The first sweep waits until the session has started. */
const FIRST_MS = 15_000;
const INTERVAL_MS = 60_000;
/** Other work is let through after this long. */
const SLICE_MS = 4;

export interface SweptFolder extends DataFolder {
  /** Folders in which the plugin's hook and the servers leave files for sessions. */
  readonly wakeFolders: readonly string[];
}

/**
 * Keeps the folder short, once an hour for all its servers. Messages move to the archive: over a
 * day old and read by all their addressees; broadcasts over seven days; direct mail over 30 days.
 * A message's age is that of its file.
 */
export class Sweep {
  #timer: Timer | undefined;

  constructor(
    private readonly folder: SweptFolder,
    private readonly system: System,
    private readonly inbox: Inbox,
    private readonly heartbeats: Heartbeats,
  ) {}

  start(): void {
    this.#timer = this.system.clock.after(FIRST_MS, () => {
      void this.sweepIfDue();
      this.#timer = this.system.clock.every(INTERVAL_MS, () => void this.sweepIfDue());
    });
  }

  close(): void {
    this.#timer?.cancel();
  }

  async sweepIfDue(): Promise<void> {
    try {
      if (this.#isDue()) await this.sweep();
    } catch (error) {
      this.system.log(`sweep: ${messageOf(error)}`);
    }
  }

  /** True if a sweep is due. The mtime of `.swept` is the time of the last one. */
  #isDue(): boolean {
    const mark = join(this.folder.dir, ".swept");
    const swept = tryStat(this.system.files, mark)?.mtimeMs ?? 0;
    const isDue = Math.abs(this.system.clock.now() - swept) > HOUR_MS;
    if (isDue) writeFileAtomic(this.system.files, mark, "");
    return isDue;
  }

  /** Any server may do this at any time, several at once as well. */
  async sweep(): Promise<void> {
    const pause = createPause(this.system);
    this.#removeLeftovers();
    await this.system.clock.nextTurn();
    this.inbox.scan(); // throws if mail may be waiting that nobody has seen
    await this.system.clock.nextTurn();
    const states = this.#readStates();
    await this.#archiveOld(states, pause);
    await this.#compact(states, pause);
    await this.#forgetNames(states, pause);
  }

  /**
   * Those of all known names. A session that has just come may be on the list and have no file yet.
   * Throws if `read/` cannot be listed: then nothing is known to be read by all.
   */
  #readStates(): ReadState[] {
    const known = listIfThere(this.system.files, this.folder.read).filter(isKnownForm);
    const states = known.map((name) => new ReadState(this.folder, this.system, name));
    for (const session of this.heartbeats.online()) {
      for (const name of namesOf(session).filter((each) => !known.includes(each))) {
        const state = new ReadState(this.folder, this.system, name);
        state.defaultSince = session.entry.since as Timestamp | undefined;
        states.push(state);
      }
    }
    return states;
  }

  async #archiveOld(states: readonly ReadState[], pause: () => Promise<void>): Promise<void> {
    const views = new Map<Name, ReadView>();
    for (const state of states) {
      views.set(state.name, state.view());
      await pause();
    }
    // A name whose marks cannot be read just now may have read nothing.
    const areKnown = states.every(({ problem }) => problem === undefined);
    for (const file of [...this.inbox.files]) {
      await pause();
      try {
        if (this.#isDone(file, views, areKnown)) this.inbox.archive(file);
      } catch (error) {
        this.system.log(`inbox/${file} not archived: ${messageOf(error)}`);
      }
    }
  }

  #isDone(file: string, views: ReadonlyMap<Name, ReadView>, areKnown: boolean): boolean {
    const storedAt = this.inbox.storedAt(file);
    if (storedAt === undefined) return false;
    const age = this.system.clock.now() - storedAt;
    if (age < DAY_MS) return false;
    const header = this.inbox.header(file);
    if (!header) return false;
    const isRead = areKnown && isReadByAll(header, views);
    return isRead || age > (isEveryone(header.to) ? WEEK_MS : MONTH_MS);
  }

  async #compact(states: readonly ReadState[], pause: () => Promise<void>): Promise<void> {
    for (const state of states) {
      const gone = new Set<string>();
      for (const file of state.view().files()) {
        await pause();
        if (!this.#isInInbox(file)) gone.add(file);
      }
      if (gone.size > 0) await state.compact(gone);
    }
  }

  /**
   * Asks the disk as well, since a message may have come after the folder was listed. If the disk
   * does not answer, the message counts as present.
   */
  #isInInbox(file: string): boolean {
    if (this.inbox.files.has(file)) return true;
    try {
      return this.system.files.stat(this.inbox.pathOf(file)) !== undefined;
    } catch {
      return true;
    }
  }

  /** Names that were last in use 30 days ago and have no mail waiting, as far as it can be read. */
  async #forgetNames(states: readonly ReadState[], pause: () => Promise<void>): Promise<void> {
    const path = (name: Name): string => join(this.folder.read, name);
    const old = states.filter(({ name }) => this.#ageOf(path(name)) > MONTH_MS);
    for (const state of old) {
      await pause();
      const { headers, unreadable } = this.inbox.headers(mayBeAddressedTo([state.name]));
      const view = state.view();
      const isAwaited = headers.some(
        (header) => !isEveryone(header.to) && isUnread([view], header),
      );
      if (isAwaited || unreadable.length > 0) continue;
      tryRemove(this.system.files, path(state.name));
    }
  }

  /** Files that a writer or a session has left behind because it was killed. */
  #removeLeftovers(): void {
    const { dir, inbox, read, wakeFolders } = this.folder;
    for (const folder of [dir, inbox, read, ...wakeFolders]) {
      // A temporary file lives for milliseconds.
      this.#remove(folder, (file, path) => isTemporary(file) && this.#ageOf(path) > HOUR_MS);
    }
    for (const folder of wakeFolders) {
      // Those of other hosts are theirs to remove, and of hosts that never come back nobody's.
      this.#remove(
        folder,
        (file, path) => isLeftBehind(file, this.system.processes) || this.#ageOf(path) > MONTH_MS,
      );
    }
  }

  /** Removes such files from a folder, which need not exist. */
  #remove(folder: string, isLeft: (file: string, path: string) => boolean): void {
    const { files, log } = this.system;
    try {
      for (const file of listIfThere(files, folder)) {
        const path = join(folder, file);
        if (isLeft(file, path)) tryRemove(files, path);
      }
    } catch (error) {
      log(`${folder} cannot be swept: ${messageOf(error)}`);
    }
  }

  /** How long ago the file was changed, in ms; 0 if it is gone. */
  #ageOf(path: string): number {
    const now = this.system.clock.now();
    return now - (tryStat(this.system.files, path)?.mtimeMs ?? now);
  }
}

/** True if every name that this is mail for has read it, those that are offline included. */
function isReadByAll(header: Header, views: ReadonlyMap<Name, ReadView>): boolean {
  const addressees = [...views.values()].filter((view) => isAddressee([view], header));
  return addressees.length > 0 && addressees.every((view) => view.hasRead(header.file));
}

/** Returns a function that lets other work through once a slice of time is used up. */
function createPause({ clock }: System): () => Promise<void> {
  let end = clock.elapsed() + SLICE_MS;
  return async () => {
    if (clock.elapsed() < end) return;
    await clock.nextTurn();
    end = clock.elapsed() + SLICE_MS;
  };
}
