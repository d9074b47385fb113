import { createHash, randomBytes } from "node:crypto";
import { basename, join } from "node:path";
import type { AgentSession } from "./agent.ts";
import type { ConversationRecord, NameSource } from "./conversations.ts";
import { isTransient } from "./errors.ts";
import { findHolder, type Session } from "./heartbeats.ts";
import type { Log } from "./log.ts";
import {
  explainInvalidName,
  firstFreeName,
  isName,
  isSameName,
  type Name,
  toName,
} from "./names.ts";
import { ReadState } from "./read-state.ts";
import type { DataFolder, System } from "./system.ts";

/** Hex digits of the conversation's id in a name that is made of the folder. */
const DIGITS = 4;
/** As many digits make a name that is the conversation's alone. */
const UNIQUE_DIGITS = 12;

/** The names a session would like to have: the present one first, then earlier ones. */
export interface WantedNames {
  readonly names: readonly [Name, ...Name[]];
  readonly by: NameSource;
  /** The name that the environment or the user asked for. */
  readonly asked?: string | undefined;
  readonly workingOn: string;
}

/** True if a session may take the name back from its holder. */
type IsReclaimable = (holder: Session, name: Name) => boolean;

/**
 * The one rule for who holds a name: the live holder keeps it, earlier names included. Whoever
 * joins, renames, returns, wakes after sleep or finds the list lost takes what is free.
 *
 * @param others the other sessions on the list
 */
export function claimNames(
  wanted: readonly [Name, ...Name[]],
  others: readonly Session[],
  isReclaimable: IsReclaimable = () => false,
): [Name, ...Name[]] {
  const isTaken = (name: Name): boolean => {
    const holder = findHolder(others, name);
    return holder !== undefined && !isReclaimable(holder, name);
  };
  const [first, ...earlier] = wanted;
  const name = firstFreeName(closestName(first), isTaken);
  const kept = [first, ...earlier].filter((each) => !isSameName(each, name) && !isTaken(each));
  return [name, ...new Set(kept.filter(isName))];
}

/** The name itself if a session can take it. */
export const closestName = (text: string): Name => (isName(text) ? text : toName(text));

/** The names that none of these sessions holds. */
export const namesWithout = (names: readonly Name[], others: readonly Session[]): Name[] =>
  names.filter((name) => findHolder(others, name) === undefined);

/** The names of a session that can read the list, but cannot claim anything on it yet. */
export function unclaimedNames(
  held: readonly Name[],
  unique: Name,
  others: readonly Session[],
): [Name, ...Name[]] {
  const free = namesWithout(held, others);
  const [first = unique, ...rest] = free[0] === held[0] ? free : [unique, ...free];
  return [first, ...rest];
}

/**
 * The names for a conversation: the one it took with `set_name`; else IPC_SESSION_ID; else the name
 * that the user gave it in the agent; else the project's folder and some hex digits.
 */
export function wantedNames(
  agent: AgentSession,
  askedByEnvironment: Name | undefined,
  record: ConversationRecord | undefined,
  defaultName: () => Name,
): WantedNames {
  const workingOn = record?.working_on ?? "";
  const before = record ? [record.name, ...record.names] : [];
  const withEarlier = (name: Name): [Name, ...Name[]] => [
    name,
    ...before.filter((n) => n !== name),
  ];
  if (record?.by === "set_name") {
    return { names: withEarlier(record.name), by: "set_name", workingOn };
  }
  const given = agent.givenName();
  const asked = askedByEnvironment ?? given;
  const by = askedByEnvironment ? "environment" : given ? "user" : "folder";
  // Somebody else held just that name last time, and the suffix makes it this conversation's own.
  const isKept = record?.by === by && record.asked === asked;
  const name = isKept ? record.name : asked ? closestName(asked) : defaultName();
  return { names: withEarlier(name), by, asked, workingOn };
}

/** IPC_SESSION_ID, if it can be a name. */
export function nameFromEnvironment(value: string | undefined, log: Log): Name | undefined {
  const wanted = value?.normalize("NFC");
  if (!wanted) return undefined;
  if (isName(wanted)) return wanted;
  log(`IPC_SESSION_ID is not used: ${explainInvalidName(wanted)}`);
  return undefined;
}

/** The digits of a conversation's default name; random ones if the agent names no conversation. */
export function conversationDigits(conversation: string | undefined): string {
  return createHash("sha256")
    .update(conversation ?? randomBytes(16))
    .digest("hex");
}

export const uniqueName = (folder: string, digits: string): Name =>
  `${toName(basename(folder))}-${digits.slice(0, UNIQUE_DIGITS)}` as Name;

/**
 * The project's folder and hex digits of the conversation: four, and more if another conversation
 * has had that name, since mail for it may still come. Throws if that cannot be known just now.
 */
export function defaultName(
  project: string,
  digits: string,
  conversation: string | undefined,
  data: DataFolder,
  system: System,
): Name {
  const base = toName(basename(project));
  for (let length = DIGITS; length < UNIQUE_DIGITS; length++) {
    const name = `${base}-${digits.slice(0, length)}` as Name;
    if (isFree(name)) return name;
  }
  return uniqueName(project, digits);

  function isFree(name: Name): boolean {
    try {
      if (!system.files.stat(join(data.read, name))) return true;
      const user = new ReadState(data, system, name).notes().conversation;
      return conversation !== undefined && (user ?? conversation) === conversation;
    } catch (error) {
      if (isTransient(error)) throw error;
      return false; // whose it was cannot be known
    }
  }
}

/** Why a name cannot be had, and which can; undefined if it is free. */
export function explainTakenName(
  name: Name,
  others: readonly Session[],
  isReclaimable: IsReclaimable = () => false,
): string | undefined {
  const holder = findHolder(others, name);
  if (!holder || isReclaimable(holder, name)) return undefined;
  const isFirst = isSameName(holder.name, name);
  const earlier = isFirst ? "" : `, as an earlier name of ${holder.name}`;
  const free = firstFreeName(name, (each) => findHolder(others, each) !== undefined);
  return `The name ${name} belongs to a session that is online${earlier}. Call again with another name, for example ${free}.`;
}
