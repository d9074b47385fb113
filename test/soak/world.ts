// One run of a script: its folder, its sessions, its dice, and what went wrong.

import { appendFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeDir, removeDir } from "../support/folder.ts";
import { endAllIn } from "../support/process.ts";
import { createRandom } from "../support/random.ts";
import type { Actor } from "./actor.ts";
import { Ledger } from "./ledger.ts";
import { NameTimeline } from "./names.ts";

/** Every call is answered within this time. */
const ANSWER_MS = 15_000;
/** More violations of one run tell nothing new. */
const MAX_SHOWN = 20;

export class World {
  readonly dir = makeDir();
  readonly actors: Actor[] = [];
  readonly names = new NameTimeline(this);
  readonly ledger = new Ledger(this);
  readonly violations: string[] = [];
  readonly random: () => number;
  readonly #counts = new Map<string, number>();
  readonly #started = Date.now();
  #slowest = { ms: 0, tool: "" };
  #deadline = 0;

  constructor(
    readonly title: string,
    readonly seed: number,
  ) {
    this.random = createRandom(seed);
  }

  get isOver(): boolean {
    return Date.now() >= this.#deadline;
  }

  /** A whole number from `min` up to, but not including, `max`. */
  between(min: number, max: number): number {
    return min + Math.floor(this.random() * (max - min));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length)] as T;
  }

  /** Draws one of the keys as often as its weight says. */
  draw<K extends string>(weights: Readonly<Record<K, number>>): K {
    const all = Object.entries(weights) as [K, number][];
    let left = this.random() * all.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of all) {
      left -= weight;
      if (left < 0) return key;
    }
    return all[0]?.[0] as K;
  }

  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by);
  }

  /** Evidence that stays beside the data folder if a promise does not hold. */
  log(text: string): void {
    appendFileSync(join(this.dir, "../soak.log"), `${new Date().toISOString()} ${text}\n`);
  }

  fail(text: string): void {
    this.log(`VIOLATION: ${text}`);
    this.violations.push(text);
    if (this.violations.length <= MAX_SHOWN) console.log(`${this.title}: VIOLATION: ${text}`);
  }

  onAnswer(tool: string, ms: number, who: string): void {
    this.count(`calls of ${tool}`);
    if (ms > this.#slowest.ms) this.#slowest = { ms, tool };
    if (ms > ANSWER_MS) this.fail(`${who} waited ${ms} ms for the answer to ${tool}`);
  }

  /** Repeats these side by side for so many minutes, each after a pause of its own. */
  async play(minutes: number, loops: readonly Loop[]): Promise<void> {
    this.#deadline = Date.now() + minutes * 60_000;
    await Promise.all(loops.map((loop) => this.#repeat(loop)));
  }

  async #repeat({ pause: [min, max], step }: Loop): Promise<void> {
    for (;;) {
      const ms = this.between(min, max);
      await sleep(Math.min(ms, Math.max(0, this.#deadline - Date.now())));
      if (this.isOver) return;
      await step();
    }
  }

  /** Prints the block of this run. The folder is kept as evidence of a violation. */
  async end(): Promise<void> {
    const { title, seed, violations, dir } = this;
    const seconds = Math.round((Date.now() - this.#started) / 1000);
    const counts = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    const slowest = `slowest answer: ${this.#slowest.ms} ms, ${this.#slowest.tool}`;
    const facts = [...counts.map(([what, count]) => `${what}: ${count}`), slowest];
    const found = violations.length === 0 ? "none" : `${violations.length}, folder ${dir}`;
    const lines = facts.map((fact) => `  ${fact}\n`).join("");
    console.log(`\n${title}: ${seconds} s, seed ${seed}\n${lines}  violations: ${found}\n`);
    for (const actor of this.actors) await actor.end();
    this.names.close();
    if (violations.length === 0) await removeDir(dir);
    else await endAllIn(dirname(dir));
  }
}

export interface Loop {
  /** Milliseconds between two steps: at least, and less than. */
  readonly pause: readonly [number, number];
  readonly step: () => Promise<unknown> | unknown;
}
