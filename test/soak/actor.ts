// One session: a stand-in for Claude Code, its server, and somebody who uses the tools.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type FakeClaude, fakeClaude, newConversation } from "../support/fake-claude.ts";
import { SERVE } from "../support/process.ts";
import { TestSession } from "../support/session.ts";
import type { Shown } from "./ledger.ts";
import type { World } from "./world.ts";

/** The SDK's client gives up after this. Our limit is shorter, but a session may be stopped. */
const GIVE_UP_MS = 300_000;
/**
 * Other hosts count a session as gone when its last beat is 90 s old; it may be 30 s old already.
 */
const FORGOTTEN_MS = 55_000;
/** Nobody's mail needs more answers. */
const MAX_ANSWERS = 300;
/** A session that goes on has entered the list again within this time. */
const RETURN_MS = 5000;

export interface ActorOptions {
  /** IPC_SESSION_ID. */
  readonly name?: string;
  readonly conversation?: string;
  /** Put before the command that starts the server. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

interface Span {
  readonly start: number;
  end: number;
}

export class Actor {
  conversation: string;
  /** What it was shown and is not known to be marked on the disk. */
  unconfirmed: Shown[] = [];
  /** The message from somebody else that it was shown last. */
  lastShown: { readonly file: string; readonly from: string } | undefined;
  readonly isElsewhere: boolean;
  #claude: FakeClaude | undefined;
  #session: TestSession | undefined;
  #ready: Promise<TestSession | undefined> = Promise.resolve(undefined);
  readonly #lives: Span[] = [];
  readonly #pauses: Span[] = [];
  readonly #endings = new WeakSet<TestSession>();

  constructor(
    readonly world: World,
    readonly label: string,
    private readonly options: ActorOptions = {},
  ) {
    this.conversation = options.conversation ?? newConversation();
    this.isElsewhere = options.prefix?.[0] === "unshare";
    if (options.name) world.names.note(this.conversation, options.name);
    world.actors.push(this);
  }

  /** The folder that it works in. */
  get folder(): string {
    return join(dirname(this.world.dir), this.label);
  }

  get isUp(): boolean {
    return this.#session !== undefined && !this.#endings.has(this.#session);
  }

