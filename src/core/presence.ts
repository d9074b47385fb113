import { EventEmitter } from "node:events";
import type { AgentSession } from "./agent.ts";
import { messageOf, reachFolder, UserError } from "./errors.ts";
import { listIfThere } from "./files.ts";
import { HeartbeatTimer } from "./heartbeat-timer.ts";
import { type Entry, findHolder, type Heartbeats, namesOf, type Session } from "./heartbeats.ts";
import {
  borrowNames,
  Identities,
  type Identity,
  type IdentityOptions,
  isBorrowedFrom,
  lenderOf,
  withMoreNames,
  withoutNames,
} from "./identity.ts";
import { mayBeAddressedTo } from "./message.ts";
import { isSameName, type Name } from "./names.ts";
import { claimNames, explainTakenName, namesWithout, unclaimedNames } from "./naming.ts";
import { type Online, OwnEntry } from "./own-entry.ts";
import type { NameNotes } from "./read-state.ts";
import type { Owner } from "./read-states.ts";
import type { System } from "./system.ts";
import { endOfOrder, isImplausible, type Timestamp } from "./timestamps.ts";
import { Turns } from "./turns.ts";

/**
 * - `joining`: not listed yet, or no longer
 * - `active`: listed; receives mail
 * - `replaced`: another server of the same session was called later and receives the mail
 * - `left`: no longer listed, for good
 */
export type State = "joining" | "active" | "replaced" | "left";

interface PresenceEvents {
  /** The session's names, its state, its conversation or its `since` have changed. */
  change: [];
}

export interface PresenceOptions extends IdentityOptions {
  /** Fields for the entry that do not change. */
  readonly details?: Partial<Entry>;
}

export interface LostName {
  readonly name: Name;
  readonly holder: Name;
}

/**
 * - `new`: not listed yet
 * - `serving`: was listed with the open conversation
 * - `waiting`: lets any other server of the session go first
 */
type Role = "new" | "serving" | "waiting";

/** This server's own session: its state and names, and how it gets on the list and off again. */
export class Presence extends EventEmitter<PresenceEvents> implements Owner {
  state: State = "joining";
  /** Messages that another server has announced to the same program. */
  announcedBefore: ReadonlySet<string> = new Set();
  /** True if that server may still have held notices back: a call has ended its turn. */
  hasInterrupted = false;
  /** The last name that the session had and that somebody else has by now. */
  lostName: LostName | undefined;

  /** The names that the session goes by. */
  #names: readonly [Name, ...Name[]];
  /** The names for the next claim; undefined until the conversation's names are known. */
  #identity: Identity | undefined;
  #role: Role = "new";
  /** True if a tool was called while this server was not active. The next claim takes over then. */
  #isCalled = false;
  /** True if no other server of the session was on the list at the last look. */
  #isAlone = true;
  /** True if the last heartbeat could not be written. */
  #hasFailed = false;
  #joined: Promise<void> | undefined;
  #since: Timestamp | undefined;
  /** Claims, renames and leaving happen one after another. */
  readonly #turns = new Turns();
  readonly #entry: OwnEntry;
  readonly #identities: Identities;
  readonly #timer: HeartbeatTimer;

  constructor(
    private readonly options: PresenceOptions,
    private readonly system: System,
    readonly heartbeats: Heartbeats,
  ) {
    super();
    this.#entry = new OwnEntry(options.agent, system, options.details);
    this.#identities = new Identities(options, system, heartbeats);
    this.#timer = new HeartbeatTimer(system.clock, () => this.#beat());
    this.#names = [this.#identities.uniqueName(undefined)];
  }

  get agent(): AgentSession {
    return this.options.agent;
  }

  /**
   * Mail to everyone counts from here on if the name is new; undefined before the session joins.
   */
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

