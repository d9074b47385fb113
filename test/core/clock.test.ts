import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/core/clock.ts";

test("a timer does not keep the process alive", () => {
  const active = () => process.getActiveResourcesInfo().filter((each) => each === "Timeout");
  const before = active();
  const timers = [systemClock.after(60_000, () => {}), systemClock.every(60_000, () => {})];
  const after = active();
  for (const timer of timers) timer.cancel();
  assert.deepEqual(after, before);
});
