// Ten sessions rename themselves with mail under way, while lists are deleted, locks are left
// behind, conversations are opened elsewhere, and processes are stopped for longer than time-outs.

import { mkdirSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { works } from "../support/process.ts";
import { Actor } from "./actor.ts";
import { finish } from "./finish.ts";
import type { World } from "./world.ts";

const SESSIONS = 10;
/** Stopped longer than others count a session of another host as running. */
const LONG_PAUSE_MS = 110_000;
const NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const NAMES = Array.from(
  { length: 30 },
  (_, n) => `name-${String.fromCharCode(97 + (n % 26))}${n}`,
);

export async function rename(world: World, minutes: number): Promise<void> {
  const canSeparate = works(...NAMESPACE, "true");
  if (!canSeparate) console.log("rename: PID namespaces need root and unshare: left out");
  const apart = canSeparate ? ["far-0", "far-1"] : [];
  const far = apart.map((label) => new Actor(world, label, { prefix: NAMESPACE }));
  const near = Array.from(
    { length: SESSIONS - far.length },
    (_, n) => new Actor(world, `near-${n}`),
  );
  await Promise.all([...far, ...near].map((actor) => actor.start()));
  const closed = new Set<string>();
  world.ledger.isStrictOnBroadcasts = false;
  await world.play(minutes, [
    ...far.map((actor) => ({ pause: [50, 500] as const, step: () => act(world, actor) })),
    ...near.map((actor) => ({
      pause: [50, 500] as const,
      step: () => (world.random() < 0.08 ? move(world, actor, closed) : act(world, actor)),
    })),
    { pause: [1500, 5000], step: () => leaveLock(world) },
    { pause: [4000, 12_000], step: () => deleteFile(world) },
    { pause: [2000, 6000], step: () => pause(world, world.pick(near), world.between(500, 8000)) },
    ...far.map((actor) => ({
      pause: [10_000, 25_000] as const,
      step: () => pauseLong(world, actor, minutes),
    })),
  ]);
  await finish(world);
}

/** Names are the same in upper case. */
const pickName = (world: World): string => {
  const name = world.pick(NAMES);
  return world.random() < 0.1 ? name.toUpperCase() : name;
};

function act(world: World, actor: Actor): Promise<unknown> {
  const action = world.draw({ rename: 3, send: 5, broadcast: 0.3, read: 4, who: 0.5 });
  return actor.perform(action, { to: () => pickName(world), name: () => pickName(world) });
}

/** Another conversation in the same process, or another process. */
async function move(world: World, actor: Actor, closed: Set<string>): Promise<void> {
  if (actor.isPaused) return;
  const former = actor.conversation;
  const old = world.pick([...closed, former]);
  const kind = world.draw({ clear: 1, resume: 2, restart: 2, kill: 2, second: 0.5 });
  world.count(`moves: ${kind}`);
  const next = {
    clear: undefined,
    resume: old,
    restart: old,
    kill: old,
    second: world.pick(world.actors).conversation,
  }[kind];
  if (kind === "kill") await actor.kill({ withClaude: true });
  if (kind === "restart") await actor.end();
  actor.open(next);
  closed.delete(actor.conversation);
  if (!world.actors.some(({ conversation }) => conversation === former)) closed.add(former);
  if (!actor.isUp) await actor.start();
}

/** As a process does that dies while it holds the lock. */
function leaveLock(world: World): void {
  const names = world.actors.flatMap((actor) => [...world.names.namesOf(actor)]);
  const file = world.pick([
    "heartbeats.json",
    "heartbeats.json",
    "inbox",
    "conversations.json",
    `read/${names.length > 0 ? world.pick(names) : "nobody"}`,
  ]);
  const path = join(world.dir, `${file}.lock`);
  try {
    mkdirSync(path);
  } catch {
    return; // somebody holds it
  }
  const touched = Date.now() / 1000 - world.between(0, 8);
  utimesSync(path, touched, touched);
  world.count(`locks left: ${file.split("/")[0]}`);
  if (file.startsWith("read/")) world.ledger.onMarksLocked();
}

function deleteFile(world: World): void {
  const file = world.pick(["heartbeats.json", "heartbeats.json", "conversations.json", "cache.db"]);
  world.count(`deleted: ${file}`);
  if (file === "heartbeats.json") world.names.erase();
  else rmSync(join(world.dir, file), { force: true });
}

async function pause(world: World, actor: Actor, ms: number): Promise<void> {
  world.count("sessions stopped for seconds");
  await actor.pause(ms);
}

/** In a PID namespace of its own, and for so long that others take the session's names. */
async function pauseLong(world: World, actor: Actor, minutes: number): Promise<void> {
  const isLong = minutes * 60_000 > 2 * LONG_PAUSE_MS;
  if (isLong) world.count("sessions stopped for longer than 90 s");
  await actor.pause(isLong ? LONG_PAUSE_MS : 7000);
}
