import type { Clock, Timer } from "./system.ts";

const timer = (handle: NodeJS.Timeout): Timer => {
  handle.unref();
  return { cancel: () => clearTimeout(handle) };
};

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  zoneOffset: (ms) => -new Date(ms).getTimezoneOffset() * 60_000,
  after: (ms, run) => timer(setTimeout(run, ms)),
  every: (ms, run) => timer(setInterval(run, ms)),
  nextTurn: () => new Promise((resolve) => setImmediate(resolve)),
};
