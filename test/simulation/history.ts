// Histories of several sessions, drawn by fast-check, and the promises that hold after each.

import { join } from "node:path/posix";
import fc from "fast-check";
import { InDoubtError, PartlyStoredError } from "../../src/core/inbox.ts";
import { isEveryone, nameKey } from "../../src/core/names.ts";
import { localTime } from "../../src/core/timestamps.ts";
import { FOLDER, named } from "../support/fake-system.ts";
import { createRandom } from "../support/random.ts";
import type { Server } from "./server.ts";
import { headerValue } from "./truth.ts";
import { Agent, FAULTS, Violation, World } from "./world.ts";

const NAMES = ["ann", "bob", "cleo"] as const;
const CONVERSATIONS = ["c1", "c2", "c3", "c4"] as const;
const MAX_AGENTS = 4;
/** What a person or a power cut does to the files beside the messages. */
const SPOILS = [
  "torn list",
  "no list",
  "torn conversations",
  "no cache",
  "no order",
  "zeros in read file",
] as const;

const who = fc.nat(MAX_AGENTS - 1);
/** Which of a session's servers is called: mostly the newest. */
const server = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.constant(1));
const recipient = fc.oneof(
  who.map((index) => ({ index })),
  fc.constantFrom("all", ...NAMES, "ANN").map((name) => ({ name })),
);
const step = <T extends string, A>(op: T, args: { [K in keyof A]: fc.Arbitrary<A[K]> }) =>
  fc.record({ op: fc.constant(op), ...args }) as fc.Arbitrary<{ op: T } & A>;

