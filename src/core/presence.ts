import { EventEmitter } from "node:events";
import type { AgentSession } from "./agent.ts";
import { Conversations, type NameSource } from "./conversations.ts";
import { messageOf, UserError } from "./errors.ts";
import {
  type Entry,
  findHolder,
  type Heartbeats,
  namesOf,
  type Session,
  type SessionList,
} from "./heartbeats.ts";
import { isSameName, type Name, toName } from "./names.ts";
import {
  claimNames,
  conversationDigits,
  defaultName,
  explainTakenName,
  unclaimedNames,
  uniqueName,
  type WantedNames,
  wantedNames,
} from "./naming.ts";
import type { DataFolder, System, Timer } from "./system.ts";
import { localTime, nextTimestamps, type Timestamp } from "./timestamps.ts";

const HEARTBEAT_MS = 30_000;
/** Changes are written after this and up to twice this, so that several are written together. */
const DEBOUNCE_MS = 1000;
/** A beat that failed is repeated after a pause that grows up to this many times. */
const MAX_BACKOFF = 16;

/**
 * - `joining`: not listed yet
 * - `active`: listed; receives mail
 * - `replaced`: another server of the same session was called later and receives the mail
 * - `left`: no longer listed, for good
 */
export type State = "joining" | "active" | "replaced" | "left";

interface PresenceEvents {
  /** The session's names or its state have changed. */
  change: [];
}

export interface PresenceOptions {
  readonly folder: DataFolder;
  readonly agent: AgentSession;
  /** IPC_SESSION_ID, if it can be a name. */
  readonly nameFromEnvironment?: Name | undefined;
  /** Fields for the entry that do not change. */
  readonly details?: Partial<Entry>;
}

/** This server's own session: its names and its entry in heartbeats.json. */
export class Presence extends EventEmitter<PresenceEvents> {
  state: State = "joining";
  /** True if an earlier server of this session has announced what came before `since`. */
  tookOver = false;
  /** The name that this conversation had and somebody else has by now. */
  lostName: { readonly name: Name; readonly holder: Name } | undefined;

  #names: readonly [Name, ...Name[]];
  #by: NameSource = "folder";
  #asked: string | undefined;
  #workingOn = "";
  #details: Partial<Entry>;
  /** The conversation that is open, and the one that the names belong to. */
  #conversation: string | undefined;
  #owner: string | undefined;
  #digits: string;
  /** True until names for the open conversation were claimed. */
  #isNew = true;
  /** A server of the same session is to be replaced at the next claim. */
  #takesOver = false;
  #joined: Promise<void> | undefined;
  #since: Timestamp | undefined;
  #recordedAs: string | undefined;

  #interval: Timer | undefined;
  #pending: Timer | undefined;
  #backoff = 1;
  /** Claims, renames and leaving happen one after another. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #conversations: Conversations;

  constructor(
    private readonly options: PresenceOptions,
    private readonly system: System,
    readonly heartbeats: Heartbeats,
  ) {
    super();
    this.#conversations = new Conversations(options.folder, system);
    this.#details = options.details ?? {};
    this.#digits = conversationDigits(undefined);
    this.#names = [uniqueName(options.agent.folder(), this.#digits)];
  }

  get agent(): AgentSession {
    return this.options.agent;
  }

  /** Mail to everyone counts from here on if the name is new; undefined before the session joins. */
  get since(): Timestamp | undefined {
    return this.#since;
  }

  get name(): Name {
    return this.#names[0];
  }

  /** The name and earlier names, which still receive mail. */
  get names(): readonly Name[] {
    return this.#names;
  }

  get conversation(): string | undefined {
    return this.#conversation;
  }

  get workingOn(): string {
    return this.#workingOn;
  }

  get hasJoined(): boolean {
    return this.#joined !== undefined;
  }

  /** True if mail for the names is this server's to announce. */
  get isReceiving(): boolean {
    return this.hasJoined && (this.state === "active" || this.state === "joining");
  }

  /**
   * Takes names and enters the list. Resolves after the first try; others follow by themselves.
   * Does nothing before the agent may join.
   */
  join(): Promise<void> {
    if (!this.#joined && this.state !== "left" && this.agent.mayJoin()) {
      this.#joined = this.#enterList();
    }
    return this.#joined ?? Promise.resolve();
  }

