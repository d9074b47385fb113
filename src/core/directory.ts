import { join } from "node:path";
import { findMeantName, meansHere, meansOneself, similarNames, toAddress } from "./addresses.ts";
import { reachFolder, UserError } from "./errors.ts";
import { tryStat } from "./files.ts";
import { findHolder, type Heartbeats, namesOf, type Session } from "./heartbeats.ts";
import type { Inbox } from "./inbox.ts";
import { isKnownForm, isName, isSameName, type Name, whyInvalidName } from "./names.ts";
import { isSamePath } from "./paths.ts";
import { projectOf } from "./project.ts";
import { knownNames } from "./read-state.ts";
import type { Owner, ReadStates } from "./read-states.ts";
import type { DataFolder, System } from "./system.ts";
import { quoteInput } from "./text.ts";

/** A name that was not used for this long, with no session, is taken for abandoned. */
const ABANDONED_MS = 3600 * 1000;
/** A refusal lists at most this many names. */
const MAX_LISTED = 30;

export interface Recipient {
  readonly to: Name | "all";
  /** The session that holds the name; for `all` every other session. */
  readonly online: readonly Session[];
}

/** Who there is: the sessions that are online, and the names that mail can wait for. */
export class Directory {
  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
    private readonly inbox: Inbox,
    private readonly heartbeats: Heartbeats,
    private readonly readStates: ReadStates,
    private readonly owner: Owner,
  ) {}

  /** Throws UserError if the list cannot be read just now. */
  online(): Session[] {
    return reachFolder(this.folder.dir, () => this.heartbeats.online());
  }

  /**
   * Who is meant, each session once. Throws UserError if there are no names, or if one of them is
   * nobody's.
   *
   * @param to names as somebody wrote them
   * @param allowUnknown also accept names that nobody has used yet
   */
  resolve(to: readonly string[], allowUnknown: boolean): Recipient[] {
    if (to.length === 0) throw new UserError("Not sent: no recipient is named.", "list-sessions");
    const online = this.online();
    const resolved = to.flatMap((text) =>
      meansHere(text) ? this.#resolveHere(online) : this.#resolveOne(text, online, allowUnknown),
    );
    // Mail to everyone reaches the others as well.
    const broadcast = resolved.find((recipient) => recipient.to === "all");
    if (broadcast) return [broadcast];
    const keys = new Set<string>();
    return resolved.filter((recipient) => {
      const key = recipient.online[0]?.name ?? recipient.to;
      if (keys.has(key)) return false;
      keys.add(key);
      return true;
    });
  }

  /** Every other session that works in the owner's project. */
  #resolveHere(online: readonly Session[]): Recipient[] {
    const here = online.filter((session) => this.worksHere(session) && !this.#isOwner(session));
    if (here.length === 0) {
      throw new UserError("Not sent: no other session works in this project.", "list-sessions");
    }
    return here.map((session) => ({ to: session.name, online: [session] }));
  }

  #resolveOne(text: string, online: readonly Session[], allowUnknown: boolean): Recipient {
    const others = online.filter((session) => !this.#isOwner(session));
    const address = toAddress(text);
    if (address === "all") return { to: "all", online: others };
    if (this.isOwnName(text)) {
      throw new UserError(`Not sent: ${quoteInput(text)} is this session itself.`, "list-sessions");
    }
    const isNew = allowUnknown && address !== undefined && isName(address);
    const to = this.#find(text, online) ?? (isNew ? address : undefined);
    if (to === undefined) throw this.#unknownRecipient(text, others);
    const holder = findHolder(others, to);
    return { to, online: holder ? [holder] : [] };
  }

  #isOwner({ name }: Session): boolean {
    return name === this.owner.name;
  }

  /** True if the owner is meant: by one of its names in any spelling, or by "self" or "me". */
  isOwnName(text: string): boolean {
    return meansOneself(text, this.owner.names);
  }

  /** True if the session works in the owner's project, on this machine. */
  worksHere({ entry }: Session): boolean {
    const { files, processes } = this.system;
    const { folder } = this.owner.notes;
    if (folder === undefined || entry.cwd === undefined || entry.host !== processes.host) {
      return false;
    }
    return isSamePath(projectOf(entry.cwd, files), projectOf(folder, files));
  }

  /** The session that is meant by what somebody wrote, if it is online. */
  findOnline(text: string): Session | undefined {
    const online = this.online();
    const name = findMeantName(text, online.flatMap(namesOf));
    return name === undefined ? undefined : findHolder(online, name);
  }

  /**
   * The names of a session or of one that is away. Throws UserError if nobody has or had that name.
   */
  namesOf(text: string): [Name, ...Name[]] {
    const online = this.online();
    const name = this.#find(text, online);
    if (name === undefined) throw this.#unknownName(text, online);
    const holder = findHolder(online, name);
    return holder ? namesOf(holder) : [name];
  }

  /** The name that is meant: of a session that is online, or else of one that is away. */
  #find(text: string, online: readonly Session[]): Name | undefined {
    return findMeantName(text, online.flatMap(namesOf)) ?? findMeantName(text, this.#knownNames());
  }

  /** Names that were in use within 30 days, and those that mail in the inbox is from. */
  #knownNames(): Set<Name> {
    this.inbox.tryScan();
    const { headers } = this.inbox.headers(() => true);
    const senders = headers.map(({ from }) => from).filter(isKnownForm);
    return new Set([...knownNames(this.folder, this.system), ...senders]);
  }

  #unknownRecipient(text: string, others: readonly Session[]): UserError {
    const known = [...this.#knownNames()].filter((name) => !this.owner.names.includes(name));
    const names = others.map(({ name }) => name);
    const near = similarNames(text, [...names, ...known]).slice(0, 3);
    const meant = near.length > 0 ? `Did you mean ${near.join(", ")}? ` : "";
    const whoIsThere = names.length > 0 ? `Online: ${names.join(", ")}.` : "Nobody else is online.";
    const address = toAddress(text) ?? text;
    const reason = whyInvalidName(address);
    return new UserError(
      `Not sent: ${reason ?? `no session named ${address} has been here.`} ${meant}${whoIsThere}`,
      reason ? "list-sessions" : "allow-unknown",
    );
  }

  #unknownName(text: string, online: readonly Session[]): UserError {
    const names = new Set([...online.map(({ name }) => name), ...this.#knownNames()]);
    const listed = [...names].slice(0, MAX_LISTED).join(", ");
    const more = names.size > MAX_LISTED ? ` and ${names.size - MAX_LISTED} more` : "";
    const existing = names.size > 0 ? `Names that exist: ${listed}${more}.` : "";
    return new UserError(
      `Nothing shown: nobody here has or had the name ${quoteInput(text)}. ${existing}`.trim(),
      "list-sessions",
    );
  }

  /**
   * Other sessions that work in the folder in which an offline name was used last. Empty if the
   * list cannot be read just now.
   */
  sessionsInFolderOf(name: string): Session[] {
    if (!isKnownForm(name)) return [];
    const { folder } = this.readStates.viewOf(name).notes;
    if (folder === undefined) return [];
    try {
      const isThere = ({ entry }: Session) => isSamePath(entry.cwd ?? "", folder);
      return this.heartbeats.online().filter((each) => isThere(each) && !this.#isOwner(each));
    } catch {
      return [];
    }
  }

  /** Offline names that were used last in this folder, over an hour ago. */
  abandonedIn(folder: string): Name[] {
    const held = this.online().flatMap(namesOf);
    return reachFolder(this.folder.dir, () => knownNames(this.folder, this.system))
      .filter((name) => !held.some((each) => isSameName(each, name)))
      .filter((name) => isSamePath(this.readStates.viewOf(name).notes.folder ?? "", folder))
      .filter((name) => this.#unusedFor(name) > ABANDONED_MS);
  }

  #unusedFor(name: Name): number {
    const path = join(this.folder.read, name);
    return this.system.clock.now() - (tryStat(this.system.files, path)?.mtimeMs ?? 0);
  }
}
