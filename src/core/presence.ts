import { EventEmitter } from "node:events";
import type { AgentSession } from "./agent.ts";
import { Conversations } from "./conversations.ts";
import { messageOf, UserError } from "./errors.ts";
import {
  type Entry,
  findHolder,
  type Heartbeats,
  namesOf,
  type Session,
  type SessionList,
} from "./heartbeats.ts";
import { isSameName, type Name } from "./names.ts";
import {
  claimNames,
  closestName,
  conversationDigits,
  defaultName,
  explainTakenName,
  namesWithout,
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
 * - `joining`: not listed yet, or not any more
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

/**
 * - `new`: not listed yet
 * - `serving`: was listed with the open conversation
 * - `waiting`: lets any other server of the session go first
 */
type Role = "new" | "serving" | "waiting";

/** The names a session wants, and whose they are. */
interface Identity extends WantedNames {
  /** The open conversation; undefined if the agent does not say. */
  readonly conversation: string | undefined;
  /** Names that belong to a conversation that this process has left, by name. */
  readonly borrowed: Readonly<Record<string, string>>;
}

/** This server's own session: its names and its entry in heartbeats.json. */
export class Presence extends EventEmitter<PresenceEvents> {
  state: State = "joining";
  /** Another server has announced to the same program what came before this. */
  announcedBefore: { readonly timestamp: Timestamp; readonly names: readonly Name[] } | undefined;
  /** True if that server may still have held notices back: a call has ended its turn. */
  hasInterrupted = false;
  /** The name that this conversation had taken, and that somebody else has by now. */
  lostName: { readonly name: Name; readonly holder: Name } | undefined;

  /** The names that the session goes by. */
  #names: readonly [Name, ...Name[]];
  /** What the next claim asks for; undefined until the conversation's names are known. */
  #identity: Identity | undefined;
  #role: Role = "new";
  /** A conversation whose names were taken along once. */
  #continued: string | undefined;
  /** True if a tool was called since another server of the session was seen to serve it. */
  #isCalled = false;
  /** True if no other server of the session was on the list at the last look. */
  #isAlone = true;
  #details: Partial<Entry>;
  #joined: Promise<void> | undefined;
  #since: Timestamp | undefined;
  /** True if conversations.json has our names, or newer ones of another server. */
  #isRemembered = false;

  #interval: Timer | undefined;
  #pending: Timer | undefined;
  #backoff = 1;
  /** Claims, renames and leaving happen one after another. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #conversations: Conversations;
  readonly #randomDigits = conversationDigits(undefined);

  constructor(
    private readonly options: PresenceOptions,
    private readonly system: System,
    readonly heartbeats: Heartbeats,
  ) {
    super();
    this.#conversations = new Conversations(options.folder, system);
    this.#details = options.details ?? {};
    this.#names = [this.#uniqueName(undefined)];
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
    return this.#identity?.conversation;
  }

  get workingOn(): string {
    return this.#identity?.workingOn ?? "";
  }

  get hasJoined(): boolean {
    return this.#joined !== undefined;
  }

  /**
   * True if mail for the names is this server's to announce. A session that could not enter the
   * list receives mail as well as it can, unless another server of it is there.
   */
  get isReceiving(): boolean {
    if (this.state !== "joining") return this.state === "active";
    return this.#backoff > 1 && this.#isAlone;
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
    this.#interval = clock.every(HEARTBEAT_MS, () => {
      if (this.state !== "replaced") void this.#beat();
    });
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
    if (this.state !== "replaced") this.#beatSoon();
  }

  /** A tool was called: the latest call decides which of a session's servers receives its mail. */
  async onCall(isSubAgent = false): Promise<void> {
    const isFirst = this.#details.last_call === undefined;
    this.#details = { ...this.#details, last_call: this.system.clock.now() };
    await this.join();
    this.check();
    if (!this.hasJoined) return;
    this.#isCalled = this.state === "replaced" && !isSubAgent;
    if (this.#isCalled || this.state === "joining") await this.#beat();
    if (this.state === "joining") this.#keepNames();
    // Later calls are told with the next heartbeat, which is soon enough.
    if (isFirst && this.state === "active") this.#beatSoon();
    if (isFirst) this.emit("change"); // from now on its names are noted, whatever run it is
  }

  /** False for a run that nobody watches and that has not taken part: it is not to be written to. */
  get leavesNames(): boolean {
    return !this.agent.details?.unattended || this.#details.last_call !== undefined;
  }

  /** The call may send under a name for now, and the answers will come to that name. */
  #keepNames(): void {
    const { names } = this.#currentIdentity();
    const added = this.#names.filter((name) => !names.includes(name));
    this.#identity = { ...this.#currentIdentity(), names: [...names, ...added] };
  }

  /**
   * Looks at the list, and at what the agent says, and acts on what has changed. Costs little if
   * nothing has. Throws UserError if the list cannot be read just now: then it is unknown who holds
   * the names, and nothing may be sent or read under them.
   */
  check(): void {
    if (!this.hasJoined || this.state === "left") return;
    try {
      const before = this.#identity;
      if (this.#currentIdentity() !== before) this.#beatNow();
      this.#look();
    } catch (error) {
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

  /**
   * The names that the next claim asks for. They change with the conversation, and with the user's
   * name for it. Until then the session goes by those it holds.
   */
  #currentIdentity(): Identity {
    const conversation = this.agent.conversation() ?? this.conversation;
    let identity = this.#identity;
    if (!identity || conversation !== identity.conversation) {
      identity = this.#enterConversation(conversation, identity);
    } else if (this.state !== "replaced") {
      identity = this.#followGivenName(this.#continueConversation(identity));
    }
    this.#identity = identity;
    return identity;
  }

  /**
   * A conversation takes the names that belong to it. One without any keeps the present names for
   * now, since a user who clears the context goes on with the same job. They still belong to the
   * former conversation, which gets them back when it is opened elsewhere.
   */
  #enterConversation(conversation: string | undefined, before: Identity | undefined): Identity {
    const former = before?.conversation;
    const record = this.#conversations.get(conversation);
    // A process that has the conversation open already keeps it until this one is called.
    if (this.#role !== "new") this.#role = "waiting";
    if (before && former !== undefined && !record && this.state === "active") {
      return { ...borrowNames(before, former), conversation };
    }
    const wanted = wantedNames(this.agent, this.options.nameFromEnvironment, record, () =>
      this.#defaultName(conversation),
    );
    // Until now the agent had not told which conversation this is. Mail may be under way to the name.
    const provisional = former === undefined && before ? this.#names : [];
    const names: Identity["names"] = [...wanted.names, ...provisional];
    const identity = { ...wanted, names, conversation, borrowed: {} };
    if (this.state !== "replaced") this.#become("joining", this.#unclaimed(identity, []));
    return identity;
  }

  /** A conversation that was moved to the background takes its names along. */
  #continueConversation(identity: Identity): Identity {
    const former = this.agent.continues?.();
    if (former === undefined || former === this.#continued) return identity;
    const record = this.#conversations.get(former);
    if (!record || identity.by === "set_name") return identity;
    const isOpen = this.heartbeats.online().some(({ entry }) => entry.claude_session === former);
    if (isOpen) return identity;
    this.#continued = former;
    const { name, names, by, asked, working_on: workingOn } = record;
    const all: Identity["names"] = [name, ...names, ...identity.names];
    return { ...identity, names: all, by, asked, workingOn, borrowed: {} };
  }

  #followGivenName(identity: Identity): Identity {
    const given = this.agent.givenName();
    const isFollowed = identity.by === "folder" || identity.by === "user";
    if (!isFollowed || given === undefined || given === identity.asked) return identity;
    return {
      ...identity,
      names: [closestName(given), ...identity.names],
      by: "user",
      asked: given,
    };
  }

  #defaultName(conversation: string | undefined): Name {
    const { agent, folder } = this.options;
    const digits = this.#digits(conversation);
    return defaultName(agent.folder(), digits, conversation, folder, this.system);
  }

  #digits(conversation: string | undefined): string {
    return conversation === undefined ? this.#randomDigits : conversationDigits(conversation);
  }

  /** A name that is the conversation's alone. */
  #uniqueName(conversation: string | undefined): Name {
    return uniqueName(this.agent.folder(), this.#digits(conversation));
  }

  /** Compares the list with what this server believes, without the lock. */
  #look(): void {
    const { own, same, others } = this.#sort(this.heartbeats.online());
    this.#isAlone = same === undefined;
    if (this.state === "active" && own) {
      // Another session may have got a name back, or one that sleeps was taken for dead.
      const names = namesWithout(namesOf(own), others);
      if (names[0] === own.name) this.#become("active", names as [Name, ...Name[]]);
      else this.#rejoin(others);
      if (own.entry.cwd !== this.agent.folder()) this.#beatSoon();
    } else if (same && !own && this.state !== "joining") {
      this.#yieldTo(same);
    } else {
      if (this.state !== "joining") this.#refresh();
      this.#rejoin(others);
    }
  }

  /** Another server of this session may have renamed it, and ended, since the last look. */
  #refresh(): void {
    const identity = this.#currentIdentity();
    const record = this.#conversations.get(identity.conversation);
    if (!record || !this.#isRemembered) return;
    const { name, names, by, asked, working_on: workingOn } = record;
    const all: Identity["names"] = [name, ...new Set([...names, ...identity.names])];
    this.#identity = { ...identity, names: all, by, asked, workingOn };
  }

  /** Not on the list: only names that nobody else holds count, until the next claim. */
  #rejoin(others: readonly Session[]): void {
    const isReplaced = this.state === "replaced"; // and the other server has ended, or moved on
    if (this.state === "active") this.#beatNow();
    if (isReplaced) this.#beatSoon();
    const names = this.#unclaimed(this.#currentIdentity(), others);
    this.#become(isReplaced ? "replaced" : "joining", names);
  }

  /** What the session may go by of these names before it has claimed them. */
  #unclaimed({ names, conversation }: Identity, others: readonly Session[]): [Name, ...Name[]] {
    const held = this.#names.filter((name) => names.includes(name));
    return unclaimedNames(held, this.#uniqueName(conversation), others);
  }

  #yieldTo(replacement: Session): void {
    this.#role = "waiting";
    this.#isRemembered = true;
    this.#identity = this.#identityOf(replacement);
    this.#become("replaced", this.#identity.names);
  }

  /** What another server of this session goes by. */
  #identityOf(server: Session): Identity {
    const { conversation } = this;
    const { by = "folder", asked } = this.#conversations.get(conversation) ?? {};
    const { working_on: workingOn, borrowed = {} } = server.entry;
    return { conversation, names: namesOf(server), by, asked, workingOn, borrowed };
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
    const servers = online.filter((session) => !isOwn(session) && this.#isSameSession(session));
    const same = servers.find((session) => this.#isSameConversation(session)) ?? servers[0];
    return { own, same, others: online.filter((each) => each !== own && each !== same) };
  }

  #isSameSession(session: Session): boolean {
    const isSameAgent = this.#isSameAgent(session) && this.agent.client === undefined;
    return isSameAgent || this.#isSameConversation(session);
  }

  #isSameConversation({ entry }: Session): boolean {
    return this.conversation !== undefined && entry.claude_session === this.conversation;
  }

  #isSameAgent({ entry }: Session): boolean {
    const { client, pid } = this.agent;
    if (pid === undefined || entry.claude_pid !== pid) return false;
    return entry.client === client && entry.host === this.system.processes.host;
  }

  #beatSoon(ms = DEBOUNCE_MS * this.#backoff * (1 + Math.random())): void {
    if (!this.hasJoined || this.state === "left") return;
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
      if (isWritten) return;
      this.#beatSoon();
      if (this.state === "joining") this.emit("change");
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
    let wanted = this.#currentIdentity();
    const claimed = await this.heartbeats.update((list) => {
      wanted = this.#currentIdentity();
      const { own, same, others } = this.#sort(list.online);
      if (same && !this.#takesOverFrom(same, own)) {
        if (own) list.entries.delete(own.name);
        return { replacement: same };
      }
      // A server that takes over from another one of its session goes on under that one's names.
      if (same && !own) wanted = this.#succeed(same, wanted);
      const names = claimNames(wanted.names, others, this.#isReclaimable);
      takeNames(list, names, others);
      const holder = findHolder(others, wanted.names[0])?.name;
      if (same && this.#isSameAgent(same)) this.#noteAnnounced(namesOf(same));
      return { identity: this.#enter(list, { ...wanted, names }, [own, same]), holder };
    });
    if (!claimed) return false;
    if (!claimed.identity) {
      this.#yieldTo(claimed.replacement);
      return true;
    }
    this.#noteTaken(wanted, claimed.identity.names[0], claimed.holder);
    await this.#onListed(claimed.identity);
    return true;
  }

  /** Goes on as the other server, unless the program has moved to a conversation with names. */
  #succeed(server: Session, wanted: Identity): Identity {
    const former = server.entry.claude_session ?? wanted.conversation;
    if (former === undefined || former === wanted.conversation) return this.#identityOf(server);
    if (this.#conversations.get(wanted.conversation)) return wanted;
    return borrowNames(this.#identityOf(server), former);
  }

  /** The latest call wins. A new server of the same process replaces the one before it. */
  #takesOverFrom(same: Session, own: Session | undefined): boolean {
    if (this.#isCalled) return true;
    if (this.#role === "new") return this.#isSameAgent(same);
    if (this.#role === "waiting") return false;
    // Without an entry of its own it was replaced and has not seen that yet, or the list was lost.
    const { last_call: ownCall = 0 } = this.#details;
    return own !== undefined || ownCall > (same.entry.last_call ?? 0);
  }

  /** Called before the list is written: from then on the other server announces nothing. */
  #noteAnnounced(names: readonly Name[]): void {
    const { files, clock } = this.system;
    const [timestamp] = nextTimestamps(files, clock, this.options.folder.dir, 1);
    this.announcedBefore = timestamp && { timestamp, names };
    this.hasInterrupted = this.#isCalled;
  }

  #noteTaken({ names: [wanted], by }: Identity, name: Name, holder: Name | undefined): void {
    if (this.#role === "serving" || isSameName(wanted, name)) return;
    if (by === "set_name" && holder) this.lostName = { name: wanted, holder };
    this.system.log(`the name ${wanted} is taken: this session is ${name}`);
  }

  async #onListed(identity: Identity): Promise<void> {
    const isLate = this.state === "left" || identity.conversation !== this.conversation;
    if (isLate) return; // the conversation has changed while this was being written
    this.#identity = identity;
    this.#isCalled = false;
    this.#role = "serving";
    this.#become("active", identity.names);
    await this.#remember(identity);
  }

  /** True if the holder's process has left our conversation and only kept its names. */
  readonly #isReclaimable = ({ entry }: Session, name: Name): boolean =>
    this.conversation !== undefined && lenderOf(entry, name) === this.conversation;

  /** Puts this session's entry in the place of those before. */
  #enter(
    { entries }: SessionList,
    identity: Identity,
    before: readonly (Session | undefined)[],
  ): Identity {
    for (const session of before) if (session) entries.delete(session.name);
    const known = before.find((session) => session !== undefined)?.entry;
    entries.set(identity.names[0], this.#entry(identity, known));
    return identity;
  }

  #entry(
    { names, conversation, workingOn, borrowed }: Identity,
    before: Readonly<Entry> | undefined,
  ): Entry {
    const { clock, processes } = this.system;
    const started = processes.startOf(processes.pid);
    const { pid, client, details } = this.agent;
    return {
      ...before, // keeps what others have written into it
      timestamp: localTime(clock),
      status: "active",
      pid: processes.pid,
      working_on: workingOn,
      beat: clock.now(),
      host: processes.host,
      ...(started !== undefined && { started }),
      cwd: this.agent.folder(),
      names: names.slice(1),
      borrowed,
      ...(this.#since !== undefined && { since: this.#since }),
      ...(client !== undefined && { client }),
      ...(pid !== undefined && { claude_pid: pid }),
      ...(conversation !== undefined && { claude_session: conversation }),
      ...details,
      ...this.#details,
    };
  }

  /** Keeps the names that belong to the open conversation in conversations.json. */
  async #remember({ conversation, names, workingOn, by, asked, borrowed }: Identity) {
    const [name, ...earlier] = names.filter((each) => lenderOf({ borrowed }, each) === undefined);
    if (conversation === undefined || name === undefined) return;
    if (!this.leavesNames) return;
    const record = { name, names: earlier, working_on: workingOn, by, ...(asked && { asked }) };
    try {
      this.#isRemembered = false;
      await this.#conversations.remember(conversation, record);
      this.#isRemembered = true;
    } catch (error) {
      this.system.log(`conversations.json was not written: ${messageOf(error)}`);
    }
  }

  /** Takes a name, which is the open conversation's own from then on. Throws UserError. */
  rename(name: Name, workingOn: string | undefined): Promise<void> {
    return this.#inTurn(async () => {
      let problem = "heartbeats.json is locked by another process. Call again in a few seconds.";
      if (!this.hasJoined || this.state === "left") {
        throw new UserError("Not renamed: this session is not on the list of sessions.");
      }
      const renamed = await this.heartbeats
        .update((list) => {
          const identity = this.#currentIdentity();
          const { own, same, others } = this.#sort(list.online);
          const taken = explainTakenName(name, others);
          if (taken) {
            problem = taken;
            return undefined;
          }
          const before = same && !own ? this.#identityOf(same) : identity;
          const { [name]: _own, ...borrowed } = before.borrowed;
          const names = claimNames([name, ...before.names], others);
          return this.#enter(
            list,
            {
              ...before,
              names,
              by: "set_name",
              asked: undefined,
              workingOn: workingOn ?? before.workingOn,
              borrowed,
            },
            [own, same],
          );
        })
        .catch((error) => {
          problem = `heartbeats.json cannot be written: ${messageOf(error)}. Fix the problem, then call again.`;
          return undefined;
        });
      if (!renamed) {
        throw new UserError(`Not renamed, this session is still ${this.name}. ${problem}`);
      }
      await this.#onListed(renamed);
    });
  }

  /** Removes the entry. Resolves when it is gone, or cannot be removed. */
  async leave(): Promise<void> {
    this.state = "left";
    this.#interval?.cancel();
    this.#pending?.cancel();
    if (!this.hasJoined) return;
    await this.#inTurn(async () => {
      await this.heartbeats.update(({ entries, online }) => {
        const { own } = this.#sort(online);
        return own && entries.delete(own.name);
      });
    }).catch((error) => this.system.log(`not signed off: ${messageOf(error)}`));
  }
}

/** The conversation that a borrowed name belongs to; undefined if the name is not borrowed. */
const lenderOf = (
  { borrowed = {} }: { borrowed?: Readonly<Record<string, string>> | undefined },
  name: Name,
): string | undefined => (Object.hasOwn(borrowed, name) ? borrowed[name] : undefined);

/** The names belong to the conversation that was left, unless they were borrowed before. */
function borrowNames(identity: Identity, former: string): Identity {
  const borrowed = identity.names.map((name) => [name, lenderOf(identity, name) ?? former]);
  return { ...identity, borrowed: Object.fromEntries(borrowed) };
}

/** Removes the names from the entries of others who held them. */
function takeNames(
  { entries }: SessionList,
  names: readonly Name[],
  others: readonly Session[],
): void {
  for (const holder of others) {
    const held = namesOf(holder);
    const [first, ...rest] = held.filter((name) => !names.some((each) => isSameName(each, name)));
    if (1 + rest.length === held.length && first !== undefined) continue;
    entries.delete(holder.name);
    if (first !== undefined) entries.set(first, { ...holder.entry, names: rest });
  }
}
