// npm run soak -- [--only kill|rename|fuzz|long] [--minutes N] [--seed S]: built servers under load
// and faults, from outside. Exits with 1 if a promise does not hold.

import { parseArgs } from "node:util";
import { fuzz } from "./fuzz.ts";
import { kill } from "./kill.ts";
import { long } from "./long.ts";
import { rename } from "./rename.ts";
import { World } from "./world.ts";

const SCRIPTS = {
  kill: { script: kill, minutes: 5 },
  rename: { script: rename, minutes: 5 },
  fuzz: { script: fuzz, minutes: 5 },
  long: { script: long, minutes: 10 },
};

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    minutes: { type: "string" },
    seed: { type: "string", default: String(Date.now() & 0x7fffffff) },
  },
});
for (const [title, { script, minutes }] of Object.entries(SCRIPTS)) {
  if (values.only !== undefined && values.only !== title) continue;
  const world = new World(title, Number(values.seed));
  try {
    await script(world, Number(values.minutes ?? minutes));
  } catch (error) {
    world.fail(`the script ended early: ${(error as Error).stack}`);
  }
  await world.end();
  if (world.violations.length > 0) process.exitCode = 1;
}
