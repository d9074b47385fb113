// One server process, wired as server.ts does it, whose file calls can fail and end it.

import { basename, dirname } from "node:path/posix";
import { UserError } from "../../src/core/errors.ts";
import type { Files } from "../../src/core/files.ts";
import { Heartbeats } from "../../src/core/heartbeats.ts";
import { Inbox } from "../../src/core/inbox.ts";
import { Mailbox, type UnreadMail } from "../../src/core/mailbox.ts";
import { isEveryone, type Name } from "../../src/core/names.ts";
import { Presence } from "../../src/core/presence.ts";
import type { Clock, System, Timer, WithLock } from "../../src/core/system.ts";
import { Notifier } from "../../src/notify/notifier.ts";
import type { Waker } from "../../src/notify/waker.ts";
import { HandwrittenFiles } from "../../src/upkeep/handwritten-files.ts";
import { Sweep } from "../../src/upkeep/sweep.ts";
import { FOLDER, faulty, named } from "../support/fake-system.ts";
import { slashed, systemError } from "../support/memory-files.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { isMessagePath } from "./truth.ts";
import type { Agent, Entry, Fault, World } from "./world.ts";

/**
 * Thrown by the file call at which the process ends. Nothing the process does afterwards counts.
 */
export class Killed extends Error {}

/** Keeps callbacks of a process that has ended or is stopped from running. */
class ProcessClock implements Clock {
  isStopped = false;
  #waiting: (() => void)[] = [];

  constructor(
    readonly base: VirtualClock,
    private readonly isDead: () => boolean,
  ) {}

