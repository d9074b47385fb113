import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Pulse } from "../../src/sessions/pulse.ts";

/** A started pulse among so many sessions, and how often it has beaten since. */
async function pulseAmong(t: TestContext, listed: number) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  let beats = -1;
  const pulse = new Pulse(async () => ++beats >= 0);
  pulse.listed = listed;
  await pulse.start();
  return { pulse, beats: () => beats };
}

test("among many sessions what can wait comes later, but within 16 s", async (t) => {
  const { pulse, beats } = await pulseAmong(t, 200);
  pulse.later();
  t.mock.timers.tick(7999);
  assert.equal(beats(), 0);
  t.mock.timers.tick(8001);
  assert.equal(beats(), 1);
});

test("a beat that is wanted soon does not wait for one that was to come later, and is both", async (t) => {
  const { pulse, beats } = await pulseAmong(t, 200);
  pulse.later();
  pulse.soon();
  t.mock.timers.tick(2000);
  assert.equal(beats(), 1);
  t.mock.timers.tick(14_000);
  assert.equal(beats(), 1);
});

test("among few, all of it comes within 2 s", async (t) => {
  const { pulse, beats } = await pulseAmong(t, 2);
  pulse.later();
  t.mock.timers.tick(2000);
  assert.equal(beats(), 1);
});
