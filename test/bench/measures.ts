/** The measures. Each opens its own sessions on a folder in its first state, and closes them. */

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { dropCache, OWNERS, reset, type Server, sessionName } from "./folder.ts";
import { type Answer, cpu, launch, leave, memory, type Session, TELLS_HEAP } from "./session.ts";

/**
 * A figure by its name and unit; where the name ends in BARE, it is that of a bare Node in the same
 * moment.
 */
export type Figures = Record<string, number>;

/** `rounds` scales every measure; `long` takes in the two that last: CPU at rest, and growth. */
export interface Effort {
  rounds: number;
  long: boolean;
}

/** A figure that the README shows. */
export const UNREAD = "unread later, ms";

export const BARE = ", bare Node";
const BURST = 200;
const RECEIVED = 10_000;
const REST_SECONDS = 30; // one heartbeat of each session, wherever in its 30 s it stands
let serial = 0;

/** Spawn to the answer of `initialize`, beside `node -e 0`, taking turns. */
export async function start(
  servers: Server[],
  { rounds }: Effort,
): Promise<Record<string, Figures>> {
  const times: Record<string, number[]> = { [BARE]: [] };
  for (const { label } of servers) times[label] = [];
  for (let i = 0; i < rounds * 3; i++) {
    const began = performance.now();
    await once(bareNode("0"), "close");
    times[BARE]?.push(performance.now() - began);
    for (const server of servers) {
      const session = server.open(sessionName(0));
      times[server.label]?.push(await session.initialize());
      await session.close();
    }
  }
  const bare = { [`start, ms${BARE}`]: quantile(times[BARE]) };
  return Object.fromEntries(
    servers.map(({ label }) => [label, { "start, ms": quantile(times[label]), ...bare }]),
  );
}

/**
 * One sender, one receiver: sends at a steady pace, then bursts, then growth over many messages.
 */
export function pair(server: Server, { rounds, long }: Effort): Promise<Figures> {
  const scene: Scene = async (sender, [receiver]) => ({
    ...(await paced(sender, receiver, rounds * 40)),
    ...(await bursts(sender, receiver, rounds)),
    ...(long && (await growth(sender, receiver))),
  });
  return together(server, 1, scene, TELLS_HEAP);
}

/** No send waits for a push, and the pace is uneven: again for the sake of a server that polls. */
async function paced(sender: Session, receiver: Session, count: number): Promise<Figures> {
  const subjects = some(count);
  const all = receiver.pushed(subjects, 60_000);
  const before = cpu(receiver);
  const written: number[] = [];
  const answers: Promise<Answer>[] = [];
  for (const subject of subjects) {
    written.push(performance.now());
    answers.push(sender.send(receiver, subject));
    answers.at(-1)?.catch(() => {}); // thrown below, where all are awaited
    await sleep(25 + Math.random() * 50);
  }
  const sends = (await Promise.all(answers)).map(({ ms }) => ms);
  const at = await all;
  const pushes = subjects.map((subject, i) => (at.get(subject) ?? Infinity) - (written[i] ?? 0));
  return {
    "send p50, ms": quantile(sends),
    "send p99, ms": quantile(sends, 0.99),
    "push p50, ms": quantile(pushes),
    "push p99, ms": quantile(pushes, 0.99),
    "CPU a message received, ms": (cpu(receiver) - before) / count,
  };
}

async function bursts(sender: Session, receiver: Session, count: number): Promise<Figures> {
  const answered: number[] = [];
  const pushed: number[] = [];
  let [lost, repeated, unordered] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const subjects = some(BURST);
    const from = receiver.arrivals.length;
    const all = receiver.pushed(subjects);
    const began = performance.now();
    await Promise.all(subjects.map((subject) => sender.send(receiver, subject)));
    answered.push((BURST * 1000) / (performance.now() - began));
    const at = await all;
    pushed.push((at.size * 1000) / (Math.max(...at.values()) - began));
    await anyPhase(); // also time for repeats to show
    const order = receiver.arrivals.slice(from);
    lost += BURST - at.size;
    repeated += order.length - at.size;
    unordered += order.filter((subject, n) => subject < (order[n - 1] ?? "")).length;
  }
  return {
    "burst answered, messages/s": quantile(answered),
    "burst pushed, messages/s": quantile(pushed),
    "burst: lost": lost,
    "burst: repeated": repeated,
    "burst: out of order": unordered,
  };
}

/** The receiver's memory after a fifth of the messages, which carry 2 KB each, and after all. */
async function growth(sender: Session, receiver: Session): Promise<Figures> {
  const sizes: number[] = [];
  const heaps: number[] = [];
  const body = "x".repeat(2048);
  for (let part = 0; part < 5; part++) {
    const subjects = some(RECEIVED / 5);
    const all = receiver.pushed(subjects, 120_000);
    for (let i = 0; i < subjects.length; i += 100)
      await Promise.all(
        subjects.slice(i, i + 100).map((subject) => sender.send(receiver, subject, body)),
      );
    await all;
    await atRest([receiver]);
    heaps.push(await receiver.heap());
    sizes.push(memory(receiver).rss);
  }
  const grown = (of: number[]) => (of[4] ?? NaN) - (of[0] ?? NaN);
  return {
    "RSS, 10,000 received, MB": sizes[4] ?? NaN,
    "RSS grown since 2,000, MB": grown(sizes),
    "live heap grown a message, bytes": grown(heaps) / (0.8 * RECEIVED),
  };
}