  now = (): number => this.base.now();
  elapsed = (): number => this.base.elapsed();
  zoneOffset = (): number => this.base.zoneOffset();
  after = (ms: number, run: () => void): Timer => this.base.after(ms, () => this.#run(run));
  every = (ms: number, run: () => void): Timer => this.base.every(ms, () => this.#run(run));

  nextTurn = (): Promise<void> =>
    new Promise((resolve) => void this.base.nextTurn().then(() => this.#run(resolve)));

  #run(run: () => void): void {
    if (this.isDead()) return;
    if (!this.isStopped) run();
    else if (!this.#waiting.includes(run)) this.#waiting.push(run);
  }

  goOn(): void {
    this.isStopped = false;
    for (const run of this.#waiting.splice(0)) this.#run(run);
  }
}

/** Acts like an inbox socket: at most one notice until the session calls a tool. */
class FakeWaker implements Waker {
  readonly route = "socket";
  isSilent = false;
  #isPending = false;

  constructor(private readonly world: World) {}

  problem = () => (this.isSilent ? "silent" : undefined);
  isPending = () => this.#isPending;

  async wake(): Promise<void> {
    if (this.isSilent) throw new Error("silent");
    if (this.#isPending) this.world.fail("a notice was sent while another was unanswered");
    this.#isPending = true;
  }

  onToolCall(): void {
    this.#isPending = false;
  }
}

/** What a tool call has shown its client. */
export interface Shown {
  readonly file: string;
  readonly names: readonly string[];
}

export class Server {
  readonly pid: number;
  isDead = false;
  fault: Fault | undefined;
  readonly clock: ProcessClock;
  readonly presence: Presence;
  readonly mailbox: Mailbox;
  readonly inbox: Inbox;
  readonly notifier: Notifier;
  readonly sweep: Sweep;
  readonly waker: FakeWaker;
  readonly system: System;
  /** Files that the channel has shown. */
  readonly announced: string[] = [];
  /** Broadcasts that this server has sent, and in which conversation. */
  readonly toldEveryone = new Map<string, string | undefined>();
  /**
   * CONVERSATION/NAME/FILE: broadcasts that it had not read when it took a name, whoever had read
   * them.
   */
  readonly #disregarded = new Set<string>();
  /** Its `since` when all clocks were set: by their new time it may be far ahead, and yet count. */
  sinceOfOtherTime: string | undefined;
  /** File calls that have failed, for a passing reason or at the end. */
  failures = 0;
  /** Under which names this server has marked which files. */
  readonly #marked = new Map<string, readonly string[]>();
  readonly #closers: (() => unknown)[] = [];
  #hasLock: string | undefined;

  constructor(
    readonly world: World,
    readonly agent: Agent,
  ) {
    this.pid = world.nextPid();
    world.processes.running.set(this.pid, `start-${this.pid}`);
    this.clock = new ProcessClock(agent.clock, () => this.isDead);
    this.system = {
      files: this.#files(),
      clock: this.clock,
      processes: world.processes.table(this.pid),
      withLock: this.#withLock,
      watchFolder: world.disk.watchFolder,
      log: (line) => world.trace(`  ${this.pid}: ${line}`),
    };
    const { system } = this;
    const heartbeats = new Heartbeats(FOLDER, system);
    this.presence = new Presence(
      {
        folder: FOLDER,
        agent: agent.session,
        nameFromEnvironment: agent.env === undefined ? undefined : named(agent.env),
      },
      system,
      heartbeats,
    );
    const { presence } = this;
    this.inbox = new Inbox({ folder: FOLDER, cache: world.cache }, system);
    this.mailbox = new Mailbox(FOLDER, system, this.inbox, heartbeats, presence);
    this.waker = new FakeWaker(world);
    this.notifier = new Notifier(
      {
        sendToChannel: async ({ meta }) => this.#onChannel(meta.filename ?? ""),
        expectsChannel: agent.expectsChannel,
        wakers: agent.hasWaker ? [this.waker] : [],
        fallback: "tool-result",
        toolPrefix: "",
        isIdle: () => true,
      },
      system,
      this.mailbox,
      presence,
    );
    this.sweep = new Sweep({ ...FOLDER, wakeFolders: [] }, system, this.inbox, heartbeats);
  }

  async start(): Promise<void> {
    const { inbox, presence, mailbox, notifier, sweep, system } = this;
    const handwritten = new HandwrittenFiles(inbox, system);
    inbox.on("scan", () => presence.tryCheck());
    presence.on("change", () => {
      if (presence.state !== "active") return;
      this.#noteSent();
      void mailbox.register();
    });
    handwritten.start();
    sweep.start();
    system.clock.every(60_000, () => void mailbox.register());
    this.#closers.push(async () => {
      notifier.close();
      handwritten.close();
      sweep.close();
      await Promise.all([presence.leave(), mailbox.close()]);
      inbox.close();
    });
    inbox.start();
    await presence.join();
    notifier.start();
    notifier.onToolsListed();
  }

  async leave(): Promise<void> {
    for (const close of this.#closers) await close();
    this.kill();
  }

  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.inbox.close();
    this.world.processes.running.delete(this.pid);
    this.world.endedAt.set(this.pid, this.world.time.elapsed);
    if (this.#hasLock) this.world.locks.set(this.#hasLock, this.world.time.elapsed + 5000);
  }

  get isLive(): boolean {
    return !this.isDead && !this.clock.isStopped && this.presence.hasJoined;
  }

  #onChannel(file: string): void {
    if (this.isDead) return;
    this.world.trace(`  ${this.pid}: announced ${file}`);
    // A server does not know what another one announced if a third served between or has ended, if
    // the list was lost, or if their conversation has changed.
    const { agent, world } = this;
    const hasEnded = agent.servers.some(({ isDead }) => isDead);
    const isUnknown = world.isListLost || world.isShared(agent) || agent.hasMoved || hasEnded;
    // Nor if the other one was off the list at that moment.
    const known = agent.servers.filter(
      (each) => each === this || (!each.isDead && each.presence.state !== "joining"),
    );
    const before = isUnknown ? [this] : known;
    if (before.some(({ announced }) => announced.includes(file))) {
      this.world.fail(`${file} was announced twice to ${this.agent.pid}`);
    }
    this.announced.push(file);
  }

  /** Runs a tool call. Resolves to undefined if it was refused, or failed for a passing reason. */
  async call<T>(work: () => Promise<T> | T): Promise<T | undefined> {
    try {
      this.notifier.onToolCall({ tool: "tool", meta: {} });
      await this.presence.onCall();
      const result = await work();
      this.notifier.noticeForToolResult();
      return result;
    } catch (error) {
      if (this.isDead) return undefined;
      this.world.trace(`  ${this.pid}: ${(error as Error).message}`);
      const isExpected =
        error instanceof UserError || (error as NodeJS.ErrnoException).code !== undefined;
      if (!isExpected) this.world.fail(`unexpected: ${(error as Error).stack}`);
      return undefined;
    }
  }

  /** `t9_ipc_unread`, up to what the answer needs. */
  async unread(isCancelled: boolean): Promise<void> {
    await this.call(async () => {
      const mail = this.#unreadMail();
      const shown = mail.headers.filter(({ file }) => this.inbox.read(file));
      const names = [...this.presence.names];
      const { conversation } = this.presence.notes;
      for (const header of shown) this.world.onRead(this, header);
      await this.clock.nextTurn();
      await this.clock.nextTurn();
      if (isCancelled || this.isDead) return;
      for (const { file } of shown) this.world.onShown({ file, names });
      this.notifier.onRead(shown.map(({ file }) => file));
      this.mailbox.markRead(shown, named_(names), conversation);
      for (const { file } of shown) {
        this.#marked.set(file, names);
        for (const name of names) this.#disregarded.delete(this.#markOf(name, file));
      }
      this.agent.lastShown = shown.at(-1)?.file ?? this.agent.lastShown;
    });
  }

  #unreadMail(): UnreadMail {
    const { failures, world } = this;
    try {
      const mail = this.mailbox.unread();
      if (!this.isDead) world.truth.checkUnread(this, mail, this.failures > failures);
      return mail;
    } catch (error) {
      const mayRefuse = this.isDead || this.failures > failures || world.denied.size > 0;
      if (!mayRefuse) world.fail(`unread was refused: ${(error as Error).message}`);
      throw error;
    }
  }

  /** What it has told everyone counts as read under all names that it gets. */
  #noteSent(): void {
    const { names, conversation } = this.presence;
    for (const [file, sentIn] of this.toldEveryone) {
      if (sentIn === conversation) this.world.onShown({ file, names });
    }
  }

  /** `t9_ipc_set_name`. */
  async rename(name: Name): Promise<void> {
    await this.call(async () => {
      const { headers } = this.#unreadMail();
      const before = this.presence.names;
      const user = this.world.truth.lastUserOf(name);
      try {
        await this.presence.rename(name, undefined);
      } catch (error) {
        this.#checkNotRenamed(name, before);
        throw error;
      }
      const { conversation } = this.presence;
      const isTaken = user !== undefined && user !== conversation;
      for (const { file, to } of headers) {
        if (!isTaken || !isEveryone(to) || this.presence.inherits(name)) continue;
        if (this.world.truth.readIn(name, file) === conversation) continue;
        this.#disregarded.add(this.#markOf(name, file));
        const marked = this.#marked.get(file) ?? [];
        this.#marked.set(
          file,
          marked.filter((each) => each !== name),
        );
      }
      await this.mailbox.register();
    });
  }

  /** A name that was refused, or could not be written, is not the session's. */
  #checkNotRenamed(name: Name, before: readonly Name[]): void {
    const { world, presence } = this;
    if (this.isDead || before.includes(name) || !presence.names.includes(name)) return;
    // Another server of the session may have taken it.
    const isOurs = ({ pid, claude_session: id }: Entry): boolean =>
      pid === this.pid || (id !== undefined && id === presence.conversation);
    const listed = world
      .entries()
      .filter(([, entry]) => isOurs(entry))
      .flatMap(([first, { names = [] }]) => [first, ...names]);
    if (!listed.includes(name)) world.fail(`${this.pid} is ${name}, though that was refused`);
  }

