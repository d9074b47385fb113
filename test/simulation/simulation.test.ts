import { test } from "node:test";
import fc from "fast-check";
import { histories, run } from "./history.ts";

/**
 * As many as take some fifteen seconds of CPU.
 */
const RUNS = 1000;
/**
 * Always the same histories, so that a change is told from bad luck. `npm run simulate` draws
 * others.
 */
const SEED = 20261126;

test("no history of sends, reads, renames, faults and crashes breaks a promise", async () => {
  const property = fc.asyncProperty(histories, async (history) => void (await run(history)));
  await fc.assert(property, {
    numRuns: RUNS,
    seed: SEED,
    reporter(details) {
      if (!details.failed) return;
      const { seed, counterexamplePath: path, errorInstance } = details;
      throw new Error(
        `${errorInstance}\nReplay: npm run simulate -- --runs 1 --seed=${seed} --path ${path}`,
      );
    },
  });
});