const Start = step("start", {
  conversation: fc.constantFrom(...CONVERSATIONS),
  env: fc.option(fc.constantFrom(...NAMES), { nil: undefined }),
  expectsChannel: fc.boolean(),
  hasWaker: fc.boolean(),
});
const Step = fc.oneof(
  { weight: 2, arbitrary: Start },
  {
    weight: 14,
    arbitrary: step("send", {
      who,
      server,
      to: fc.array(recipient, { minLength: 1, maxLength: 3 }),
      priority: fc.constantFrom("normal", "normal", "low", "high"),
      isReply: fc.boolean(),
    }),
  },
  { weight: 8, arbitrary: step("unread", { who, server, isCancelled: fc.boolean() }) },
  { weight: 3, arbitrary: step("rename", { who, server, name: fc.constantFrom(...NAMES) }) },
  { weight: 2, arbitrary: step("who", { who, server }) },
  {
    weight: 3,
    arbitrary: step("converse", { who, conversation: fc.constantFrom(...CONVERSATIONS) }),
  },
  { weight: 1, arbitrary: step("given", { who, name: fc.constantFrom(...NAMES, "dora") }) },
  { weight: 2, arbitrary: step("reconnect", { who, isOldKilled: fc.boolean() }) },
  { weight: 1, arbitrary: step("leave", { who }) },
  { weight: 1, arbitrary: step("kill", { who }) },
  { weight: 1, arbitrary: step("stop", { who, ms: fc.constantFrom(100, 5000, 100_000) }) },
  { weight: 1, arbitrary: step("sweep", { who }) },
  { weight: 1, arbitrary: step("sleep", { hours: fc.constantFrom(1, 26, 200) }) },
  { weight: 1, arbitrary: step("clock", { hours: fc.constantFrom(-60, 60) }) },
  { weight: 1, arbitrary: step("jump", { who, minutes: fc.constantFrom(-90, -1, 2, 90) }) },
  { weight: 1, arbitrary: step("zone", { who, hours: fc.constantFrom(-8, 0, 9) }) },
  { weight: 1, arbitrary: step("write", { to: fc.constantFrom("all", ...NAMES, "Bob") }) },
  {
    weight: 4,
    arbitrary: step("fault", {
      who,
      kind: fc.constantFrom(...FAULTS),
      skip: fc.nat(25),
      only: fc.constantFrom("any", "read", "write"),
      on: fc.constant(FOLDER.dir),
    }),
  },
  {
    weight: 4,
    arbitrary: step("fault", {
      who,
      kind: fc.constantFrom(...FAULTS),
      skip: fc.nat(2),
      only: fc.constantFrom("any", "read", "read", "write"),
      on: fc.constantFrom(FOLDER.inbox, FOLDER.heartbeats, FOLDER.conversations, FOLDER.read),
    }),
  },
  { weight: 1, arbitrary: step("outage", { who, ms: fc.constantFrom(50, 3000, 10_000) }) },
  {
    weight: 1,
    arbitrary: step("lock", {
      path: fc.constantFrom(FOLDER.heartbeats, FOLDER.inbox, FOLDER.conversations, "/ipc/read/ann"),
      ms: fc.constantFrom(500, 5000),
    }),
  },
  { weight: 1, arbitrary: step("spoil", { what: fc.constantFrom(...SPOILS) }) },
  {
    weight: 1,
    arbitrary: step("deny", {
      path: fc.constantFrom(
        "newest",
        FOLDER.inbox,
        FOLDER.read,
        FOLDER.heartbeats,
        FOLDER.conversations,
        "/ipc/read/ann",
      ),
      ms: fc.constantFrom(50, 3000, 10_000),
    }),
  },
  { weight: 1, arbitrary: step("break", {}) },
  {
    weight: 1,
    arbitrary: step("original", {
      name: fc.constantFrom(...NAMES),
      ms: fc.constantFrom(3000, 600_000),
    }),
  },
  { weight: 1, arbitrary: step("events", { lost: fc.nat(5), doubled: fc.nat(5) }) },
  { weight: 1, arbitrary: step("silence", { who, isSilent: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: step("wait", { ms: fc.constantFrom(0, 1, 10, 600, 2500, 12_000, 40_000) }),
  },
);
export type Step = typeof Step extends fc.Arbitrary<infer T> ? T : never;

export interface History {
  readonly seed: number;
  readonly steps: readonly Step[];
}

export const histories: fc.Arbitrary<History> = fc.record({
  seed: fc.integer(),
  steps: fc
    .tuple(
      fc.array(Start, { minLength: 2, maxLength: 3 }),
      fc.array(Step, { minLength: 4, maxLength: 40, size: "max" }),
    )
    .map(([starts, steps]) => [...starts, ...steps]),
});

/** Lets the history happen. Throws Violation if a promise does not hold. */
export async function run(history: History, isTraced = false): Promise<World> {
  const random = createRandom(history.seed);
  const original = Math.random;
  Math.random = random; // pauses between beats are drawn with it
  const world = new World(random, isTraced);
  try {
    for (const step of history.steps) {
      world.trace(JSON.stringify(step));
      await new Execution(world).run(step);
      if (world.failure) break;
    }
    // Five more minutes cost more than all before, so one history of five lives to be reminded.
    if (!world.failure) await new Finale(world).run(history.seed % 5 === 0);
  } finally {
    Math.random = original;
    for (const agent of world.agents) for (const each of agent.servers) each.kill();
  }
  if (world.failure) {
    throw new Violation(`${world.failure}${isTraced ? `\n${world.traced.join("\n")}` : ""}`);
  }
  return world;
}

class Execution {
  constructor(private readonly world: World) {}

  async run(step: Step): Promise<void> {
    const { world } = this;
    switch (step.op) {
      case "start":
        return this.#start(step);
      case "send":
        return this.#send(step);
      case "unread":
        return this.#call(step, (server) => server.unread(step.isCancelled));
      case "rename":
        return this.#call(step, (server) => server.rename(named(step.name)));
      case "who":
        return this.#call(step, (server) => this.#who(server));
      case "wait":
        return world.time.advance(step.ms);
      case "sleep":
        return this.#sleep(step.hours * 3_600_000);
      case "clock":
        this.#sleep(step.hours * 3_600_000);
        world.truth.startAnew();
        for (const { servers } of world.agents) {
          for (const server of servers) server.sinceOfOtherTime = server.presence.since;
        }
        return world.time.advance(2500); // by then everybody has looked at it
      case "write":
        return this.#write(step.to);
      case "lock":
        return void world.locks.set(step.path, world.time.elapsed + step.ms);
      case "spoil":
        return this.#spoil(step.what);
      case "deny":
        return this.#deny(step);
      case "break": {
        const path = world.newestMessage();
        return void (path && world.broken.add(path));
      }
      case "original":
        return this.#startOriginal(step.name, step.ms);
      case "events":
        world.lostEvents = step.lost;
        world.doubledEvents = step.doubled;
        return;
    }
    const agent = this.#agent(step.who);
    if (!agent) return;
    const live = agent.live();
    switch (step.op) {
      case "converse":
        agent.hasMoved ||= agent.conversation !== step.conversation;
        agent.conversation = step.conversation;
        return;
      case "given":
        agent.given = step.name;
        return;
      case "reconnect":
        if (step.isOldKilled) for (const each of live) each.kill();
        if (agent.live().length < 2) await agent.startServer();
        return;
      case "leave":
        await Promise.all(live.map((each) => this.#wait(each, each.leave())));
        for (const each of agent.servers) each.kill();
        return void world.agents.splice(world.agents.indexOf(agent), 1);
      case "kill":
        for (const each of agent.servers) each.kill();
        return void world.agents.splice(world.agents.indexOf(agent), 1);
      case "stop":
        for (const each of live) each.clock.isStopped = true;
        world.time.at(world.time.elapsed + step.ms, () => {
          for (const each of live) each.clock.goOn();
        });
        return;
      case "sweep":
        if (live[0])
          await this.#wait(
            live[0],
            live[0].sweep.sweep().catch(() => {}),
          );
        return;
      case "jump":
        agent.clock.skewMs += step.minutes * 60_000;
        return;
      case "zone":
        agent.clock.zoneMs = step.hours * 3_600_000;
        return;
      case "fault":
        for (const each of live.slice(-1)) each.fault = { ...step, only: step.only as "any" };
        return;
      case "outage":
        agent.outageUntil = world.time.elapsed + step.ms;
        return;
      case "silence":
        for (const each of live) each.waker.isSilent = step.isSilent;
        return;
    }
  }

  #agent(index: number): Agent | undefined {
    const { agents } = this.world;
    return agents[index % agents.length];
  }

  /** Lets time pass until the server is done, or has ended. */
  async #wait(server: Server, work: Promise<unknown>): Promise<void> {
    const { time } = this.world;
    let isDone = false;
    const end = new Promise<void>((resolve) => {
      const check = (): void => {
        if (isDone || server.isDead || server.clock.isStopped) resolve();
        else time.at(time.elapsed + 50, check);
      };
      check();
    });
    const done = work.finally(() => {
      isDone = true;
    });
    await time.wait(Promise.race([done, end]));
  }

  async #start(step: Step & { op: "start" }): Promise<void> {
    const { world } = this;
    if (world.agents.length >= MAX_AGENTS) return;
    const { conversation, env, expectsChannel, hasWaker } = step;
    const pid = world.nextPid();
    world.processes.running.set(pid, `start-${pid}`);
    const agent = new Agent(world, pid, conversation, env, expectsChannel, hasWaker);
    world.agents.push(agent);
    await agent.startServer();
  }

  async #call(
    step: { who: number; server: number },
    work: (server: Server) => Promise<unknown>,
  ): Promise<void> {
    const live = this.#agent(step.who)?.live() ?? [];
    const server = live[live.length - 1 - step.server] ?? live.at(-1);
    if (server) await this.#wait(server, work(server));
  }

  async #send(step: Step & { op: "send" }): Promise<void> {
    const { world } = this;
    const all = step.to.map((each) => {
      if ("name" in each) return each.name;
      // Counted from the sender on, so that few messages are to oneself.
      return this.#agent(step.who + 1 + each.index)?.live()[0]?.presence.name ?? "bob";
    });
    const body = `body ${world.sent.size}`;
    await this.#call(step, async (server) => {
      const own = server.presence.names.map(nameKey);
      const to = all.filter((name) => !own.includes(nameKey(name)));
      if (to.length === 0) to.push("all");
      const sent = { stored: undefined as string[] | undefined, count: to.length, from: server };
      world.sent.set(body, sent);
      const replyTo = step.isReply ? server.agent.lastShown : undefined;
      await server.call(async () => {
        server.presence.tryCheck(); // it may be called by another name from now on
        const before = world.truth.listFor(server);
        try {
          const { deliveries } = await server.mailbox.send({
            to,
            subject: body,
            body,
            priority: step.priority as "normal",
            allowUnknown: true,
            ...(replyTo !== undefined && { reply_to: replyTo }),
          });
          sent.stored = deliveries.map(({ header }) => header.file);
          for (const { file, to } of deliveries.map(({ header }) => header)) {
            if (isEveryone(to)) this.#noteTold(server, file);
          }
          for (const { header, online } of deliveries) {
            if (!server.isDead) world.truth.checkSent(before, header.to, online);
          }
        } catch (error) {
          this.#noteFailure(sent, server, (error as Error).cause ?? error);
          throw error;
        }
      });
    });
  }

  /** What a session tells everyone, it has seen. */
  #noteTold(server: Server, file: string): void {
    this.world.onShown({ file, names: [...server.presence.names] });
    server.toldEveryone.set(file, server.presence.conversation);
  }

  #noteFailure(sent: { stored: string[] | undefined }, server: Server, error: unknown): void {
    if (server.isDead) return;
    const text = (error as Error).message;
    // Also if it is not known whether the message was stored.
    for (const [file, message] of this.world.messages(FOLDER.inbox)) {
      const isTold = text.includes(file) && isEveryone(headerValue(message, "to"));
      if (isTold) this.#noteTold(server, file);
    }
    if (/^(Sent in part|It is not known)/.test(text)) return;
    if (error instanceof PartlyStoredError || error instanceof InDoubtError) return;
    sent.stored = [];
  }

  async #who(server: Server): Promise<void> {
    const { world } = this;
    await server.call(() => {
      const { failures } = server;
      server.presence.check();
      world.truth.checkWho(server, world.entries(), failures);
    });
  }

  /** Also ends what would be taken for dead by the age of its entry. */
  #sleep(ms: number): void {
    for (const pid of this.world.originals) this.world.endOriginal(pid);
    this.world.clock.skewMs += ms;
    this.world.skewMs += ms;
    for (const { clock } of this.world.agents) clock.skewMs += ms;
  }

  #spoil(what: (typeof SPOILS)[number]): void {
    const { world } = this;
    const { disk } = world;
    if (what === "torn list") disk.put(FOLDER.heartbeats, '{"ann": {"timest');
    if (what === "no list") disk.erase(FOLDER.heartbeats);
    if (what === "torn conversations") disk.put(FOLDER.conversations, '{"c1": {"nam');
    if (what === "no order") disk.erase(join(FOLDER.dir, ".order"));
    if (what === "no cache") world.loseCache();
    world.isListLost ||= what.endsWith("list");
    world.areRecordsLost ||= what === "torn conversations";
    const marks = disk.text("/ipc/read/ann");
    if (what === "zeros in read file" && marks !== undefined) {
      disk.put("/ipc/read/ann", `${marks}\0\0\0\0`);
    }
  }

  #deny(step: Step & { op: "deny" }): void {
    const { world } = this;
    const path = step.path === "newest" ? world.newestMessage() : step.path;
    if (path === undefined) return;
    // These are moved aside.
    world.isListLost ||= path === FOLDER.heartbeats;
    world.areRecordsLost ||= path === FOLDER.conversations;
    world.wereMarksDenied ||= path.startsWith(FOLDER.read);
    world.deny(path, true);
    world.time.at(world.time.elapsed + step.ms, () => world.deny(path, false));
  }

  /** A session of the Python original takes a name, whoever has it. */
  #startOriginal(name: string, ms: number): void {
    const { world } = this;
    if (!world.truth.isListReadable) return;
    const pid = world.nextPid();
    world.processes.running.set(pid, undefined);
    world.originals.add(pid);
    world.isListLost = true; // the entry of whoever had the name is
    const entries = JSON.parse(world.disk.text(FOLDER.heartbeats) ?? "{}");
    const entry = { timestamp: localTime(world.clock), status: "active", pid, working_on: "" };
    world.disk.put(FOLDER.heartbeats, JSON.stringify({ ...entries, [name]: entry }));
    world.time.at(world.time.elapsed + ms, () => world.endOriginal(pid));
  }

  #write(to: string): void {
    const { world } = this;
    const n = world.sent.size;
    world.disk.put(
      join(FOLDER.inbox, `note-${n}.md`),
      `---\nfrom: human-writer\nto: ${to}\nsubject: hi\n---\nnote ${n}\n`,
    );
  }
}