  #markOf = (name: string, file: string): string => `${this.presence.conversation}/${name}/${file}`;

  /** True if a mark of this name is a former holder's. */
  disregards = (name: string, file: string): boolean =>
    this.#disregarded.has(this.#markOf(name, file)) &&
    this.world.truth.readIn(name, file) !== this.presence.conversation;

  /** True if it has marked the message as read under one of its present names. */
  hasMarked(file: string): boolean {
    return (
      this.#marked.get(file)?.some((name) => this.presence.names.includes(named(name))) ?? false
    );
  }

  readonly #withLock: WithLock = async (nativePath, work) => {
    const { world, clock } = this;
    const path = slashed(nativePath);
    const deadline = clock.elapsed() + 2000;
    world.disk.makeFolder(dirname(path));
    await this.#pause(world.lockDelay());
    for (;;) {
      const isFree = (world.locks.get(path) ?? 0) <= clock.elapsed();
      if (isFree || clock.elapsed() >= deadline) return this.#run(path, isFree, work);
      await this.#pause(40);
    }
  };

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve));
  }

  #run<T>(path: string, isLocked: boolean, work: (isLocked: boolean) => T): T {
    if (isLocked) this.#hasLock = path;
    try {
      return work(isLocked);
    } finally {
      this.#hasLock = undefined;
    }
  }

  #files(): Files {
    const { disk } = this.world;
    const failing = faulty(disk, (call, path) => this.#beforeCall(call, slashed(path)));
    const shortly =
      (call: "create" | "append" | "overwrite") =>
      (path: string, text: string): void => {
        const isShort = this.fault?.kind === "short" && this.fault.skip === 0;
        if (!isShort) {
          failing[call](path, text);
          return;
        }
        this.fault = undefined;
        disk[call](path, text.slice(0, Math.floor(text.length / 2)));
        this.#fail("ENOSPC", path);
      };
    const all = {
      ...failing,
      create: shortly("create"),
      append: shortly("append"),
      overwrite: shortly("overwrite"),
    };
    return {
      ...all,
      rename: (from, to) => this.#rename(slashed(from), slashed(to), all.rename),
      create: (path, text) => {
        all.create(path, text);
        this.#afterCall("create", path);
      },
      append: (path, text) => {
        this.world.truth.onWrite(slashed(path), this.#hasLock);
        all.append(path, text);
        this.#afterCall("append", path);
      },
    };
  }

  #rename(from: string, to: string, rename: Files["rename"]): void {
    const { truth } = this.world;
    if (!this.isDead) truth.onWrite(to, this.#hasLock, from);
    const isArchived = isMessagePath(to, FOLDER.archive) && this.world.disk.stat(from);
    if (isArchived && !this.isDead) truth.onArchived(this, basename(to));
    rename(from, to);
    if (to === FOLDER.conversations) truth.onRecords();
    if (isMessagePath(to, FOLDER.inbox)) {
      truth.onStored(this, basename(to), this.#hasLock === FOLDER.inbox);
    }
    this.#afterCall("rename", from);
  }

  #fail(code: string, path: string): never {
    this.failures++;
    throw systemError(code, path);
  }

  #beforeCall(call: keyof Files, path: string): void {
    if (this.isDead) throw new Killed();
    if (this.world.broken.has(path)) throw systemError("EIO", path);
    if (this.world.time.elapsed < this.agent.outageUntil) this.#fail("EIO", path);
    const { fault } = this;
    if (!fault) return;
    const isWrite = !["list", "stat", "read"].includes(call);
    const only = ["EIO", "EMFILE", "kill"].includes(fault.kind) ? fault.only : "write";
    if ((only === "write" && !isWrite) || (only === "read" && call !== "read")) return;
    if (!path.startsWith(fault.on)) return;
    if (fault.skip-- > 0) return;
    if (fault.kind === "short") {
      fault.skip = 0; // the next write is the short one
      return;
    }
    if (fault.kind.endsWith("-after")) {
      fault.skip = 0;
      fault.isDue = true;
      return;
    }
    this.fault = undefined;
    this.world.trace(`  ${this.pid}: ${fault.kind} at ${call} ${path}`);
    if (fault.kind === "kill") this.#killAt();
    this.#fail(fault.kind, path);
  }

  #afterCall(call: keyof Files, path: string): void {
    if (this.isDead || !this.fault?.isDue) return;
    const { kind } = this.fault;
    this.fault = undefined;
    this.world.trace(`  ${this.pid}: ${kind} ${call} ${path}`);
    if (kind === "kill-after") this.#killAt();
    this.#fail("EIO", path);
  }

  #killAt(): never {
    this.failures++;
    this.kill();
    throw new Killed();
  }
}

const named_ = (names: readonly string[]) => names.map(named);
