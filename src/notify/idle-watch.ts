import { messageOf } from "../core/errors.ts";
import { type Entry, findHolder, type Heartbeats, type Session } from "../core/heartbeats.ts";
import type { Log } from "../core/log.ts";
import type { Name } from "../core/names.ts";
import type { Presence } from "../core/presence.ts";
import { oneLine, quote } from "../core/text.ts";

/** The state of a session, as its agent reports it. */
export interface Activity {
  readonly status?: "busy" | "idle" | "waiting" | undefined;
  readonly waitingFor?: string | undefined;
}

/** One session that is watched for this session. Kept in the entry of heartbeats.json. */
interface Watched {
  readonly name: Name;
  /** The message that it has to have read first. */
  readonly file?: string | undefined;
  /** True once it was seen at work. */
  readonly wasBusy: boolean;
  /** True if it was not on the list at the last check: its server may be starting anew. */
  readonly isAbsent?: boolean | undefined;
}

export interface IdleWatchOptions {
  readonly presence: Presence;
  readonly heartbeats: Heartbeats;
  readonly activityOf: (entry: Readonly<Entry>) => Activity | undefined;
  /** True if the session of that name has read the message. */
  readonly hasRead: (name: Name, file: string) => boolean;
  readonly announce: (text: string) => void;
  readonly log: Log;
}

/** The answer to the request for a notice. */
export type WatchAnswer = "watching" | "idle" | "unknown" | "offline";

/**
 * Notifies this session once when another one goes idle, waits for its user, or ends. The other
 * session notices nothing, since its agent's registry says what it is doing.
 */
export class IdleWatch {
  #watched: readonly Watched[] = [];

  constructor(private readonly options: IdleWatchOptions) {}

  /** Goes on to watch the sessions that an earlier server of this session watched. */
  restore(): void {
    try {
      const { watching = [] } = this.options.presence.ownEntry() ?? {};
      this.#watched = watching.filter(isWatched);
    } catch (error) {
      this.options.log(`watched sessions cannot be restored: ${messageOf(error)}`);
    }
  }

  /**
   * Starts to watch. With `file`, the notice comes when the session has read that message and is
   * idle again.
   */
  watch(name: Name, file?: string): WatchAnswer {
    const session = this.#find(name);
    if (session === undefined) return "offline";
    const { status } = this.options.activityOf(session.entry) ?? {};
    if (status === undefined) return "unknown";
    if (status === "idle" && file === undefined) return "idle";
    const watched = { name: session.name, file, wasBusy: status === "busy" };
    this.#keep([...this.#watched.filter((each) => each.name !== session.name), watched]);
    return "watching";
  }

  /** Undefined if the session is offline, or if the list cannot be read just now. */
  #find(name: Name): Session | undefined {
    try {
      return findHolder(this.options.heartbeats.online(), name);
    } catch (error) {
      this.options.log(`${name} cannot be watched: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Checks every watched session. Called every few seconds. */
  check(): void {
    if (this.#watched.length === 0 || !this.options.presence.isReceiving) return;
    try {
      const online = this.options.heartbeats.online();
      this.#keep(this.#watched.flatMap((watched) => this.#checkOne(watched, online)));
    } catch (error) {
      this.options.log(`watched sessions cannot be checked: ${messageOf(error)}`);
    }
  }

  /** Returns the sessions that are still to be watched. */
  #checkOne(watched: Watched, online: readonly Session[]): Watched[] {
    const session = findHolder(online, watched.name);
    if (!session && !watched.isAbsent) return [{ ...watched, isAbsent: true }];
    if (!session) {
      this.options.announce(`t9-ipc: ${watched.name} has ended.`);
      return [];
    }
    const { status, waitingFor } = this.options.activityOf(session.entry) ?? {};
    if (status === "waiting") {
      const what = oneLine(waitingFor ?? "", 80);
      this.options.announce(`t9-ipc: ${session.name} waits for its user (${what}).`);
      return [];
    }
    const hasRead = watched.file === undefined || this.options.hasRead(session.name, watched.file);
    const isDone = status === "idle" && hasRead && (watched.wasBusy || watched.file !== undefined);
    const wasBusy = watched.wasBusy || status === "busy";
    const isUnchanged = wasBusy === watched.wasBusy && !watched.isAbsent;
    if (!isDone) return [isUnchanged ? watched : { ...watched, wasBusy, isAbsent: undefined }];
    const work = session.entry.working_on;
    const about = work ? ` It works on ${quote(work, 200)}.` : "";
    this.options.announce(`t9-ipc: ${session.name} is idle now.${about}`);
    return [];
  }

  #keep(watched: readonly Watched[]): void {
    const isSame =
      watched.length === this.#watched.length &&
      watched.every((each, index) => each === this.#watched[index]);
    if (isSame) return;
    this.#watched = watched;
    this.options.presence.update({ watching: [...watched] });
  }
}

const isWatched = (value: unknown): value is Watched =>
  typeof value === "object" && value !== null && typeof (value as Watched).name === "string";
