/** What one message costs, and a start, where many sessions share a folder. */

import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { reset, type Server } from "./folder.ts";
import {
  anyPhase,
  atRest,
  BARE,
  bareNode,
  broadcast,
  type Figures,
  quantile,
  some,
} from "./measures.ts";
import { cpu, memory, type Session } from "./session.ts";

/** Figures that the README shows. */
export const ANNOUNCED = "one send until it is announced, ms";
export const ANSWERED = "one send answered, ms";
export const MEMORY = "memory (Pss) at rest, MB";
export const REST = "CPU at rest, ms/s each";

export const ALONE = ", each in a folder of its own";
const LISTED_WITHIN_MS = 30_000;

export interface Plan {
  /** How many sessions. */
  count: number;
  rounds: number;
  /** Seconds over which the CPU at rest is taken; each session beats once in 30. */
  rest: number;
}

/**
 * All measures for one number of sessions. The first sends, the second receives, the others stand
 * by.
 */
export async function sessions(server: Server, { count, rounds, rest }: Plan): Promise<Figures> {
  reset(server.data);
  const alone = server.elsewhere ? await startAlone(server, count) : {};
  const began = performance.now();
  const all = Array.from({ length: count }, (_, n) =>
    server.open(`crowd-${String(n).padStart(3, "0")}`),
  );
  try {
    await Promise.all(all.map((session) => session.initialize()));
    const answered = performance.now() - began;
    if (server.label === "original") for (const session of all) await session.call("who"); // lists it
    const listed = (await untilListed(server, all)) - began;
    // 15 s after its start a server does what it does then once. V8 drops code that rests, and
    // compiles it again: with many sessions, that takes minutes.
    await sleep(count < 200 ? 20_000 : 180_000);
    await atRest(all);
    const before = cpu(...all);
    await sleep(rest * 1000);
    const idle = (cpu(...all) - before) / count / rest;
    return {
      "start of all at once, ms": answered,
      ...alone,
      ...(server.label === "t9-ipc" && { "all listed, ms": listed }),
      [MEMORY]: quantile(all.map((session) => memory(session).pss)),
      [REST]: idle,
      ...(await single(all, rounds * 20, idle)),
      ...(await burst(all, rounds)),
      ...(await broadcasts(all, rounds)),
      ...(server.label === "t9-ipc" && count <= 50 && (await ordered(all))),
      ...(server.label === "t9-ipc" && {
        "messages written without the lock": all.reduce(
          (sum, { unlocked }) => sum + unlocked.inbox,
          0,
        ),
        "heartbeats put off, the lock was not to be had": all.reduce(
          (sum, { unlocked }) => sum + unlocked.heartbeats,
          0,
        ),
      }),
    };
  } finally {
    await Promise.all(all.map((session) => session.close()));
  }
}

/**
 * The bare start: as many of the same servers at once, none of which meets another; and as many
 * `node -e 0`.
 */
async function startAlone(server: Server, count: number): Promise<Figures> {
  const folders = Array.from({ length: count }, (_, n) => join(server.data, `../alone-${n}`));
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  const began = performance.now();
  const all = folders.flatMap((folder) => server.elsewhere?.(folder).open("crowd-000") ?? []);
  await Promise.all(all.map((session) => session.initialize()));
  const took = performance.now() - began;
  await Promise.all(all.map((session) => session.close()));
  const bareBegan = performance.now();
  await Promise.all(Array.from({ length: count }, () => once(bareNode("0"), "close")));
  return {
    [`start of all at once, ms${ALONE}`]: took,
    [`start of all at once, ms${BARE}`]: performance.now() - bareBegan,
  };
}

/** When heartbeats.json had all of them; Infinity where it has not within half a minute. */
async function untilListed({ data }: Server, all: Session[]): Promise<number> {
  const deadline = performance.now() + LISTED_WITHIN_MS;
  while (performance.now() < deadline) {
    const entries = JSON.parse(readFileSync(join(data, "heartbeats.json"), "utf8"));
    if (all.every(({ name }) => name in entries)) return performance.now();
    await sleep(20);
  }
  return Infinity;
}

/**
 * One message at a time, from the first to the second: how long its sender waits, and what it costs
 * the others.
 */
