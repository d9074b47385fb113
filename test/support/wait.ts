import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

/** Longer than anything in these tests takes, even on a machine that is busy with other things. */
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 30_000);

/**
 * Waits until the condition holds and returns what it returned. Fails with `what` after `ms`
 * milliseconds. Give `ms` only where the time itself is what the test is about.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  what: string | (() => string),
  ms = PATIENCE_MS,
): Promise<Exclude<T, undefined | null | false | "" | 0>> {
  const start = performance.now();
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, undefined | null | false | "" | 0>;
    const waited = performance.now() - start;
    if (waited > ms) assert.fail(`waited ${ms} ms for ${typeof what === "string" ? what : what()}`);
    // What has taken long may be seen a little later: a look can be at a folder of thousands of
    // files.
    await sleep(Math.min(5 + waited / 20, 50));
  }
}
