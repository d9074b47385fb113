import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Longer than anything in these tests takes, even on a machine that is busy with other things. */
const PATIENCE_MS = 30_000;

/**
 * Waits until the condition holds and returns what it returned. Fails with `what` after `ms` milliseconds.
 * Give `ms` only where the time itself is what the test is about.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  what: string | (() => string),
  ms = PATIENCE_MS,
): Promise<Exclude<T, undefined | null | false | "" | 0>> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, undefined | null | false | "" | 0>;
    if (performance.now() > deadline) assert.fail(`waited ${ms} ms for ${typeof what === "string" ? what : what()}`);
    await sleep(5);
  }
}