/** Ends all faults, lets everybody look again, and checks the promises. */
class Finale {
  constructor(private readonly world: World) {}

  async run(isReminded: boolean): Promise<void> {
    const { world } = this;
    world.lostEvents = 0;
    world.locks.clear();
    world.broken.clear();
    for (const path of world.denied) world.deny(path, false);
    for (const agent of world.agents) {
      agent.outageUntil = 0;
      for (const server of agent.servers) {
        server.fault = undefined;
        server.clock.goOn();
      }
    }
    await world.time.advance(75_000);
    // A mark may have been late, and the other servers look for those once a minute.
    for (const { mailbox } of this.#active()) await world.time.wait(mailbox.register());
    this.#checkNames();
    this.#checkConversations();
    this.#checkMessages();
    await this.#checkUnread();
    if (isReminded) {
      await world.time.advance(5 * 60_000);
      this.#checkReminders();
    }
    for (const server of world.live()) await world.time.wait(server.mailbox.close());
    this.#checkMarks();
  }

  #active(): Server[] {
    return this.world.live().filter(({ presence }) => presence.state === "active");
  }

  #checkNames(): void {
    const { world } = this;
    const holders = new Map<string, { pid: number }>();
    for (const [name, { pid }] of world.entries()) {
      if (world.originals.has(pid)) holders.set(nameKey(name), { pid });
    }
    for (const server of this.#active()) {
      for (const name of server.presence.names) {
        const other = holders.get(nameKey(name));
        if (other) world.fail(`${name} is held by ${other.pid} and ${server.pid}`);
        holders.set(nameKey(name), server);
      }
      const entry = world.entries().find(([, { pid }]) => pid === server.pid);
      const listed = entry && [entry[0], ...(entry[1].names ?? [])];
      if (String(listed) !== String(server.presence.names)) {
        world.fail(
          `${server.pid} believes to be ${server.presence.names}, the list says ${listed}`,
        );
      }
    }
    for (const server of world.live()) {
      if (server.presence.state === "joining") world.fail(`${server.pid} is not on the list`);
      const same = this.#active().filter(
        ({ agent, presence }) =>
          agent === server.agent || presence.conversation === server.presence.conversation,
      );
      if (same.length !== 1)
        world.fail(`${same.length} servers serve the session of ${server.pid}`);
    }
  }

  /** Names follow the conversation, unless somebody else holds them. */
  #checkConversations(): void {
    const { world } = this;
    // A conversation that was opened while they could not be read may have none of its names.
    if (world.areRecordsLost) return;
    const records = world.truth.records();
    const held = world.entries().flatMap(([name, { names = [] }]) => [name, ...names].map(nameKey));
    for (const { pid, presence } of this.#active()) {
      const conversation = presence.conversation ?? "";
      this.#checkBorrowed(pid, conversation);
      const record = records[conversation];
      const isNamed = record?.by !== "set_name" || presence.names.includes(named(record.name));
      if (!isNamed && !held.includes(nameKey(record.name))) {
        world.fail(`${pid} (${presence.names}) is not called ${record.name}`);
      }
    }
  }

  /** Whoever has left the conversation has given its names back. */
  #checkBorrowed(pid: number, conversation: string): void {
    const { truth } = this.world;
    if (this.world.isListLost) return; // and names with it
    for (const [other, { names = [], borrowed = {} }] of this.world.entries()) {
      const isKept = (name: string): boolean =>
        borrowed[name] === conversation && truth.hadName(conversation, name);
      const kept = [other, ...names].find(isKept);
      if (kept) this.world.fail(`${other} still has ${kept}, which is ${pid}'s`);
    }
  }

  #checkMessages(): void {
    const { world } = this;
    const all = [...world.messages(FOLDER.inbox), ...world.messages(FOLDER.archive)];
    for (const [body, { stored, count }] of world.sent) {
      const files = all.filter(([, text]) => text.endsWith(`\n\n${body}\n`)).map(([file]) => file);
      if (stored && String(files.sort()) !== String([...stored].sort())) {
        world.fail(`"${body}" is stored as [${files}], the answer was [${stored}]`);
      }
      if (files.length > count) world.fail(`"${body}" is stored ${files.length} times`);
    }
    for (const [file, text] of all) {
      if (!text.endsWith("\n")) world.fail(`${file} is torn`);
    }
    for (const path of world.disk.paths()) {
      if (path.startsWith(`${FOLDER.inbox}/note-`) && this.#active().length > 0) {
        world.fail(`${path} was not taken in`);
      }
    }
  }

  /** Each message that is not marked is unread mail of its addressees, and of nobody else. */
  async #checkUnread(): Promise<void> {
    const { world } = this;
    for (const server of world.live()) await world.time.wait(server.mailbox.close());
    for (const server of this.#active()) {
      world.truth.checkUnread(server, server.mailbox.unread(), false);
    }
  }

  /** Unread mail is announced in some way. */
  #checkReminders(): void {
    // Another server may have noted later since when a name counts, which announces nothing.
    if (this.world.wereMarksDenied) return;
    for (const server of this.#active()) {
      const { headers } = server.mailbox.unread();
      if (headers.length > 0 && server.notifier.noticeForToolResult() === undefined) {
        this.world.fail(`${server.pid} is not reminded of ${headers.map(({ file }) => file)}`);
      }
      for (const { file, priority } of headers) {
        const isShown = server.agent.servers.some(({ announced }) => announced.includes(file));
        // The server before may have ended, or lost its turn, within moments of the message.
        const isLeftToReminder = server.presence.announcedBefore.has(file);
        if (priority !== "low" && !isShown && !isLeftToReminder) {
          this.world.fail(`${file} was not announced to ${server.pid}`);
        }
      }
    }
  }

  /** Nothing is marked that was not shown to a session of that name. */
  #checkMarks(): void {
    const { world } = this;
    const files = new Map([...world.messages(FOLDER.inbox), ...world.messages(FOLDER.archive)]);
    for (const [name, marked] of world.marks()) {
      for (const file of marked) {
        const text = files.get(file);
        if (text === undefined || world.wasShown(file, name)) continue;
        const isOwnBroadcast = /^to: all$/m.test(text) && !/^from: human-writer$/m.test(text);
        if (!isOwnBroadcast) world.fail(`${file} is marked as read by ${name}, which never saw it`);
      }
    }
  }
}
