const BEAT_MS = 30_000;
/** A beat that is wanted soon comes after this and up to twice this, so that those of many do not come together. */
const SOON_MS = 1000;
/** Where many wait for one lock, asking again at once would keep them waiting for ever. */
const MAX_PATIENCE = 16;
/** From so many sessions on, what can wait comes later in proportion, but no more than so many times later. */
const MANY = 10;
const LATEST = 8;

/** When a session's heart beats: at the start, every 30 s, and soon after it was asked to. */
export class Pulse {
  #timer: NodeJS.Timeout | undefined;
  #next: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  /** How many sessions heartbeats.json lists. */
  listed = 0;
  /** How much later than usual the next beat comes. It grows with each one that failed. */
  #patience = 1;

  /** `beat` resolves to false where it could not be written; it never rejects. */
  constructor(private readonly beat: () => Promise<boolean>) {}

  get isStarted(): boolean {
    return this.#timer !== undefined;
  }

  /** Resolves after the first beat, whether it could be written or not. */
  start(): Promise<void> {
    this.#timer = setInterval(() => this.soon(), BEAT_MS).unref();
    return this.#now();
  }

  /** Returns at once. Does nothing before the start. */
  soon(times = 1): void {
    if (!this.#timer) return;
    const ms = SOON_MS * this.#patience * times * (1 + Math.random());
    this.#next ??= setTimeout(() => void this.#now(), ms).unref();
  }

  /** As `soon`; among many sessions later, since each beat makes all the others read the list. */
  later(): void {
    this.soon(Math.min(Math.max(this.listed / MANY, 1), LATEST));
  }

  #now(): Promise<void> {
    this.#next = undefined;
    this.#beating = this.beat().then((isWritten) => {
      this.#patience = isWritten ? 1 : Math.min(this.#patience * 2, MAX_PATIENCE);
      if (!isWritten) this.soon();
    });
    return this.#beating;
  }

  /** No beat comes any more. Resolves when one that is under way is over. */
  stop(): Promise<void> {
    clearInterval(this.#timer);
    clearTimeout(this.#next);
    this.#timer = undefined;
    return this.#beating;
  }
}
