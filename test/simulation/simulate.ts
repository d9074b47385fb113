// npm run simulate -- --runs N --seed S [--path P]: draws histories until a promise breaks.
// With --first the history is shown as it was drawn, and no shorter one is looked for.

import { parseArgs } from "node:util";
import fc from "fast-check";
import { histories, run } from "./history.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000" },
    seed: { type: "string", default: String(Date.now() & 0x7fffffff) },
    path: { type: "string" },
    first: { type: "boolean", default: false },
  },
});
const start = process.cpuUsage();
const details = await fc.check(
  fc.asyncProperty(histories, async (history) => void (await run(history))),
  {
    numRuns: Number(values.runs),
    seed: Number(values.seed),
    endOnFailure: values.first,
    ...(values.path !== undefined && { path: values.path }),
  },
);
const { user, system } = process.cpuUsage(start);
const seconds = ((user + system) / 1e6).toFixed(1);
console.log(`${details.numRuns} histories, seed ${values.seed}, ${seconds} s of CPU`);
if (details.failed) {
  const [history] = details.counterexample ?? [];
  if (history) {
    const error = await run(history, true).catch((error: Error) => error);
    console.log(error instanceof Error ? error.message : "not reproduced");
  } else console.log(details.errorInstance);
  console.log(
    `Replay: npm run simulate -- --runs 1 --seed=${values.seed} --path ${details.counterexamplePath}`,
  );
  process.exitCode = 1;
}
