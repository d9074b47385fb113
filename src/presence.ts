import { createHash, randomBytes } from "node:crypto";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "./config.ts";
import { reasonOf } from "./files.ts";
import { fit, MAX_NAME, nameProblem, sameName } from "./names.ts";
import { claudeAbove, inspect } from "./process.ts";
import { chooseRoute, type Route } from "./route.ts";
import { type Entries, type Entry, namesOf, type Session, type Sessions } from "./sessions.ts";
import { localTime, takeStamp } from "./stamp.ts";

const BEAT_MS = 30_000;
/** Beats after tool calls come no closer than this; after a failed one, the next try comes so soon. */
const BEAT_AGAIN_MS = 250;
/** Leaving waits no longer for the lock: the process ends, and its PID then tells the others. */
const LEAVE_MS = 500;

/** This server's own session: its name, its heartbeat, and whether another server has taken it over. */
export class Presence {
  name: string;
  /** Earlier names: what is sent to them is delivered here for as long as the session lives. */
  earlier: string[] = [];
  workingOn = "";
  lastCall: number | undefined;
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
  #joined = false;
  #left = false;
  #version = "";
  #beating = false;
  #lastBeatDone = Promise.resolve();
  #lastBeat = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: Config, sessions: Sessions) {
    this.#config = config;
    this.#sessions = sessions;
    this.name = firstName(config);
    this.since = takeStamp(config.dir);
    const claude = config.claudeSession ? claudeAbove() : undefined;
    this.#claudePid = claude?.pid;
    this.push = chooseRoute(config, claude?.argv ?? []);
  }

  get names(): string[] {
    return [this.name, ...this.earlier];
  }

  /** Is that the entry of another server of our own Claude Code process (a reconnect leaves the old one)? */
  #isSibling({ entry }: Session): boolean {
    if (entry.host !== this.#config.host || entry.pid === process.pid) return false;
    if (this.#claudePid) return entry.claude_pid === this.#claudePid;
    const { claudeSession } = this.#config;
    return !!claudeSession && entry.claude_session === claudeSession && entry.parent === process.ppid;
  }

  #isOwn({ entry }: Session): boolean {
    return entry.pid === process.pid && entry.host === this.#config.host;
  }

  /** Takes a name and puts this session on the list; goes on unlisted, and tries again, where it cannot. */
  async join(): Promise<void> {
    await this.#beat();
    this.#timer = setInterval(() => this.beatSoon(), BEAT_MS);
    this.#timer.unref();
  }

  /** Beats now, or shortly where the last beat was just now. Returns at once. */
  beatSoon(): void {
    if (this.#beating || this.#left) return;
    this.#beating = true;
    const wait = Math.max(0, this.#lastBeat + BEAT_AGAIN_MS - performance.now());
    setTimeout(() => {
      this.#beating = false;
      if (!this.#left) this.#lastBeatDone = this.#beat();
    }, wait).unref();
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

  /** One live holder for a name. Puts our entry in; false: nothing to write. */
  #claim(entries: Entries, online: Session[]): boolean {
    if (this.#left) return false;
    const sibling = online.find((session) => this.#isSibling(session));
    if (sibling) {
      this.#adopt(sibling);
      if (this.#joined) return false;
      this.tookOver = true;
    }
    this.quiet = false;
    const others = online.filter((session) => !this.#isSibling(session) && !this.#isOwn(session));
    const wanted = this.name;
    for (let n = 2; holderOf(this.name, others); n++) {
      const suffix = `-${n}`;
      this.name = `${[...wanted].slice(0, MAX_NAME - suffix.length).join("")}${suffix}`;
    }
    if (this.name !== wanted) this.#config.log(`the name ${wanted} is taken: this session is ${this.name}`);
    this.#put(entries);
    return true;
  }

  #adopt(sibling: Session): void {
    this.quiet = true;
    this.name = sibling.name;
    this.earlier = [...(sibling.entry.names ?? [])];
    this.workingOn = sibling.entry.working_on;
  }

  #put(entries: Entries): void {
    const own = [...entries].find(([name, entry]) => this.#isOwn({ name, entry }));
    if (own) entries.delete(own[0]);
    const entry: Entry = {
      ...(own?.[1] ?? entries.get(this.name)), // unknown fields are kept
      timestamp: localTime(),
      status: "active",
      pid: process.pid,
      working_on: this.workingOn,
      beat: Date.now(),
      host: this.#config.host,
      cwd: this.#config.folder,
      names: this.earlier,
      push: this.push,
      tool_prefix: this.#config.toolPrefix,
      since: this.since,
      parent: process.ppid,
      ...(this.#started && { started: this.#started }),
      ...(this.lastCall && { last_call: this.lastCall }),
      ...(this.#claudePid && { claude_pid: this.#claudePid }),
      ...(this.#config.claudeSession && { claude_session: this.#config.claudeSession }),
    };
    entries.set(this.name, entry);
    this.#joined = true;
  }

  /** Looks whether heartbeats.json still has us as we are; if not, goes quiet or beats. Costs one stat. */
  check(): void {
    if (!this.#joined || this.#left || this.#sessions.version() === this.#version) return;
    this.#version = this.#sessions.version();
    const online = this.#sessions.online();
    const sibling = online.find((session) => this.#isSibling(session));
    const own = online.some((session) => session.name === this.name && this.#isOwn(session));
    if (sibling && !own) this.#adopt(sibling);
    else if (!own) this.beatSoon();
  }

  /** Takes a name. Resolves to a refusal, or undefined where the name is now ours. */
  async rename(name: string, workingOn: string | undefined): Promise<string | undefined> {
    let refusal: string | undefined = "heartbeats.json is locked by another process. Call again in a few seconds.";
    await this.#sessions.update((entries, online) => {
      const others = online.filter((session) => !this.#isSibling(session) && !this.#isOwn(session));
      const holder = holderOf(name, others);
      refusal = holder && taken(name, holder, others);
      if (holder) return false;
      this.earlier = this.names.filter((old) => old !== name);
      this.name = name;
      this.workingOn = workingOn ?? this.workingOn;
      this.quiet = false;
      for (const [old, entry] of entries) if (this.#isSibling({ name: old, entry })) entries.delete(old);
      this.#put(entries);
      return true;
    });
    this.#version = this.#sessions.version();
    return refusal;
  }

  /** Takes this session off the list, within half a second or not at all. */
  async leave(): Promise<void> {
    this.#left = true;
    clearInterval(this.#timer);
    if (this.quiet || !this.#joined) return;
    const remove = (entries: Entries): boolean => {
      const own = [...entries].filter(([name, entry]) => this.#isOwn({ name, entry }));
      for (const [name] of own) entries.delete(name);
      return own.length > 0;
    };
    // A beat under way would leave its lock behind.
    const removed = this.#lastBeatDone.then(() => this.#sessions.update(remove)).catch(() => false);
    await Promise.race([removed, sleep(LEAVE_MS)]);
  }
}

/** Who among these sessions is reached by that name. */
export function holderOf(name: string, sessions: readonly Session[]): Session | undefined {
  return sessions.find((session) => namesOf(session).some((held) => sameName(held, name)));
}

function taken(name: string, holder: Session, others: readonly Session[]): string {
  let n = 2;
  while (holderOf(`${name}-${n}`, others)) n++;
  const earlier = sameName(holder.name, name) ? "" : `, an earlier name of ${holder.name}`;
  const where = holder.entry.cwd ? ` in ${holder.entry.cwd}` : "";
  return `The name ${name} belongs to a session that is online${where}${earlier}. Call again with another name, for example ${name}-${n}.`;
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
  const { claudeSession, folder } = config;
  const wanted = askedName(config);
  if (wanted) return wanted;
  const digits = claudeSession
    ? createHash("sha256").update(claudeSession).digest("hex").slice(0, 4)
    : randomBytes(2).toString("hex");
  return `${fit(basename(folder))}-${digits}`;
}
