// Twenty writers and five readers; each of them is killed at random and comes back.

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mail } from "../support/mail.ts";
import { Actor } from "./actor.ts";
import { finish } from "./finish.ts";
import type { World } from "./world.ts";

const WRITERS = 20;
const READERS = 5;

export async function kill(world: World, minutes: number): Promise<void> {
  const named = (name: string) => new Actor(world, name, { name });
  const readers = Array.from({ length: READERS }, (_, n) => named(`reader-${n}`));
  const writers = Array.from({ length: WRITERS }, (_, n) => named(`writer-${n}`));
  const all = [...readers, ...writers];
  for (const actor of all) await actor.start();
  await world.play(minutes, [
    ...readers.map((actor) => ({ pause: [100, 600] as const, step: () => read(world, actor) })),
    ...writers.map((actor) => ({ pause: [300, 1500] as const, step: () => write(world, actor) })),
    { pause: [2000, 4000], step: () => writeByHand(world) },
    { pause: [100, 900], step: () => killOne(world, world.pick([...readers, ...all])) },
  ]);
  await finish(world);
}

async function read(world: World, actor: Actor): Promise<void> {
  await actor.read();
  if (world.random() < 0.2) await actor.send(`writer-${world.between(0, WRITERS)}`);
}

async function write(world: World, actor: Actor): Promise<void> {
  const reader = `reader-${world.between(0, READERS)}`;
  switch (world.draw({ send: 8, broadcast: 0.5, read: 2 })) {
    case "send":
      return actor.send(reader, { priority: world.pick(["low", "normal", "high"]) });
    case "broadcast":
      return actor.send("all");
    case "read":
      await actor.read();
  }
}

function writeByHand(world: World): void {
  const to = `reader-${world.between(0, READERS)}`;
  const sent = world.ledger.open({ conversation: "", folder: "" }, to);
  const { id, subject, body } = sent;
  const temporary = join(world.dir, "..", `note-${id}`);
  writeFileSync(temporary, mail({ from: "somebody", to, subject }, body));
  renameSync(temporary, join(world.dir, "inbox", `note ${id}.md`));
  world.ledger.onWritten(sent);
}

/** While it waits, or right after a call was made. The conversation is opened again at once. */
async function killOne(world: World, actor: Actor): Promise<void> {
  const isInCall = world.random() < 0.6;
  const call = isInCall && (world.random() < 0.3 ? actor.send("reader-0") : actor.read());
  await sleep(world.between(0, isInCall ? 40 : 2));
  await actor.kill({ withClaude: world.random() < 0.5 });
  await call;
  world.count("kills");
  const started = actor.start();
  if (world.random() < 0.1) {
    await sleep(world.between(0, 600));
    await actor.kill();
    world.count("kills while it starts");
    await started;
    await actor.start();
  } else await started;
}
