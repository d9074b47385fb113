// The world outside of one or more sessions, in memory.

import { dirname } from "node:path";
import type { AgentSession } from "../../src/core/agent.ts";
import type { Files } from "../../src/core/files.ts";
import { Heartbeats } from "../../src/core/heartbeats.ts";
import { Inbox } from "../../src/core/inbox.ts";
import { Mailbox } from "../../src/core/mailbox.ts";
import type { Name } from "../../src/core/names.ts";
import { Presence, type PresenceOptions } from "../../src/core/presence.ts";
import type { DataFolder, ProcessTable, System, WithLock } from "../../src/core/system.ts";
import { MemoryDisk, slashed } from "./memory-files.ts";
import { VirtualClock, VirtualTime } from "./virtual-clock.ts";

export const FOLDER: DataFolder = {
  dir: "/ipc",
  inbox: "/ipc/inbox",
  archive: "/ipc/archive",
  read: "/ipc/read",
  heartbeats: "/ipc/heartbeats.json",
  conversations: "/ipc/conversations.json",
};

/** A valid name, which the type system cannot see. */
export const named = (text: string): Name => text as Name;

/** Processes of one host by PID, with their starts; undefined where the system tells none. */
export class Processes {
  readonly running = new Map<number, string | undefined>();

  constructor(readonly host = "host") {}

  table(pid: number): ProcessTable {
    const { running } = this;
    return {
      host: this.host,
      pid,
      isRunning: (each) => running.has(each),
      startOf: (each) => running.get(each),
    };
  }
}

/** A lock that somebody else may hold. */
export class FakeLock {
  /** Paths whose lock cannot be had, with slashes. */
  readonly held = new Set<string>();

  constructor(private readonly disk: MemoryDisk) {}

  readonly withLock: WithLock = async (path, work) => {
    await Promise.resolve();
    this.disk.makeFolder(dirname(path));
    return work(!this.held.has(slashed(path)));
  };
}

export interface World {
  readonly time: VirtualTime;
  readonly disk: MemoryDisk;
  readonly processes: Processes;
  readonly lock: FakeLock;
  /** Lines that were logged. */
  readonly log: string[];
}

export function createWorld(): World {
  const time = new VirtualTime();
  const disk = new MemoryDisk(new VirtualClock(time).now);
  return { time, disk, processes: new Processes(), lock: new FakeLock(disk), log: [] };
}

export interface FakeSystem extends System {
  readonly clock: VirtualClock;
  /** Set by a test: throws in the place of a file call. */
  fault: ((call: keyof Files, path: string) => void) | undefined;
}

/** What one process sees of the world. */
export function systemOf(world: World, pid = 1): FakeSystem {
  const { disk, processes, lock, log, time } = world;
  if (!processes.running.has(pid)) processes.running.set(pid, `start-${pid}`);
  const system: FakeSystem = {
    files: faulty(disk, (call, path) => system.fault?.(call, slashed(path))),
    clock: new VirtualClock(time),
    processes: processes.table(pid),
    withLock: lock.withLock,
    watchFolder: disk.watchFolder,
    log: (line) => void log.push(line),
    fault: undefined,
  };
  return system;
}

const CALLS = [
  "list",
  "stat",
  "read",
  "create",
  "append",
  "overwrite",
  "rename",
  "remove",
  "touch",
  "makeFolder",
] as const satisfies readonly (keyof Files)[];

/** The same files; `before` is called before each call, with its first path, and may throw. */
export function faulty(files: Files, before: (call: keyof Files, path: string) => void): Files {
  const wrap =
    (call: keyof Files) =>
    (...args: [string, ...never[]]): unknown => {
      before(call, args[0]);
      return (files[call] as (...args: unknown[]) => unknown)(...args);
    };
  return Object.fromEntries(CALLS.map((call) => [call, wrap(call)])) as unknown as Files;
}

/** What a test says of the program that a session runs in. */
export interface FakeAgent extends AgentSession {
  pid: number | undefined;
  client: string | undefined;
  details: Record<string, unknown>;
  isAllowed: boolean;
  open: string | undefined;
  given: string | undefined;
  former: string | undefined;
  cwd: string;
}

export function fakeAgent(fields: Partial<FakeAgent> = {}): FakeAgent {
  const agent: FakeAgent = {
    pid: undefined,
    client: undefined,
    details: {},
    isAllowed: true,
    open: undefined,
    given: undefined,
    former: undefined,
    cwd: "/work/shop",
    mayJoin: () => agent.isAllowed,
    conversation: () => agent.open,
    continues: () => agent.former,
    givenName: () => agent.given,
    folder: () => agent.cwd,
    ...fields,
  };
  return agent;
}

export interface FakeSession {
  readonly agent: FakeAgent;
  readonly system: FakeSystem;
  readonly heartbeats: Heartbeats;
  readonly presence: Presence;
  readonly inbox: Inbox;
  readonly mailbox: Mailbox;
}

let lastPid = 1000;

/** A session as server.ts wires it, not started yet. */
export function createSession(
  world: World,
  agent: FakeAgent = fakeAgent(),
  options: Partial<PresenceOptions> & { pid?: number; system?: FakeSystem } = {},
): FakeSession {
  const { pid = ++lastPid, system = systemOf(world, pid), ...rest } = options;
  const heartbeats = new Heartbeats(FOLDER, system);
  const presence = new Presence({ folder: FOLDER, agent, ...rest }, system, heartbeats);
  const inbox = new Inbox({ folder: FOLDER }, system);
  const mailbox = new Mailbox(FOLDER, system, inbox, heartbeats, presence);
  return { agent, system, heartbeats, presence, inbox, mailbox };
}

/** Starts a session that has this name, and is on the list. */
export async function startSession(
  world: World,
  name: string | undefined,
  agent: FakeAgent = fakeAgent(),
  options: Parameters<typeof createSession>[2] = {},
): Promise<FakeSession> {
  const session = createSession(world, agent, {
    ...(name !== undefined && { nameFromEnvironment: named(name) }),
    ...options,
  });
  session.inbox.on("scan", () => session.presence.tryCheck());
  session.presence.on("change", () => {
    if (session.presence.state === "active") void session.mailbox.register();
  });
  session.inbox.start();
  await world.time.wait(session.presence.join());
  await world.time.settle();
  return session;
}

/** The entries of heartbeats.json. */
export const entriesOf = ({ disk }: World): Record<string, Record<string, unknown>> =>
  JSON.parse(disk.text(FOLDER.heartbeats) ?? "{}");
