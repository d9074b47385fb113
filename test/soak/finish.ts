// The end of each script: faults are over, everybody looks and reads, and all promises are checked.

import { setTimeout as sleep } from "node:timers/promises";
import { isSameName, nameKey } from "../../src/core/names.ts";
import { Actor } from "./actor.ts";
import type { World } from "./world.ts";

/** By then a session that could not write has tried again, and the list is whole. */
const QUIET_MS = 20_000;
/** Marks are written right after the answer. */
const MARKED_MS = 1500;

export async function finish(world: World): Promise<void> {
  const actors = world.actors.filter(({ isUp }) => isUp);
  const all = (work: (actor: Actor) => Promise<unknown>) => Promise.all(actors.map(work));
  await all((actor) => actor.call("who"));
  await sleep(QUIET_MS);
  for (let round = 0; round < 2; round++) await all((actor) => actor.drain());
  await checkNames(world, actors);
  await takeOver(world);
  await sleep(MARKED_MS);
  await all(async (actor) => {
    await actor.end();
    await actor.start();
    await actor.drain(); // what is shown now is shown again
  });
  await sleep(MARKED_MS);
  await all((actor) => actor.end());
  for (const actor of world.actors) await actor.end();
  world.ledger.check();
}

/** What each session says it is called is what the list says, and nobody else is. */
async function checkNames(world: World, actors: readonly Actor[]): Promise<void> {
  const owners = new Map<string, Actor>();
  for (const actor of actors) {
    const { text = "" } = (await actor.call("who")) ?? {};
    const [line = "", name = ""] = /^- (\S+) \(you\):.*$/m.exec(text) ?? [];
    const earlier = /earlier names: ([^;]*)$/.exec(line)?.[1]?.split(", ") ?? [];
    for (const each of [name, ...earlier]) {
      const owner = owners.get(nameKey(each));
      if (owner && owner.conversation !== actor.conversation) {
        world.fail(`${owner.label} and ${actor.label} both say that they are ${each}`);
      }
      owners.set(nameKey(each), actor);
      const holder = world.names.holderNow(each);
      if (holder?.conversation !== actor.conversation) {
        world.fail(`${actor.label} says it is ${each}, the list says ${holder?.label}`);
      }
    }
  }
}

/** Mail that waits for names that nobody has is read by a session that takes them. */
async function takeOver(world: World): Promise<void> {
  const heir = new Actor(world, "heir");
  await heir.start();
  const taken: string[] = [];
  for (const name of world.ledger.addressees()) {
    const isHeld = world.names.holderNow(name) ?? taken.find((each) => isSameName(each, name));
    if (isHeld) continue;
    await heir.rename(name);
    await heir.drain();
    taken.push(name);
  }
  world.count("names without a holder at the end", taken.length);
  await sleep(MARKED_MS);
  await heir.end();
}