/**
 * Fan-out to 10; then 20 sessions: memory of the first ten beside bare Node, CPU at rest; fan-out
 * to 50.
 */
export function crowd(server: Server, { rounds, long }: Effort): Promise<Figures> {
  return together(server, 10, async (sender, receivers, more) => {
    const toTen = await fanOut(sender, receivers, rounds);
    await more(9);
    const everyone = [sender, ...receivers];
    const bare = Array.from({ length: 3 }, () => bareNode("process.stdin.resume()"));
    await atRest(everyone);
    const sizes = { ...memories(receivers.slice(0, OWNERS)), ...memories(bare, BARE) };
    await Promise.all(bare.map(leave));
    const before = cpu(...everyone);
    if (long) await sleep(REST_SECONDS * 1000);
    const rest = (cpu(...everyone) - before) / everyone.length / REST_SECONDS;
    await more(31);
    const toFifty = await fanOut(sender, receivers, rounds);
    return {
      "fan-out to 10, ms": toTen,
      "fan-out to 50, ms": toFifty,
      ...sizes,
      ...(long && { "CPU at rest of 20, ms/s each": rest }),
    };
  });
}

async function fanOut(sender: Session, receivers: Session[], count: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    await anyPhase();
    const began = performance.now();
    times.push((await broadcast(sender, receivers)) - began);
  }
  return quantile(times);
}

/**
 * `unread` right after start: without a cache, with the one an earlier session left, and again and
 * again.
 */
export async function unread(server: Server, { rounds }: Effort): Promise<Figures> {
  reset(server.data);
  const [cold, first, later]: [number[], number[], number[]] = [[], [], []];
  for (let i = 0; i < rounds * 2; i++) {
    if (i % 2 === 0) dropCache(server.data);
    const session = server.open(sessionName(i % OWNERS));
    await session.initialize();
    const ask = async () => (await session.call("unread", { session_id: session.name })).ms;
    (i % 2 === 0 ? cold : first).push(await ask());
    for (let n = 0; n < 5; n++) later.push(await ask());
    await session.close();
  }
  return {
    "unread first, no cache, ms": quantile(cold),
    "unread first, ms": quantile(first),
    [UNREAD]: quantile(later),
  };
}

type More = (count: number) => Promise<void>;
type Scene = (sender: Session, receivers: [Session, ...Session[]], more: More) => Promise<Figures>;

/**
 * Runs a scene with one sender and its receivers: all online, each having received a first message.
 */
async function together(
  server: Server,
  count: number,
  scene: Scene,
  flags?: string[],
): Promise<Figures> {
  reset(server.data);
  const sender = server.open("bench-sender");
  const receivers: Session[] = [];
  const more = async (n: number) => {
    const added = Array.from({ length: n }, (_, i) =>
      server.open(sessionName(receivers.length + i), flags),
    );
    receivers.push(...added);
    await Promise.all(added.map((session) => session.initialize()));
    for (const session of added) await session.call("who"); // the original lists a session after a call
    await acquaint(sender, receivers);
  };
  try {
    await sender.initialize();
    await more(count);
    return await scene(sender, receivers as [Session, ...Session[]], more);
  } finally {
    await Promise.all([sender, ...receivers].map((session) => session.close()));
  }
}

async function acquaint(sender: Session, receivers: Session[]): Promise<void> {
  for (let tries = 0; tries < 5; tries++) {
    const { text } = await sender.call("who");
    const reached = (await broadcast(sender, receivers, 20_000)) < Infinity;
    if (reached && receivers.every(({ name }) => text.includes(name))) return;
  }
  throw new Error("not every session could be reached");
}

/** When the last receiver had it; Infinity when one did not get it in time. */
export async function broadcast(
  sender: Session,
  receivers: Session[],
  ms?: number,
): Promise<number> {
  const [subject] = some(1);
  const pushed = receivers.map((receiver) => receiver.pushed([subject], ms));
  await sender.call("broadcast", { subject, body: "to all" });
  return Math.max(...(await Promise.all(pushed)).map((at) => at.get(subject) ?? Infinity));
}

function memories(processes: { pid?: number | undefined }[], suffix = ""): Figures {
  const sizes = processes.map(memory);
  return {
    [`memory (RSS), MB${suffix}`]: quantile(sizes.map(({ rss }) => rss)),
    [`memory (Pss), MB${suffix}`]: quantile(sizes.map(({ pss }) => pss)),
  };
}

/** So that a server that polls every 2 s is met at any moment of it. */
export function anyPhase(): Promise<void> {
  return sleep(200 + Math.random() * 2000);
}

/**
 * Waits until the sessions use less than 1 % of a core each; a server that never rests gets 20 s.
 */
export async function atRest(sessions: Session[]): Promise<void> {
  for (let second = 0; second < 20; second++) {
    const before = cpu(...sessions);
    await sleep(1000);
    if (!(cpu(...sessions) - before > 10 * sessions.length)) return;
  }
}

/** Subjects never used before in this run, in sorting order. */
export function some(count: number): [string, ...string[]] {
  const next = () => `bench ${String(++serial).padStart(7, "0")}`;
  return [next(), ...Array.from({ length: count - 1 }, next)];
}

export function bareNode(script: string) {
  return launch(process.execPath, ["-e", script], "/");
}

export function quantile(values: number[] = [], q = 0.5): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? NaN;
}
