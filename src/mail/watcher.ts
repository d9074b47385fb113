import { watch } from "node:fs";
import { FSWatcher } from "chokidar";
import type { Config } from "../config.ts";
import { checkMounted, makeFolder, reasonOf, statOf } from "../files.ts";
import type { Inbox } from "./inbox.ts";

/** So often the folder is looked at without an event: events can be missed, folders replaced. */
const TICK_MS = 2000;
/** ... and so often where the system has no watch to give: Linux has 128 for all processes of a user. */
const UNWATCHED_MS = 500;
/** Then it is asked again after this. */
const RETRY_MS = 120_000;

/**
 * chokidar lists its folder and stats every file in it at each change: 150 ms of CPU at 10,000 files. The inbox
 * does its own listing, so of chokidar this keeps the events. And it takes them from the system as they are: chokidar
 * resolves paths for watchers of single files, which doubles what a message costs all those it is not for.
 */
class Events extends FSWatcher {
  /** `onEvent` gets the name of the file that an event is about, where the system tells it. */
  constructor(onEvent: (file: string | null) => void) {
    super({ depth: 0, ignoreInitial: true });
    const handler = this._nodeFsHandler;
    handler._handleRead = () => undefined;
    handler._watchWithNodeFs = (path) => {
      try {
        const watcher = watch(path, (_, file) => onEvent(file));
        watcher.on("error", handler._boundHandleError);
        return () => watcher.close();
      } catch (error) {
        return void handler._boundHandleError(error);
      }
    };
  }
}

/** Feeds the inbox from file system events, and from a look at the folder now and then. */
export class Watcher {
  /** Resolves when the folder has been listed with its watch standing: from then on, events come in order. */
  readonly ready: Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #unwatched: NodeJS.Timeout | undefined;
  /** By performance.now. */
  #retryAt = Infinity;
  #events: Events | undefined;
  /** The inode of the folder that is watched, or only looked at with IPC_POLL; 0 for none. */
  #folder = 0;

  /** `onTick` is called after each look at the folder: every 2 s, or IPC_POLL. */
  constructor(
    private readonly config: Config,
    private readonly inbox: Inbox,
    private readonly onTick: () => void,
  ) {
    this.ready = new Promise((resolve) => this.#watch(resolve));
    this.#timer = setInterval(() => void this.#tick(), Math.min(TICK_MS, config.poll ?? TICK_MS));
  }

  #watch(isReady = (): void => {}): void {
    const { dir, inbox, poll, log } = this.config;
    void this.#events?.close();
    this.#events = undefined;
    clearInterval(this.#unwatched);
    this.#unwatched = undefined;
    this.#retryAt = Infinity;
    try {
      checkMounted(dir);
      makeFolder(inbox);
    } catch {
      // the inbox says why it cannot be listed
    }
    this.#folder = statOf(inbox)?.ino ?? 0;
    if (poll || !this.#folder) return void this.#list().then(isReady); // then `#tick` lists it, or finds it again
    const events = new Events((file) => (file ? this.#look(file) : void this.#list()));
    // What came before the watch stood made no event.
    events.on("ready", () => void this.#list().then(isReady));
    events.on("error", (error) => {
      log(`inbox not watched (${reasonOf(error)}): looking every ${UNWATCHED_MS} ms instead`);
      this.#unwatched ??= setInterval(
        () => this.inbox.hasChanged() && void this.#list(),
        UNWATCHED_MS,
      );
      this.#retryAt = performance.now() + RETRY_MS;
      void this.#list().then(isReady);
    });
    events.add(inbox);
    this.#events = events;
  }

  #look(file: string): void {
    try {
      this.inbox.look(file);
    } catch (error) {
      this.config.log(`inbox/${file} cannot be seen: ${reasonOf(error)}`); // the next listing tries again
    }
  }

  async #list(): Promise<void> {
    try {
      checkMounted(this.config.dir);
      await this.inbox.reconcile();
    } catch (error) {
      this.config.log(`inbox cannot be read: ${reasonOf(error)}`);
    }
  }

  /** Looks at the folder, whatever events there were, and watches the one that is there now. */
  async #tick(): Promise<void> {
    await this.#list();
    const folder = statOf(this.config.inbox)?.ino ?? 0;
    if (folder !== this.#folder || performance.now() > this.#retryAt) this.#watch();
    this.inbox.saveCache();
    this.onTick();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    clearInterval(this.#unwatched);
    await this.#events?.close();
  }
}
