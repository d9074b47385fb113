// Ten sessions that go about their work for ten minutes: nothing fails, and nothing grows.

import { readdirSync, readFileSync } from "node:fs";
import { Actor } from "./actor.ts";
import { finish } from "./finish.ts";
import type { World } from "./world.ts";

const SESSIONS = 10;
const MEASURE_MS = 5000;
/** Memory is that of one server, in MB. The inbox itself grows, and each server lists it. */
const MAX_GROWTH_MB = 12;
const MAX_MORE_HANDLES = 3;

/** V8 lets the space for new objects grow to 16 MB under load, which would hide what stays. */
const SMALL_NURSERY = { NODE_OPTIONS: "--max-semi-space-size=1" };

interface Size {
  readonly memory: number;
  readonly handles: number;
}

export async function long(world: World, minutes: number): Promise<void> {
  const names = Array.from({ length: SESSIONS }, (_, n) => `long-${n}`);
  const actors = names.map((name) => new Actor(world, name, { name, env: SMALL_NURSERY }));
  await Promise.all(actors.map((actor) => actor.start()));
  const sizes: Size[] = [];
  await world.play(minutes, [
    ...actors.map((actor) => ({
      pause: [300, 2500] as const,
      step: () => act(world, actor, names),
    })),
    { pause: [MEASURE_MS, MEASURE_MS + 1], step: () => sizes.push(measure(actors)) },
  ]);
  compare(world, sizes);
  await finish(world);
}

function act(world: World, actor: Actor, names: readonly string[]): Promise<unknown> {
  const action = world.draw({ send: 4, reply: 2, broadcast: 0.3, read: 4, who: 1 });
  return actor.perform(action, {
    to: () => world.pick(names.filter((name) => name !== actor.label)),
  });
}

/** The average server. Of Pss, the part that depends on no other process: Node itself is shared. */
function measure(actors: readonly Actor[]): Size {
  const pss = ({ pid }: Actor) =>
    Number(/^Pss_Anon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) /
    1024;
  const handles = ({ pid }: Actor) => readdirSync(`/proc/${pid}/fd`).length;
  const average = (of: (actor: Actor) => number) =>
    actors.reduce((sum, actor) => sum + of(actor), 0) / actors.length;
  return { memory: average(pss), handles: average(handles) };
}

/** Compares the second fifth of the time, when all are warm, with the last one. */
function compare(world: World, sizes: readonly Size[]): void {
  const fifth = Math.max(1, Math.floor(sizes.length / 5));
  const median = (of: readonly Size[], key: keyof Size) =>
    of.map((size) => size[key]).sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0;
  for (const key of ["memory", "handles"] as const) {
    const before = median(sizes.slice(fifth, 2 * fifth), key);
    const after = median(sizes.slice(-fifth), key);
    const limit = key === "memory" ? MAX_GROWTH_MB : MAX_MORE_HANDLES;
    world.count(`${key} of a server at first, ${key === "memory" ? "MB" : "files"}`, round(before));
    world.count(`${key} of a server at last, ${key === "memory" ? "MB" : "files"}`, round(after));
    if (after - before > limit) world.fail(`${key} grew from ${before} to ${after}`);
  }
}

const round = (value: number): number => Math.round(value * 10) / 10;