  /** Noted with each name while it is in use. */
  get notes(): NameNotes {
    const conversation = this.conversation ?? this.standIn;
    return { since: this.#since, conversation, folder: this.agent.folder() };
  }

  get standIn(): string {
    return this.#identities.randomDigits;
  }

  inherits(name: Name): boolean {
    if (!this.#identity) return false;
    const { names, by, borrowed } = this.#identity;
    const isAsked = by === "environment" && name === names[0];
    return isAsked || lenderOf(borrowed, name) !== undefined;
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
    return this.#hasFailed && this.#isAlone;
  }

  /**
   * False for a run that nobody watches and that has not taken part: it is not to be written to.
   */
  get leavesNames(): boolean {
    return !this.agent.details?.unattended || this.#entry.lastCall !== undefined;
  }

  /** This session's entry in the list; undefined if it is not listed. */
  ownEntry(): Readonly<Entry> | undefined {
    return this.#sort(this.heartbeats.online()).own?.entry;
  }

  #sort(online: readonly Session[]): Online {
    return this.#entry.sort(online, this.conversation);
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
    this.#timer.start(() => this.state !== "replaced");
    await this.#timer.run();
  }

  /** A clock that was far ahead when this was noted would hide all later mail to everyone. */
  #updateSince(): void {
    const { files, clock } = this.system;
    const before = this.#since;
    if (before !== undefined && !isImplausible(before, clock)) return;
    this.#since = endOfOrder(files, clock, this.options.folder);
    if (before !== undefined) this.emit("change"); // more is unread now
  }

  /** Changes fields of this session's entry. They are written within two seconds. */
  update(details: Partial<Entry>): void {
    if (this.#entry.update(details) && this.state !== "replaced") this.#timer.schedule();
  }

  /** A tool was called: the latest call decides which of a session's servers receives its mail. */
  async onCall(isSubAgent = false): Promise<void> {
    const isFirst = this.#entry.lastCall === undefined;
    this.#entry.update({ last_call: this.system.clock.now() });
    await this.join();
    this.check();
    if (!this.hasJoined) return;
    this.#isCalled ||= this.state !== "active" && !isSubAgent;
    if (this.#isCalled || this.state === "joining") await this.#timer.run();
    if (this.state === "joining") this.#keepNames();
    // The time of a later call is written with the next heartbeat, which is soon enough.
    if (isFirst && this.state === "active") this.#timer.schedule();
    if (isFirst) this.emit("change"); // from now on its names are noted, whatever run it is
  }

  /** The call may send under a name for now, and the answers will come to that name. */
  #keepNames(): void {
    this.#identity = withMoreNames(this.#followAgent(), this.#names);
  }

  /**
   * Looks at the list, and at what the agent says, and acts on what has changed. Costs little if
   * nothing has. Throws UserError if the list cannot be read just now: then it is unknown who holds
   * the names, and nothing may be sent or read under them.
   */
  check(): void {
    if (!this.hasJoined || this.state === "left") return;
    reachFolder(this.options.folder.dir, () => {
      this.#updateSince();
      const before = this.#identity;
      if (this.#followAgent() !== before) this.#timer.scheduleNow();
      this.#compareWithList();
    });
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
   * Follows the agent to another conversation, and the user's name for it. Returns the names that
   * the next claim asks for; until then the session goes by those it holds.
   */
  #followAgent(): Identity {
    const conversation = this.agent.conversation() ?? this.conversation;
    const before = this.#identity;
    let identity = before;
    if (!identity || conversation !== identity.conversation) {
      identity = this.#enterConversation(conversation, identity);
    } else if (this.state !== "replaced") {
      identity = this.#identities.update(identity);
    }
    this.#identity = identity;
    if (before && before.conversation !== conversation) this.emit("change");
    return identity;
  }

  /**
   * A conversation takes the names that belong to it. One without any keeps the present names for
   * now, since a user who clears the context goes on with the same job. They still belong to the
   * former conversation, which gets them back when it is opened elsewhere.
   */
  #enterConversation(conversation: string | undefined, before: Identity | undefined): Identity {
    const former = before?.conversation;
    const hasNames = this.#identities.hasNames(conversation);
    // A process that has the conversation open already keeps it until this one is called.
    if (this.#role !== "new") this.#role = "waiting";
    if (before && former !== undefined && !hasNames && this.state !== "joining") {
      return { ...borrowNames(before, former), conversation };
    }
    const wanted = this.#identities.open(conversation);
    // Until now the agent had not named its conversation.
    const provisional = former === undefined && before ? this.#names : [];
    const identity = withMoreNames(wanted, provisional);
    if (this.state !== "replaced") this.#become("joining", this.#unclaimed(identity, []));
    return identity;
  }

  /** The names to claim. Without an entry of its own, the session may have newer ones. */
  #identityToClaim({ own, same }: Online): Identity {
    const identity = this.#followAgent();
    if (own) return identity;
    return same ? this.#identities.succeed(same, identity) : this.#followRecord();
  }

  /** Compares the list with what this server believes, without the lock. */
  #compareWithList(): void {
    const { own, same, others } = this.#sort(this.#relevantSessions());
    this.#isAlone = same === undefined;
    if (this.state === "active" && own) {
      // Another session may have got a name back, or one that sleeps was taken for dead.
      const names = namesWithout(namesOf(own), others);
      if (names[0] === own.name) this.#become("active", names as [Name, ...Name[]]);
      else this.#rejoin(others);
      if (own.entry.cwd !== this.agent.folder()) this.#timer.schedule();
    } else if (same && !own && this.state !== "joining") {
      this.#yieldTo(same, others);
    } else {
      this.#followRecord();
      this.#rejoin(others);
    }
  }