  async #enterList(): Promise<void> {
    const { files, clock } = this.system;
    this.#since = nextTimestamps(files, clock, this.options.folder.dir, 1)[0];
    this.#enterConversation(this.agent.conversation());
    this.#interval = clock.every(HEARTBEAT_MS, () => void this.#beat());
    // Until the first claim succeeds, the session goes by a name that is its conversation's alone.
    this.#names = [uniqueName(this.agent.folder(), this.#digits)];
    await this.#beat();
  }

  /** This session's entry in the list; undefined if it is not listed. */
  ownEntry(): Readonly<Entry> | undefined {
    return this.#sort(this.heartbeats.online()).own?.entry;
  }

  /** Changes what others are told of this session. It is written within two seconds. */
  update(details: Partial<Entry>): void {
    const isSame = Object.entries(details).every(([key, value]) => this.#details[key] === value);
    if (isSame) return;
    this.#details = { ...this.#details, ...details };
    this.#beatSoon();
  }

  /** A tool was called: the latest call decides which of a session's servers receives its mail. */
  async onCall(isSubAgent = false): Promise<void> {
    this.#details = { ...this.#details, last_call: this.system.clock.now() };
    await this.join();
    this.check();
    if (this.state !== "replaced" || isSubAgent) return;
    this.#takesOver = true;
    await this.#beat();
  }

  /**
   * Looks at the list, and at what the agent says, and acts on what has changed. Costs little if
   * nothing has. Throws UserError if the list cannot be read just now: then it is unknown who holds
   * the names, and nothing may be sent or read under them.
   */
  check(): void {
    if (!this.hasJoined || this.state === "left") return;
    try {
      this.#followAgent();
      this.#look();
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(
        `The data folder ${this.options.folder.dir} does not answer: ${messageOf(error)}. Nothing is lost. Call again when it is back; if it is on a network mount, mount it again.`,
      );
    }
  }

  /** For timers: logs what `check` throws. */
  tryCheck(): void {
    try {
      this.check();
      if (!this.hasJoined) void this.join();
    } catch (error) {
      this.system.log(messageOf(error));
    }
  }

  #followAgent(): void {
    const conversation = this.agent.conversation();
    if (conversation !== undefined && conversation !== this.#conversation) {
      this.#enterConversation(conversation);
      this.#beatNow();
    }
    this.#continueConversation();
    const given = this.agent.givenName();
    const isFollowed = this.#by === "folder" || this.#by === "user";
    if (this.state === "active" && isFollowed && given !== undefined && given !== this.#asked) {
      this.#by = "user";
      this.#asked = given;
      this.#want([toName(given), ...this.#names]);
      this.#beatNow();
    }
  }

  /**
   * Takes the names that belong to a conversation. One without any keeps the names for now, since a
   * user who clears the context goes on with the same job. They still belong to the former
   * conversation, which gets them back when it is opened elsewhere.
   */
  #enterConversation(conversation: string | undefined): void {
    const record = this.#conversations.get(conversation);
    const isFirst = this.#conversation === undefined;
    this.#conversation = conversation;
    this.#digits = conversation === undefined ? this.#digits : conversationDigits(conversation);
    if (!isFirst && !record) return;
    this.#adopt(this.#wantedNames(record), conversation);
  }

  #wantedNames(record = this.#conversations.get(this.#conversation)): WantedNames {
    return wantedNames(this.agent, this.options.nameFromEnvironment, record, () =>
      defaultName(
        this.agent.folder(),
        this.#digits,
        this.#conversation,
        this.options.folder,
        this.system,
      ),
    );
  }

  #adopt({ names, by, asked, workingOn }: WantedNames, owner: string | undefined): void {
    this.#owner = owner;
    this.#by = by;
    this.#asked = asked;
    this.#workingOn = workingOn;
    this.#isNew = true;
    this.#want(names);
  }

  /** The names that the next claim asks for. Until then the session goes by those it holds. */
  #wanted: readonly [Name, ...Name[]] | undefined;

  #want(names: readonly [Name, ...Name[]]): void {
    this.#wanted = names;
  }

  /** A conversation that was moved to the background takes its names along. */
  #continueConversation(): void {
    const former = this.agent.continues?.();
    if (former === undefined || this.#conversations.get(this.#conversation)?.by === "set_name")
      return;
    const record = this.#conversations.get(former);
    if (!record || isSameName(record.name, this.name)) return;
    const isOpen = this.heartbeats.online().some(({ entry }) => entry.claude_session === former);
    if (isOpen) return;
    const names: [Name, ...Name[]] = [record.name, ...record.names, ...this.#names];
    const { by, asked, working_on: workingOn } = record;
    this.#adopt({ names, by, asked, workingOn }, this.#conversation);
    this.#beatNow();
  }

  /** Compares the list with what this server believes, without the lock. */
  #look(): void {
    const { own, same, others } = this.#sort(this.heartbeats.online());
    if (own && this.state === "active") return;
    if (same && !own && this.state !== "joining") {
      this.#yieldTo(same);
    } else if (!own && this.state !== "joining") {
      // The list was lost, or the other server of this session has ended.
      const unique = uniqueName(this.agent.folder(), this.#digits);
      this.#want(this.#wanted ?? this.#names);
      this.#become("joining", unclaimedNames(this.#names, unique, others));
      this.#beatNow();
    }
  }

  #yieldTo(replacement: Session): void {
    const [first = this.name, ...earlier] = namesOf(replacement);
    this.#workingOn = replacement.entry.working_on;
    this.#wanted = undefined;
    this.#become("replaced", [first, ...earlier]);
  }

  #become(state: State, names: readonly [Name, ...Name[]]): void {
    const isSame =
      state === this.state &&
      names.length === this.#names.length &&
      names.every((name, index) => name === this.#names[index]);
    this.state = state;
    this.#names = names;
    if (!isSame) this.emit("change");
  }

  /** This server's entry, another server of the same session, and everybody else. */
  #sort(online: readonly Session[]) {
    const { host, pid } = this.system.processes;
    const isOwn = ({ entry }: Session): boolean => entry.host === host && entry.pid === pid;
    const own = online.find(isOwn);
    const same = online.find((session) => !isOwn(session) && this.#isSameSession(session));
    return { own, same, others: online.filter((each) => each !== own && each !== same) };
  }

  #isSameSession({ entry }: Session): boolean {
    const isSameAgent =
      this.agent.pid !== undefined &&
      this.agent.client === entry.client &&
      entry.host === this.system.processes.host &&
      entry.claude_pid === this.agent.pid;
    if (isSameAgent && this.agent.client === undefined) return true;
    return this.#conversation !== undefined && entry.claude_session === this.#conversation;
  }

  #beatSoon(ms = DEBOUNCE_MS * this.#backoff * (1 + Math.random())): void {
    if (!this.hasJoined) return;
    this.#pending ??= this.system.clock.after(ms, () => void this.#beat());
  }

  #beatNow(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
    this.#beatSoon(0);
  }

  #beat(): Promise<void> {
    this.#pending?.cancel();
    this.#pending = undefined;
    return this.#inTurn(async () => {
      let isWritten = false;
      try {
        isWritten = await this.#claim();
      } catch (error) {
        this.system.log(`heartbeat was not written: ${messageOf(error)}`);
      }
      this.#backoff = isWritten ? 1 : Math.min(this.#backoff * 2, MAX_BACKOFF);
      if (!isWritten) this.#beatSoon();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Writes the entry, under names that nobody else holds. Resolves to false if it could not. */
  async #claim(): Promise<boolean> {
    if (this.state === "left") return true;
    let replacement: Session | undefined;
    const claimed = await this.heartbeats.update((list) => {
      const { own, same, others } = this.#sort(list.online);
      const isReconnect = this.state === "joining" && same?.entry.claude_pid === this.agent.pid;
      if (same && !this.#takesOver && !isReconnect) {
        replacement = same;
        if (!own) return undefined;
        list.entries.delete(own.name);
        return { names: this.#names, same: undefined, holder: undefined };
      }
      const wanted = this.#namesToClaim(own, same);
      const names = claimNames(wanted, others, this.#isReclaimable);
      this.#enter(list, names, [own, same]);
      return { names, same, holder: findHolder(others, wanted[0])?.name };
    });
    if (replacement) {
      this.#yieldTo(replacement);
      return true;
    }
    if (!claimed) return false;
    if (claimed.same) {
      this.tookOver = true;
      this.#workingOn ||= claimed.same.entry.working_on;
    }
    this.#noteTaken(claimed.names[0], claimed.holder);
    this.#takesOver = false;
    this.#isNew = false;
    this.#wanted = undefined;
    if ((this.state as State) !== "left") this.#become("active", claimed.names);
    await this.#remember();
    return true;
  }

  /** A server that takes over from another one of its session goes on under that one's names. */
  #namesToClaim(own: Session | undefined, same: Session | undefined): readonly [Name, ...Name[]] {
    if (same && !own) {
      const [first = same.name, ...earlier] = namesOf(same);
      return [first, ...earlier];
    }
    return this.#wanted ?? this.#names;
  }

  #noteTaken(name: Name, holder: Name | undefined): void {
    const [wanted] = this.#wanted ?? [];
    if (!this.#isNew || !wanted || isSameName(wanted, name)) return;
    if (this.#by === "set_name" && holder) this.lostName = { name: wanted, holder };
    this.system.log(`the name ${wanted} is taken: this session is ${name}`);
  }

  /**
   * True if the holder's process has left our conversation and only kept its names: they are ours
   * again. Names that a conversation took for itself are its own.
   */
  readonly #isReclaimable = ({ entry }: Session, name: Name): boolean => {
    const conversation = this.#conversation;
    if (conversation === undefined || entry.claude_session === undefined) return false;
    if (entry.claude_session === conversation) return false;
    const has = (id: string): boolean => {
      const record = this.#conversations.get(id);
      return (
        record !== undefined && [record.name, ...record.names].some((n) => isSameName(n, name))
      );
    };
    return has(conversation) && !has(entry.claude_session);
  };

  /** Puts this session's entry in the place of the entries before. */
  #enter(
    { entries }: SessionList,
    names: readonly [Name, ...Name[]],
    before: readonly (Session | undefined)[],
  ): void {
    for (const session of before) if (session) entries.delete(session.name);
    const known = before.find((session) => session !== undefined)?.entry;
    entries.set(names[0], this.#entry(names, known));
  }

  #entry([, ...earlier]: readonly Name[], before: Readonly<Entry> | undefined): Entry {
    const { clock, processes } = this.system;
    const started = processes.startOf(processes.pid);
    const { pid, client, details } = this.agent;
    return {
      ...before, // keeps what others have written into it
      timestamp: localTime(clock),
      status: "active",
      pid: processes.pid,
      working_on: this.#workingOn || (before?.working_on ?? ""),
      beat: clock.now(),
      host: processes.host,
      ...(started !== undefined && { started }),
      cwd: this.agent.folder(),
      names: earlier,
      ...(this.#since !== undefined && { since: this.#since }),
      ...(client !== undefined && { client }),
      ...(pid !== undefined && { claude_pid: pid }),
      ...(this.#conversation !== undefined && { claude_session: this.#conversation }),
      ...details,
      ...this.#details,
    };
  }

  /** Keeps the names in conversations.json, under the conversation that they belong to. */
  async #remember(): Promise<void> {
    const record = {
      name: this.name,
      names: this.#names.slice(1),
      working_on: this.#workingOn,
      by: this.#by,
      ...(this.#asked !== undefined && { asked: this.#asked }),
    };
    const day = Math.floor(this.system.clock.now() / (24 * 3600 * 1000));
    const key = JSON.stringify([this.#owner, record, day]);
    if (this.#owner === undefined || this.#owner !== this.#conversation) return;
    // A run that nobody watches leaves no name behind unless it took part.
    if (this.agent.details?.unattended && this.#details.last_call === undefined) return;
    if (key === this.#recordedAs) return;
    try {
      await this.#conversations.remember(this.#owner, record);
      this.#recordedAs = key;
    } catch (error) {
      this.system.log(`conversations.json was not written: ${messageOf(error)}`);
    }
  }

  /** Takes a name, which is the open conversation's own from then on. Throws UserError. */
  rename(name: Name, workingOn: string | undefined): Promise<void> {
    return this.#inTurn(async () => {
      let problem = "heartbeats.json is locked by another process. Call again in a few seconds.";
      const names: [Name, ...Name[]] = [name, ...this.#names.filter((n) => !isSameName(n, name))];
      const before = this.#workingOn;
      const renamed = await this.heartbeats
        .update((list) => {
          const { own, same, others } = this.#sort(list.online);
          const taken = explainTakenName(name, others);
          if (taken) {
            problem = taken;
            return undefined;
          }
          this.#workingOn = workingOn ?? before;
          this.#enter(list, names, [own, same]);
          return true;
        })
        .catch((error) => {
          problem = `heartbeats.json cannot be written: ${messageOf(error)}. Fix the problem, then call again.`;
          return undefined;
        });
      if (!renamed) {
        this.#workingOn = before;
        throw new UserError(`Not renamed, this session is still ${this.name}. ${problem}`);
      }
      this.#by = "set_name";
      this.#asked = undefined;
      this.#owner = this.#conversation;
      this.#wanted = undefined;
      this.#become("active", names);
      await this.#remember();
    });
  }

  /** Removes the entry. Resolves when it is gone, or cannot be removed. */
  async leave(): Promise<void> {
    this.state = "left";
    this.#interval?.cancel();
    this.#pending?.cancel();
    if (!this.hasJoined) return;
    await this.#inTurn(async () => {
      const { host, pid } = this.system.processes;
      await this.heartbeats.update(({ entries, online }) => {
        const own = online.find(({ entry }) => entry.host === host && entry.pid === pid);
        return own && entries.delete(own.name);
      });
    }).catch((error) => this.system.log(`not signed off: ${messageOf(error)}`));
  }
}
