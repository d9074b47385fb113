import type { Clock, Timer } from "./system.ts";

const HEARTBEAT_MS = 30_000;
/** Changes are written after this and up to twice this, so that several are written together. */
const DEBOUNCE_MS = 1000;
/** A beat that failed is repeated after a pause that grows up to this many times. */
const MAX_BACKOFF = 16;

/** Calls `beat` every 30 seconds, soon after a change, and again after a failure. */
export class HeartbeatTimer {
  #interval: Timer | undefined;
  #pending: Timer | undefined;
  #backoff = 1;

  /** @param beat writes the heartbeat; resolves to false if it could not, and never rejects */
  constructor(
    private readonly clock: Clock,
    private readonly beat: () => Promise<boolean>,
  ) {}

  /** @param isWanted returns false if the regular beat is to be left out this time */
  start(isWanted: () => boolean): void {
    this.#interval = this.clock.every(HEARTBEAT_MS, () => {
      if (isWanted()) void this.run();
    });
  }

  close(): void {
    this.#interval?.cancel();
    this.#interval = undefined;
    this.#cancel();
  }

  /**
   * Beats within two seconds, or later after failures. Does nothing unless the timer was started.
   */
  schedule(): void {
    this.#schedule(DEBOUNCE_MS * this.#backoff * (1 + Math.random()));
  }

  /** Beats as soon as the present work is done. */
  scheduleNow(): void {
    this.#cancel();
    this.#schedule(0);
  }

  #schedule(ms: number): void {
    if (this.#interval) this.#pending ??= this.clock.after(ms, () => void this.run());
  }

  #cancel(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
  }

  /** Beats now. Resolves after this one try; if it fails, others follow by themselves. */
  async run(): Promise<void> {
    this.#cancel();
    const isWritten = await this.beat();
    this.#backoff = isWritten ? 1 : Math.min(this.#backoff * 2, MAX_BACKOFF);
    if (!isWritten) this.schedule();
  }
}
