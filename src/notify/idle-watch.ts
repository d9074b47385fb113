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

/** A watched session at one check: the notice ends the watch. */
type Checked = { readonly watched: Watched } | { readonly notice: string };

/**
 * Notifies this session once when another one goes idle, waits for its user, or ends. The other
 * session notices nothing, since its agent's registry says what it is doing.
 */
export class IdleWatch {
  #watched: readonly Watched[] = [];
  /** True while the list in this session's entry is this server's. */
  #isPublished = false;
  /** Watched until another server of this session took over. It goes on with the entry's list. */
  #handedOver: readonly Watched[] = [];

  constructor(private readonly options: IdleWatchOptions) {}

  /** Watches while this server is the session's. The list goes from server to server. */
  start(): void {
    this.options.presence.on("change", () => this.#follow());
    this.#follow();
  }

  #follow(): void {
    const { state } = this.options.presence;
    if (state === "replaced" && this.#isPublished) this.#handOver();
    if (state === "active" && !this.#isPublished) this.#takeOver();
  }

  #handOver(): void {
    this.#isPublished = false;
    this.#handedOver = this.#watched;
    this.#watched = [];
    this.options.presence.update({ watching: undefined });
  }

  /** Goes on to watch the sessions that an earlier server of this session watched. */
  #takeOver(): void {
    try {
      const { watching } = this.options.presence.ownEntry() ?? {};
      // Without a list, the other server has left and taken its entry with it.
      const listed = watching?.filter(isWatched) ?? this.#handedOver;
      const names = new Set(this.#watched.map(({ name }) => name));
      this.#isPublished = true;
      this.#handedOver = [];
      this.#watched = [...listed.filter(({ name }) => !names.has(name)), ...this.#watched];
      this.options.presence.update({ watching: [...this.#watched] });
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
    this.#follow(); // again, if the entry could not be read
    if (this.#watched.length === 0 || !this.options.presence.isReceiving) return;
    try {
      const online = this.options.heartbeats.online();
      const checked = this.#watched.map((watched) => this.#checkOne(watched, online));
      this.#keep(checked.flatMap((each) => ("watched" in each ? each.watched : [])));
      for (const each of checked) if ("notice" in each) this.options.announce(each.notice);
    } catch (error) {
      this.options.log(`watched sessions cannot be checked: ${messageOf(error)}`);
    }
  }

  #checkOne(watched: Watched, online: readonly Session[]): Checked {
    const session = findHolder(online, watched.name);
    if (!session && !watched.isAbsent) return { watched: { ...watched, isAbsent: true } };
    const { name } = session ?? watched;
    const hasRead = watched.file === undefined || this.options.hasRead(name, watched.file);
    const unread = hasRead ? "" : ", and has not read your message yet";
    if (!session) return { notice: `t9-ipc: ${name} has ended${unread}.` };

    const { status, waitingFor } = this.options.activityOf(session.entry) ?? {};
    if (status === "waiting") {
      const what = waitingFor ? ` (${oneLine(waitingFor, 80)})` : "";
      return { notice: `t9-ipc: ${name} waits for its user${what}${unread}.` };
    }
    if (status === "idle" && hasRead && (watched.wasBusy || watched.file !== undefined)) {
      const work = session.entry.working_on;
      const about = work ? ` It works on ${quote(work, 200)}.` : "";
      return { notice: `t9-ipc: ${name} is idle now.${about}` };
    }
    const wasBusy = watched.wasBusy || status === "busy";
    const isUnchanged = wasBusy === watched.wasBusy && !watched.isAbsent;
    return { watched: isUnchanged ? watched : { ...watched, wasBusy, isAbsent: undefined } };
  }

  #keep(watched: readonly Watched[]): void {
    const isSame =
      watched.length === this.#watched.length &&
      watched.every((each, index) => each === this.#watched[index]);
    if (isSame) return;
    this.#watched = watched;
    if (this.#isPublished) this.options.presence.update({ watching: [...watched] });
  }
}

const isWatched = (value: unknown): value is Watched =>
  typeof value === "object" && value !== null && typeof (value as Watched).name === "string";