  /** Another server of this session may have renamed it, and ended, since the last look. */
  #followRecord(): Identity {
    const identity = this.#followAgent();
    const isKept = this.state === "replaced" || this.leavesNames;
    if (this.state === "joining" || !isKept) return identity;
    this.#identity = this.#identities.refresh(identity);
    return this.#identity;
  }

  /** The servers of this session, and whoever holds a name that it goes by or wants. */
  #relevantSessions(): Session[] {
    const names = [...this.#names, ...this.#followAgent().names];
    return this.heartbeats.online(
      (session) =>
        this.#entry.isSameSession(session, this.conversation) ||
        names.some((name) => findHolder([session], name) !== undefined),
    );
  }

  /** Not on the list: only names that nobody else holds count, until the next claim. */
  #rejoin(others: readonly Session[]): void {
    const isReplaced = this.state === "replaced"; // and the other server has ended, or moved on
    if (this.state === "active") this.#timer.scheduleNow();
    if (isReplaced) this.#timer.schedule();
    const names = this.#unclaimed(this.#followAgent(), others);
    this.#become(isReplaced ? "replaced" : "joining", names);
  }

  /** Those of these names that the session may go by before it has claimed them. */
  #unclaimed({ names, conversation }: Identity, others: readonly Session[]): [Name, ...Name[]] {
    const held = this.#names.filter((name) => names.includes(name));
    return unclaimedNames(held, this.#identities.uniqueName(conversation), others);
  }

  #yieldTo(replacement: Session, others: readonly Session[]): void {
    this.#role = "waiting";
    this.#identity = this.#identities.leaveTo(replacement, this.#followAgent());
    const unique = this.#identities.uniqueName(this.conversation);
    // The replacement may not have seen yet that somebody holds one of its names.
    this.#become("replaced", unclaimedNames(this.#identity.names, unique, others));
  }

  #become(state: State, names: readonly [Name, ...Name[]]): void {
    if (this.state === "left") return;
    const isSame =
      state === this.state &&
      names.length === this.#names.length &&
      names.every((name, index) => name === this.#names[index]);
    this.state = state;
    this.#names = names;
    if (!isSame) this.emit("change");
  }

  /** Writes a heartbeat. Resolves to false if it could not be written. */
  #beat(): Promise<boolean> {
    return this.#turns.run(async () => {
      const isWritten = await this.#claim().catch((error) => {
        this.system.log(`heartbeat was not written: ${messageOf(error)}`);
        return false;
      });
      this.#hasFailed = !isWritten;
      if (this.#hasFailed && this.state === "joining") this.emit("change");
      return isWritten;
    });
  }

  /** Enters the list under names that nobody else holds. Resolves to false if that failed. */
  async #claim(): Promise<boolean> {
    if (this.state === "left") return true;
    this.#updateSince();
    this.#followAgent(); // also if the lock cannot be acquired
    const claimed = await this.heartbeats.update((list) => {
      this.#followAgent(); // another conversation may be open by now
      const online = this.#sort(list.online);
      const { own, same, others } = online;
      if (same && !this.#takesOverFrom(same, own)) {
        if (own) list.entries.delete(own.name);
        return { replacement: same, others };
      }
      const wanted = this.#identityToClaim(online);
      const names = claimNames(wanted.names, others, this.#isReclaimable);
      const identity = { ...wanted, names };
      if (same && this.#entry.isSameAgent(same)) this.#noteAnnounced(namesOf(same));
      this.#entry.enter(list, identity, online, this.#since);
      const holder = findHolder(others, wanted.names[0])?.name;
      return { identity, wanted, before: this.#identity, holder };
    });
    if (!claimed) return false;
    if (!claimed.identity) {
      this.#yieldTo(claimed.replacement, claimed.others);
      return true;
    }
    this.#noteTaken(claimed.wanted, claimed.identity.names[0], claimed.holder);
    await this.#onListed(claimed.identity, claimed.before);
    return true;
  }

  /** The latest call wins. A new server of the same process replaces the one before it. */
  #takesOverFrom(same: Session, own: Session | undefined): boolean {
    if (this.#isCalled) return true;
    if (this.#role === "new") return this.#entry.isSameAgent(same);
    if (this.#role === "waiting") return false;
    // Without an entry of its own it was replaced and has not seen that yet, or the list was lost.
    return own !== undefined || (this.#entry.lastCall ?? 0) > (same.entry.last_call ?? 0);
  }

  /** True if the holder's process has left our conversation and has only kept its names. */
  readonly #isReclaimable = ({ entry }: Session, name: Name): boolean =>
    isBorrowedFrom(entry, name, this.conversation);

  /** From then on the other server announces nothing. Throws if the inbox cannot be listed. */
  #noteAnnounced(names: readonly Name[]): void {
    const files = listIfThere(this.system.files, this.options.folder.inbox);
    this.announcedBefore = new Set(files.filter(mayBeAddressedTo(names)));
    this.hasInterrupted = this.#isCalled;
  }

  #noteTaken({ names: [wanted], by }: Identity, name: Name, holder: Name | undefined): void {
    if (isSameName(wanted, name)) return;
    const wasHeld = by === "set_name" || this.#role === "serving";
    if (wasHeld && holder) this.lostName = { name: wanted, holder };
    this.system.log(`the name ${wanted} is taken: this session is ${name}`);
  }

  /** Resolves to false if the names could not be kept for a resume. */
  async #onListed(identity: Identity, before = this.#identity): Promise<boolean> {
    const isLate = this.state === "left" || identity.conversation !== this.conversation;
    if (isLate) return true; // the conversation has changed while this was being written
    // If the user has named the session meanwhile, the next beat claims that name.
    if (this.#identity === before) this.#identity = identity;
    this.#isCalled = false;
    this.#role = "serving";
    this.#become("active", identity.names);
    return !this.leavesNames || (await this.#identities.remember(identity));
  }

  /**
   * Takes a name, which is the open conversation's own from then on. Resolves to false if it is not
   * kept for a resume yet, which the next heartbeat tries again. Throws UserError.
   */
  rename(name: Name, workingOn: string | undefined): Promise<boolean> {
    return this.#turns.run(async () => {
      let problem = "heartbeats.json is locked by another process. Call again in a few seconds.";
      if (!this.hasJoined || this.state === "left") {
        throw new UserError("Not renamed: this session is not on the list of sessions.");
      }
      const identity = await this.heartbeats
        .update((list) => {
          this.#followAgent(); // another conversation may be open by now
          const online = this.#sort(list.online);
          const taken = explainTakenName(name, online.others, this.#isReclaimable);
          if (taken) {
            problem = taken;
            return undefined;
          }
          const { same } = online;
          const before = this.#identityToClaim(online);
          const names = claimNames([name, ...before.names], online.others, this.#isReclaimable);
          const renamed = asRenamed(before, names, workingOn);
          if (same && this.#entry.isSameAgent(same)) this.#noteAnnounced(namesOf(same));
          this.#entry.enter(list, renamed, online, this.#since);
          return renamed;
        })
        .catch((error) => {
          problem = `heartbeats.json cannot be written: ${messageOf(error)}. Fix the problem, then call again.`;
          return undefined;
        });
      if (!identity) {
        throw new UserError(`Not renamed, this session is still ${this.name}. ${problem}`);
      }
      if (identity.conversation !== this.conversation) {
        throw new UserError("Not renamed: another conversation was opened meanwhile. Call again.");
      }
      return this.#onListed(identity);
    });
  }

  /** Removes the entry. Resolves when it is gone, or cannot be removed. */
  async leave(): Promise<void> {
    this.state = "left";
    this.#timer.close();
    if (!this.hasJoined) return;
    await this.#turns
      .run(async () => {
        await this.heartbeats.update(({ entries, online }) => {
          const { own } = this.#sort(online);
          return own && entries.delete(own.name);
        });
      })
      .catch((error) => this.system.log(`not signed off: ${messageOf(error)}`));
  }
}

/** The first of the names is the open conversation's own, whoever it was borrowed from. */
const asRenamed = (
  before: Identity,
  names: Identity["names"],
  workingOn = before.workingOn,
): Identity => ({
  ...before,
  names,
  by: "set_name",
  asked: undefined,
  workingOn,
  borrowed: withoutNames(before.borrowed, [names[0]]),
});
