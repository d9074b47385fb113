// Time that passes only when a test says so.

import type { Clock, Timer } from "../../src/core/system.ts";

interface Due {
  readonly at: number;
  readonly run: () => void;
}

/** Lets everything run that waits for promises only: Node runs ticks when no promise is left. */
const drainMicrotasks = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

/** One timeline, on which any number of clocks run. */
export class VirtualTime {
  /** In ms since the timeline began. */
  elapsed = 0;
  readonly #timers = new Set<Due>();
  #turns: (() => void)[] = [];

  at(at: number, run: () => void): Timer {
    const due = { at, run };
    this.#timers.add(due);
    return { cancel: () => void this.#timers.delete(due) };
  }

  nextTurn(): Promise<void> {
    return new Promise((resolve) => this.#turns.push(resolve));
  }

  /** Runs everything that is due now. */
  async settle(): Promise<void> {
    await this.#runUntil(this.elapsed);
  }

  async advance(ms: number): Promise<void> {
    const end = this.elapsed + ms;
    await this.#runUntil(end);
    this.elapsed = end;
  }

  /** Resolves with the promise's result, and lets time pass until there is one. */
  async wait<T>(promise: Promise<T>, maxMs = 600_000): Promise<T> {
    let isSettled = false;
    const settled = () => {
      isSettled = true;
    };
    promise.then(settled, settled);
    const end = this.elapsed + maxMs;
    await this.settle();
    while (!isSettled) {
      const next = this.#next(end);
      if (!next) throw new Error("nothing is going to settle this promise");
      await this.#runUntil(next.at);
    }
    return promise;
  }

  #next(end: number): Due | undefined {
    let next: Due | undefined;
    for (const due of this.#timers) if (due.at <= end && !(next && next.at <= due.at)) next = due;
    return next;
  }

  async #runUntil(end: number): Promise<void> {
    for (;;) {
      await drainMicrotasks();
      const turns = this.#turns;
      this.#turns = [];
      if (turns.length > 0) {
        for (const resolve of turns) resolve();
        continue;
      }
      const next = this.#next(end);
      if (!next) return;
      this.#timers.delete(next);
      this.elapsed = Math.max(this.elapsed, next.at);
      next.run();
    }
  }
}

/** 2026-11-22, 15:30 UTC. */
export const START = Date.UTC(2026, 10, 22, 15, 30);

export class VirtualClock implements Clock {
  /** How far this clock is ahead of the timeline. */
  skewMs = 0;
  /** Local time minus UTC. */
  zoneMs = 0;

  constructor(readonly time = new VirtualTime()) {}

  now = (): number => START + Math.floor(this.time.elapsed) + this.skewMs;
  elapsed = (): number => this.time.elapsed;
  zoneOffset = (): number => this.zoneMs;
  after = (ms: number, run: () => void): Timer => this.time.at(this.time.elapsed + ms, run);
  nextTurn = (): Promise<void> => this.time.nextTurn();

  every = (ms: number, run: () => void): Timer => {
    let timer: Timer;
    const again = (): void => {
      timer = this.after(ms, () => {
        again();
        run();
      });
    };
    again();
    return { cancel: () => timer.cancel() };
  };
}
