import { createHash, randomBytes } from "node:crypto";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { chooseRoute, type Route } from "../delivery/route.ts";
import { reasonOf } from "../files.ts";
import { localTime, takeStamp } from "../stamp.ts";
import { type Entries, type Entry, namesOf, type Session, type Sessions } from "./heartbeats.ts";
import { fit, MAX_NAME, nameProblem, sameName } from "./names.ts";
import { agentAbove, inspect } from "./process.ts";

const BEAT_MS = 30_000;
/** Beats come no closer than this. */
const BEAT_AGAIN_MS = 500;
/** Leaving waits no longer for the lock: the process ends, and its PID then tells the others. */
const LEAVE_MS = 500;

/** This server's own session: its name, its heartbeat, and whether another server has taken it over. */
export class Presence {
  name: string;
  /** Earlier names: what is sent to them is delivered here for as long as the session lives. */
  earlier: string[] = [];
  /** How mail reaches this session; told to the others. */
  push: Route;
  /** A newer server of the same Claude Code process serves this session: no beats, no pushes from here. */
  quiet = false;
  /** This server has taken its session over from an earlier one of the same Claude Code process. */
  tookOver = false;
  /** From when its mail counts, where its name is new: a stamp. */
  readonly since: string;

  readonly #config: Config;
  readonly #sessions: Sessions;
  readonly #started = inspect([process.pid]).get(process.pid)?.started;
  readonly #claudePid: number | undefined;
  #workingOn = "";
  #lastCall: number | undefined;
  #joined = false;
  #left = false;
  /** The version of heartbeats.json that was last looked at. */
  #version = "";
  #beating = Promise.resolve();
  #lastBeat = 0;
  #nextBeat: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: Config, sessions: Sessions) {
    this.#config = config;
    this.#sessions = sessions;
    this.name = firstName(config);
    this.since = takeStamp(config.dir);
    const claude = config.claudeSession ? agentAbove() : undefined;
    this.#claudePid = claude?.pid;
    this.push = chooseRoute(config, claude?.argv ?? []);
  }

  get names(): string[] {
    return [this.name, ...this.earlier];
  }

  /** Takes a name and puts this session on the list; goes on unlisted, and tries again, where it cannot. */
  async join(): Promise<void> {
    this.#timer = setInterval(() => this.beatSoon(), BEAT_MS).unref();
    this.#beating = this.#beat();
    await this.#beating;
  }

  /** Beats now, or shortly where the last beat was just now. Returns at once. */
  beatSoon(): void {
    if (this.#left) return;
    const wait = Math.max(0, this.#lastBeat + BEAT_AGAIN_MS - performance.now());
    this.#nextBeat ??= setTimeout(() => {
      this.#nextBeat = undefined;
      this.#beating = this.#beat();
    }, wait).unref();
  }

  /** A tool was called: the others see when, once the answer is out. */
  touch(): void {
    this.check();
    this.#lastCall = Date.now();
    setImmediate(() => this.beatSoon());
  }

  async #beat(): Promise<void> {
    this.#lastBeat = performance.now();
    try {
      if (!(await this.#sessions.update((entries, online) => this.#claim(entries, online)))) this.beatSoon();
    } catch (error) {
      this.#config.log(`heartbeat not written: ${reasonOf(error)}`);
    }
    this.#version = this.#sessions.version();
  }

  /** Puts our entry in, under a name nobody else holds; not where another server has taken our session over. */
  #claim(entries: Entries, online: Session[]): boolean {
    const { sibling, others } = this.#split(online);
    if (sibling) {
      this.#adopt(sibling);
      if (this.#joined) return false;
      this.tookOver = true;
    }
    const wanted = this.name;
    this.name = freeName(wanted, others);
    if (this.name !== wanted) {
      this.#config.log(`the name ${wanted} is taken: this session is ${this.name}`);
      if (this.#joined) this.earlier.push(wanted); // by a server that does not ask: our mail goes on coming
    }
    this.#put(entries, online);
    return true;
  }

  /** Our own entry; that of another server of our Claude Code process (a reconnect leaves the old one); all others. */
  #split(online: Session[]): { own: Session | undefined; sibling: Session | undefined; others: Session[] } {
    const { host, claudeSession } = this.#config;
    const isSibling = (entry: Entry): boolean =>
      this.#claudePid
        ? entry.claude_pid === this.#claudePid
        : !!claudeSession && entry.claude_session === claudeSession && entry.parent === process.ppid;
    const here = online.filter(({ entry }) => entry.host === host);
    const own = here.find(({ entry }) => entry.pid === process.pid);
    const sibling = here.find((session) => session !== own && isSibling(session.entry));
    return { own, sibling, others: online.filter((session) => session !== own && session !== sibling) };
  }

  /** Goes by the name of the server that serves this session, and goes quiet. */
  #adopt(sibling: Session): void {
    this.quiet = true;
    this.name = sibling.name;
    this.earlier = namesOf(sibling).slice(1);
    this.#workingOn = sibling.entry.working_on;
  }

  #put(entries: Entries, online: Session[]): void {
    const { host, folder, toolPrefix, claudeSession } = this.#config;
    const { own, sibling } = this.#split(online);
    for (const before of [own, sibling]) if (before) entries.delete(before.name);
    entries.set(this.name, {
      ...(own ?? sibling)?.entry, // unknown fields are kept
      timestamp: localTime(),
      status: "active",
      pid: process.pid,
      working_on: this.#workingOn,
      beat: Date.now(),
      host,
      cwd: folder,
      names: this.earlier,
      push: this.push,
      tool_prefix: toolPrefix,
      since: this.since,
      parent: process.ppid,
      ...(this.#started && { started: this.#started }),
      ...(this.#lastCall && { last_call: this.#lastCall }),
      ...(this.#claudePid && { claude_pid: this.#claudePid }),
      ...(claudeSession && { claude_session: claudeSession }),
    });
    this.#joined = true;
    this.quiet = false;
  }

  /** Looks whether heartbeats.json still has us as we are; if not, goes quiet or beats. Costs one stat. */
  check(): void {
    if (!this.#joined || this.#sessions.version() === this.#version) return;
    this.#version = this.#sessions.version();
    if (this.#sessions.hasEntry(this.name, process.pid)) return;
    const { sibling } = this.#split(this.#sessions.online());
    if (sibling) this.#adopt(sibling);
    else this.beatSoon();
  }

  /** Takes a name. Resolves to a refusal, or undefined where the name is now ours. */
  async rename(name: string, workingOn: string | undefined): Promise<string | undefined> {
    let refusal: string | undefined = "heartbeats.json is locked by another process. Call again in a few seconds.";
    await this.#sessions.update((entries, online) => {
      refusal = taken(name, this.#split(online).others);
      if (refusal) return false;
      this.earlier = this.names.filter((old) => old !== name);
      this.name = name;
      this.#workingOn = workingOn ?? this.#workingOn;
      this.#put(entries, online);
      return true;
    });
    this.#version = this.#sessions.version();
    return refusal;
  }

  /** Takes this session off the list, within half a second or not at all. */
  async leave(): Promise<void> {
    this.#left = true;
    clearInterval(this.#timer);
    clearTimeout(this.#nextBeat);
    const remove = (entries: Entries, online: Session[]): boolean =>
      entries.delete(this.#split(online).own?.name ?? "");
    // A beat under way would leave its lock behind.
    const removed = this.#beating.then(() => this.#sessions.update(remove)).catch(() => false);
    await Promise.race([removed, sleep(LEAVE_MS)]);
  }
}

/** Who among these sessions is reached by that name. */
export function holderOf(name: string, sessions: readonly Session[]): Session | undefined {
  return sessions.find((session) => namesOf(session).some((held) => sameName(held, name)));
}

/** The name, with the first number behind it that nobody holds where somebody holds the name. */
function freeName(name: string, others: readonly Session[]): string {
  let free = name;
  for (let n = 2; holderOf(free, others); n++) {
    const suffix = `-${n}`;
    free = `${[...name].slice(0, MAX_NAME - suffix.length).join("")}${suffix}`;
  }
  return free;
}

/** Why the name cannot be had, and which can; undefined where nobody holds it. */
function taken(name: string, others: readonly Session[]): string | undefined {
  const holder = holderOf(name, others);
  if (!holder) return undefined;
  const earlier = sameName(holder.name, name) ? "" : `, an earlier name of ${holder.name}`;
  const where = holder.entry.cwd ? ` in ${holder.entry.cwd}` : "";
  return `The name ${name} belongs to a session that is online${where}${earlier}. Call again with another name, for example ${freeName(name, others)}.`;
}

/** IPC_SESSION_ID, where it can be a name. */
export function askedName({ sessionId, log }: Config): string | undefined {
  const wanted = sessionId?.normalize("NFC");
  const problem = wanted && nameProblem(wanted);
  if (problem) log(`IPC_SESSION_ID not used: ${problem}`);
  return problem ? undefined : wanted;
}

/** The name asked for; else the project's folder and four hex digits, of the conversation where it has an id. */
function firstName(config: Config): string {
  const conversation = config.claudeSession ?? randomBytes(16);
  const digits = createHash("sha256").update(conversation).digest("hex").slice(0, 4);
  return askedName(config) ?? `${fit(basename(config.folder))}-${digits}`;
}
