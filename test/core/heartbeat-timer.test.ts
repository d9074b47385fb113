import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { HeartbeatTimer } from "../../src/core/heartbeat-timer.ts";
import { VirtualClock, VirtualTime } from "../support/virtual-clock.ts";

let time: VirtualTime;
/** The seconds at which there was a beat. */
let beats: number[];
let isWritten: boolean;
let isWanted: boolean;
let timer: HeartbeatTimer;

beforeEach(() => {
  mock.method(Math, "random", () => 0.5);
  time = new VirtualTime();
  beats = [];
  isWritten = true;
  isWanted = true;
  timer = new HeartbeatTimer(new VirtualClock(time), async () => {
    beats.push(time.elapsed / 1000);
    return isWritten;
  });
});

afterEach(() => mock.restoreAll());

test("a beat is written every 30 seconds while that is wanted", async () => {
  timer.start(() => isWanted);
  await time.advance(60_000);
  isWanted = false;
  await time.advance(60_000);
  assert.deepEqual(beats, [30, 60]);
});

test("changes are written together, within two seconds of the first", async () => {
  timer.start(() => false);
  timer.schedule();
  await time.advance(1000);
  timer.schedule();
  await time.advance(10_000);
  assert.deepEqual(beats, [1.5]);
});

test("a beat takes the place of the one that was scheduled", async () => {
  timer.start(() => false);
  timer.schedule();
  await timer.run();
  timer.schedule();
  timer.scheduleNow();
  await time.advance(10_000);
  assert.deepEqual(beats, [0, 0]);
});

test("a beat that failed is repeated after pauses that grow until one is written", async () => {
  timer.start(() => false);
  isWritten = false;
  await timer.run();
  await time.advance(70_000);
  assert.deepEqual(beats, [0, 3, 9, 21, 45, 69]);
  isWritten = true;
  await time.advance(30_000);
  timer.schedule();
  await time.advance(10_000);
  assert.deepEqual(beats.slice(6), [93, 101.5]);
});

test("nothing is written before the start and after the end, unless it is asked for", async () => {
  timer.schedule();
  await time.advance(10_000);
  timer.start(() => true);
  timer.schedule();
  timer.close();
  timer.schedule();
  await time.advance(60_000);
  assert.deepEqual(beats, []);
});