  get isPaused(): boolean {
    return (this.#pauses.at(-1)?.end ?? 0) > Date.now();
  }

  /** The process of the server itself. */
  get pid(): number {
    const pid = this.#session?.transport.pid ?? 0;
    if (!this.isElsewhere) return pid;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0]);
  }

  /** True if the server was there all this time, in the eyes of all. */
  wasPresent(start: number, end: number): boolean {
    const isAlive = this.#lives.some((life) => life.start <= start && end <= life.end);
    const isForgotten = this.#pauses.some((pause) => {
      const isLong = pause.end - pause.start > FORGOTTEN_MS;
      return isLong && pause.start + FORGOTTEN_MS < end && start < pause.end + RETURN_MS;
    });
    return isAlive && !(this.isElsewhere && isForgotten);
  }

  /** Starts the server, and the stand-in if that one has ended. Resolves when it can be called. */
  start(): Promise<unknown> {
    this.#ready = this.#start();
    return this.#ready;
  }

  async #start(): Promise<TestSession | undefined> {
    const { world, label, conversation, options } = this;
    if (!this.#claude || this.#claude.process.hasEnded) {
      this.#claude = await fakeClaude(world.dir, { conversation, project: label, listens: true });
    }
    const session = new TestSession(options.name, {
      dir: world.dir,
      cwd: this.folder,
      client: "claude-code",
      command: [...(options.prefix ?? []), ...SERVE],
      env: { ...this.#claude.env, ...options.env },
    });
    const life = { start: Date.now(), end: Number.POSITIVE_INFINITY };
    this.#lives.push(life);
    this.#session = session;
    void session.ended.then(() => {
      life.end = Math.min(life.end, Date.now());
      this.#checkEnd(session);
    });
    session.client.fallbackNotificationHandler = async ({ params }) => {
      world.ledger.onPush(this, params as never);
    };
    try {
      await session.client.connect(session.transport);
      await session.client.listTools();
      return session;
    } catch (error) {
      if (!this.#endings.has(session)) world.fail(`${label} did not start: ${error}`);
      return undefined;
    }
  }

  #checkEnd(session: TestSession): void {
    const { world, label } = this;
    const stderr = session.stderr();
    for (const line of stderr.split("\n")) world.log(`${label}: ${line}`);
    if (!this.#endings.has(session)) world.fail(`the server of ${label} ended: ${stderr}`);
    for (const fault of session.faults) world.fail(`${label}: not JSON-RPC: ${fault}`);
    for (const line of stderr.split("\n").slice(0, -1)) {
      const isExpected = /^t9-ipc: /.test(line) && !/unexpected:/.test(line);
      if (!isExpected) world.fail(`${label} said on stderr: ${line}`);
      world.count(`stderr: ${kindOf(line)}`);
      if (/no lock of \S*inbox /.test(line)) world.ledger.sentWithoutLock++;
    }
  }

  /**
   * Ends the server with a kill -9, at whatever it is doing, and Claude Code as well if told so.
   */
  async kill({ withClaude = false } = {}): Promise<void> {
    if (!this.isUp) return;
    const session = this.#close();
    process.kill(session.transport.pid ?? 0, "SIGKILL");
    await session.ended;
    if (withClaude) await this.#claude?.process.kill();
    this.world.ledger.onKilled(this);
  }

  /** Ends the session as a user does. */
  async end(): Promise<void> {
    if (this.isUp) {
      await this.#ready;
      await this.#close().close();
    }
    await this.#claude?.process.kill();
  }

  #close(): TestSession {
    const session = this.#session as TestSession;
    const life = this.#lives.at(-1);
    if (life) life.end = Date.now();
    this.#endings.add(session);
    return session;
  }

  /** /clear, or /resume of a conversation that was open elsewhere. */
  open(conversation = newConversation()): void {
    this.conversation = conversation;
    this.#claude?.open(conversation);
  }

  /** Stops the server's process for a while. */
  async pause(ms: number): Promise<void> {
    if (!this.isUp || this.isPaused || !(await this.#ready)) return;
    const { pid } = this;
    this.#pauses.push({ start: Date.now(), end: Number.POSITIVE_INFINITY });
    process.kill(pid, "SIGSTOP");
    this.world.ledger.excuseUnmarked(this);
    await sleep(ms);
    this.#goOn(pid);
  }

  #goOn(pid: number): void {
    const pause = this.#pauses.at(-1);
    if (pause) pause.end = Date.now();
    try {
      process.kill(pid, "SIGCONT");
    } catch {
      // It was killed meanwhile.
    }
  }

  /** Calls a tool. Returns undefined if the server was ended before it answered. */
  async call(tool: string, args: Record<string, string> = {}) {
    const { world, label } = this;
    const session = await this.#ready;
    if (!session || this.#endings.has(session)) return undefined;
    world.names.look();
    const start = Date.now();
    try {
      const { content, isError } = await session.client.callTool(
        { name: `t9_ipc_${tool}`, arguments: args },
        undefined,
        { timeout: GIVE_UP_MS },
      );
      const end = Date.now();
      world.onAnswer(tool, this.#awake(start, end), label);
      world.names.look();
      const text = (content as { text: string }[]).map((part) => part.text).join("\n");
      return { text, isError: isError === true, start, end };
    } catch (error) {
      if (!this.#endings.has(session)) world.fail(`${label}: ${tool}: ${error}`);
      return undefined;
    }
  }

  /** How much of this time the server was not stopped. */
  #awake(start: number, end: number): number {
    const stopped = this.#pauses.map((pause) =>
      Math.max(0, Math.min(end, pause.end) - Math.max(start, pause.start)),
    );
    return end - start - stopped.reduce((sum, each) => sum + each, 0);
  }

  /** Sends a message of which the ledger keeps account. */
  /** One thing that a session does. `name` is drawn only for a rename, and `to` only for a send. */
  perform(
    action: "send" | "broadcast" | "reply" | "read" | "who" | "rename",
    { to, name }: { to: () => string; name?: () => string },
  ): Promise<unknown> {
    switch (action) {
      case "send":
        return this.send(to());
      case "broadcast":
        return this.send("all");
      case "reply":
        return this.reply();
      case "read":
        return this.read();
      case "who":
        return this.call("who");
      case "rename":
        return this.rename(name?.() ?? this.label);
    }
  }

  async send(to: string, more: Record<string, string> = {}): Promise<void> {
    const { ledger } = this.world;
    const sent = ledger.open(this, to);
    const { subject, body } = sent;
    const answer =
      to === "all"
        ? await this.call("broadcast", { subject, body, ...more })
        : await this.call("send", { to, subject, body, allow_unknown: "true", ...more });
    if (answer) ledger.onSent(sent, answer);
  }

  /** Answers the message that it was shown last, if there is one. */
  async reply(): Promise<void> {
    const { file, from } = this.lastShown ?? {};
    if (file && from) await this.send(from, { reply_to: file });
  }

  /** Reads one answer's worth. Returns how many messages it showed. */
  async read(): Promise<number> {
    const { conversation, folder } = this;
    const answer = await this.call("unread");
    return answer ? this.world.ledger.onRead(this, { conversation, folder }, answer) : 0;
  }

  /** Reads all there is. */
  async drain(): Promise<void> {
    for (let answers = 0; answers < MAX_ANSWERS && (await this.read()) > 0; answers++);
  }

  async rename(name: string): Promise<void> {
    const { conversation, folder, world } = this;
    const answer = await this.call("set_name", { name });
    if (!answer || answer.isError) return world.count("renames refused");
    world.count("renames");
    world.names.note(conversation, name);
    world.names.note(folder, name);
  }
}

/** The line without what differs from case to case. */
const kindOf = (line: string): string =>
  line
    .replace(/^t9-ipc: /, "")
    .replace(/\S*[\d/]\S*/g, "…")
    .slice(0, 70);