async function single(
  [sender, receiver, ...others]: Session[],
  count: number,
  idle: number,
): Promise<Figures> {
  if (!sender || !receiver) throw new Error("needs two sessions");
  for (let n = 0; n < 3; n++) await sender.send(receiver, some(1)[0]);
  await sleep(1000);
  const times: number[] = [];
  const announced: Promise<number>[] = [];
  const began = performance.now();
  const before = others.map((other) => cpu(other));
  for (const subject of some(count)) {
    const written = performance.now();
    // Not waited for: the original announces up to two seconds later.
    const pushed = receiver.pushed([subject]);
    announced.push(pushed.then((seen) => (seen.get(subject) ?? Infinity) - written));
    times.push((await sender.send(receiver, subject)).ms);
    await sleep(50 + Math.random() * 50);
  }
  await sleep(1000);
  const atRest = (idle * (performance.now() - began)) / 1000;
  const used = others.map((other, n) => (cpu(other) - (before[n] ?? 0) - atRest) / count);
  return {
    [ANNOUNCED]: quantile(await Promise.all(announced)),
    [ANSWERED]: quantile(times),
    "one send answered, least, ms": Math.min(...times),
    "CPU of a bystander, ms a message": quantile(used),
  };
}

/** Two sends from every session at once, each to the next session. */
async function burst(all: Session[], rounds: number): Promise<Figures> {
  const times: number[] = [];
  const used: number[] = [];
  let [lost, swapped] = [0, 0];
  for (let round = 0; round < rounds; round++) {
    await anyPhase();
    const before = cpu(...all);
    const sends = all.map((session, n) => ({
      session,
      to: all[(n + 1) % all.length] ?? session,
      subjects: some(2),
    }));
    const pushed = sends.map(({ to, subjects }) => to.pushed(subjects));
    const began = performance.now();
    const answers = await Promise.all(
      sends.map(({ session, to, subjects }) =>
        Promise.all(subjects.map((subject) => session.send(to, subject))),
      ),
    );
    times.push(performance.now() - began);
    const arrived = await Promise.all(pushed);
    used.push((cpu(...all) - before) / 2 / all.length);
    for (const [n, { to, subjects }] of sends.entries()) {
      const [first = "", second = ""] = (answers[n] ?? []).map(fileIn);
      lost += 2 - (arrived[n]?.size ?? 0);
      const order = subjects.map((subject) => to.arrivals.indexOf(subject));
      if (first > second || (order[0] ?? 0) > (order[1] ?? 0)) swapped++;
    }
  }
  return {
    "two sends from each, all answered, ms": quantile(times),
    "the same, least, ms": Math.min(...times),
    "the same, CPU of all, ms a message": quantile(used),
    "the same: lost": lost,
    "the same: senders whose order was not kept": swapped,
  };
}

/** One broadcast at a time: when the last one had it. */
async function broadcasts([sender, ...others]: Session[], rounds: number): Promise<Figures> {
  const times: number[] = [];
  for (let round = 0; round < rounds + 1; round++) {
    await anyPhase();
    const began = performance.now();
    if (sender) times.push((await broadcast(sender, others)) - began);
  }
  // The first one loads code that every later one finds loaded.
  return {
    "broadcast reaches all, ms": quantile(times.slice(1)),
    "broadcast reaches all, least, ms": Math.min(...times),
  };
}

/**
 * The burst again, with broadcasts: every session reads what all others send, and all must read it
 * in one order.
 */
async function ordered(all: Session[]): Promise<Figures> {
  await anyPhase();
  const sends = all.map((session) => ({ session, subjects: some(2) }));
  const subjects = sends.flatMap((send) => send.subjects);
  const pushed = all.map((session, n) =>
    session.pushed(sends.filter((_, sender) => sender !== n).flatMap((send) => send.subjects)),
  );
  const began = performance.now();
  const answers = await Promise.all(
    sends.flatMap(({ session, subjects }) =>
      subjects.map((subject) => session.call("broadcast", { subject, body: "to all" })),
    ),
  );
  const took = performance.now() - began;
  const arrived = await Promise.all(pushed);
  const fileOf = new Map(subjects.map((subject, n) => [subject, fileIn(answers[n])]));
  let [readers, senders, lost] = [0, 0, 0];
  for (const [n, { arrivals }] of all.entries()) {
    const order = arrivals.flatMap((subject) => fileOf.get(subject) ?? []);
    if (order.some((file, i) => file < (order[i - 1] ?? ""))) readers++;
    lost += 2 * (all.length - 1) - (arrived[n]?.size ?? 0);
  }
  for (const send of sends) {
    const [first = "", second = ""] = send.subjects.map((subject) => fileOf.get(subject) ?? "");
    if (!first || first > second) senders++;
  }
  return {
    "two broadcasts from each, all answered, ms": took,
    "the same: not reached": lost,
    "the same: readers with another order": readers,
    "the same: senders whose order changed": senders,
  };
}

const fileIn = (answer?: { text: string }): string =>
  /\d{8}T\d{12}-[0-9a-f]{8}-\S*\.md/.exec(answer?.text ?? "")?.[0] ?? "";
