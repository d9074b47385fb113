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
  /** A beat that is wanted soon does not wait for one that may come later. */
  #soon: NodeJS.Timeout | undefined;
  #later: NodeJS.Timeout | undefined;
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
  soon(): void {
    if (this.#timer) this.#soon ??= this.#after(SOON_MS);
  }

  /** As `soon`; among many sessions later, since each beat makes all the others read the list. */
  later(): void {
    if (this.#timer)
      this.#later ??= this.#after(SOON_MS * Math.min(Math.max(this.listed / MANY, 1), LATEST));
  }

  #after(ms: number): NodeJS.Timeout {
    return setTimeout(() => void this.#now(), ms * this.#patience * (1 + Math.random())).unref();
  }

  #now(): Promise<void> {
    this.#forget();
    this.#beating = this.beat().then((isWritten) => {
      this.#patience = isWritten ? 1 : Math.min(this.#patience * 2, MAX_PATIENCE);
      if (!isWritten) this.soon();
    });
    return this.#beating;
  }

  #forget(): void {
    clearTimeout(this.#soon);
    clearTimeout(this.#later);
    this.#soon = this.#later = undefined;
  }

  /** No beat comes any more. Resolves when one that is under way is over. */
  stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#forget();
    this.#timer = undefined;
    return this.#beating;
  }
}
