import { FSWatcher } from "chokidar";
import type { Config } from "../config.ts";
import { checkMounted, makeFolder, reasonOf, statOf } from "../files.ts";
import type { Inbox } from "./inbox.ts";

/** So often the folder is looked at without an event: events can be missed, folders replaced. */
const TICK_MS = 2000;
const REWATCH_MS = 60_000;

/**
 * chokidar lists its folder and stats every file in it at each change: 150 ms of CPU at 10,000 files. The inbox
 * does its own listing, so of chokidar this keeps the events.
 */
class Events extends FSWatcher {
  constructor() {
    super({ depth: 0, ignoreInitial: true });
    this._nodeFsHandler._handleRead = () => undefined;
  }
}

/** Feeds the inbox from file system events, and from a look at the folder now and then. */
export class Watcher {
  readonly #config: Config;
  readonly #inbox: Inbox;
  readonly #onTick: () => void;
  /** Resolves when the folder has been listed with its watch standing: from then on, events come in order. */
  readonly ready: Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #isReady = (): void => {};
  #events: Events | undefined;
  /** When (ms) the folder turned out not to be watchable. */
  #failedAt: number | undefined;
  /** The folder's inode. */
  #folder = 0;

  /** `onTick` is called after each look at the folder: every 2 s, or IPC_POLL. */
  constructor(config: Config, inbox: Inbox, onTick: () => void) {
    this.#config = config;
    this.#inbox = inbox;
    this.#onTick = onTick;
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve;
    });
    this.#watch();
    this.#timer = setInterval(() => void this.#tick(), Math.min(TICK_MS, config.poll ?? TICK_MS));
  }

  #watch(): void {
    const { dir, inbox, poll, log } = this.#config;
    void this.#events?.close();
    this.#events = undefined;
    this.#failedAt = undefined;
    try {
      checkMounted(dir);
      makeFolder(inbox);
    } catch {
      // the inbox says why it cannot be listed
    }
    this.#folder = statOf(inbox)?.ino ?? 0;
    if (poll || !this.#folder) return void this.#list().then(this.#isReady); // then `#tick` lists it, or finds it again
    const events = new Events();
    events.on("raw", (_event, file) => {
      if (typeof file === "string") this.#look(file);
      else void this.#list();
    });
    // What came before the watch stood made no event.
    events.on("ready", () => void this.#list().then(this.#isReady));
    events.on("error", (error) => {
      log(`inbox not watched (${reasonOf(error)}): looking every ${TICK_MS / 1000} s instead`);
      this.#failedAt = performance.now();
      void this.#list().then(this.#isReady);
    });
    events.add(inbox);
    this.#events = events;
  }

  #look(file: string): void {
    try {
      this.#inbox.look(file);
    } catch (error) {
      this.#config.log(`inbox/${file} cannot be seen: ${reasonOf(error)}`); // the next listing tries again
    }
  }

  async #list(): Promise<void> {
    try {
      checkMounted(this.#config.dir);
      await this.#inbox.reconcile();
    } catch (error) {
      this.#config.log(`inbox cannot be read: ${reasonOf(error)}`);
    }
  }

  /** Looks at the folder, whatever events there were, and watches the one that is there now. */
  async #tick(): Promise<void> {
    await this.#list();
    const isReplaced = (statOf(this.#config.inbox)?.ino ?? 0) !== this.#folder;
    if (this.#failedAt ? performance.now() - this.#failedAt > REWATCH_MS : isReplaced) this.#watch();
    this.#inbox.saveCache();
    this.#onTick();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#events?.close();
  }
}
