import { isDeepStrictEqual } from "node:util";
import type { AgentSession } from "./agent.ts";
import { type ConversationRecord, Conversations } from "./conversations.ts";
import { messageOf } from "./errors.ts";
import {
  type Entry,
  type Heartbeats,
  isInConversation,
  namesOf,
  type Session,
} from "./heartbeats.ts";
import { isSameName, type Name } from "./names.ts";
import {
  closestName,
  conversationDigits,
  defaultName,
  uniqueName,
  type WantedNames,
  wantedNames,
} from "./naming.ts";
import type { DataFolder, System } from "./system.ts";

/** Names that belong to a conversation which the process has left, and that conversation. */
type Borrowed = Readonly<Record<string, string>>;

/** The names a session wants, and whose they are. */
export interface Identity extends WantedNames {
  /** The open conversation; undefined if the agent does not say. */
  readonly conversation: string | undefined;
  readonly borrowed: Borrowed;
}

export interface IdentityOptions {
  readonly folder: DataFolder;
  readonly agent: AgentSession;
  /** IPC_SESSION_ID, if it can be a name. */
  readonly nameFromEnvironment?: Name | undefined;
}

/** Which names belong to a conversation, as the agent and conversations.json say. */
export class Identities {
  readonly #conversations: Conversations;
  /** They stand for a conversation that the agent does not name. */
  readonly randomDigits = conversationDigits(undefined).slice(0, 12);
  /** The conversation that the process was started with. */
  #first: string | undefined;
  /** A conversation whose names were taken along once. */
  #continued: string | undefined;
  /** The record that our last write failed to replace: our names are newer. */
  #outdated: ConversationRecord | "unknown" | undefined;

  constructor(
    private readonly options: IdentityOptions,
    private readonly system: System,
    private readonly heartbeats: Heartbeats,
  ) {
    this.#conversations = new Conversations(options.folder, system);
  }

  /** True if the conversation took names before. Throws if that cannot be known just now. */
  hasNames(conversation: string | undefined): boolean {
    return this.#conversations.get(conversation) !== undefined;
  }

  /** The names of a conversation that has just been opened. Throws as `hasNames` does. */
  open(conversation: string | undefined): Identity {
    const { agent, folder, nameFromEnvironment } = this.options;
    this.#first ??= conversation;
    const record = this.#conversations.get(conversation);
    const digits = this.#digits(conversation);
    const wanted = wantedNames(agent, nameFromEnvironment, record, () =>
      defaultName(agent.folder(), digits, conversation, folder, this.system),
    );
    return { ...wanted, conversation, borrowed: {} };
  }

  #digits(conversation: string | undefined): string {
    return conversation === undefined ? this.randomDigits : conversationDigits(conversation);
  }

  /** A name that is the conversation's alone. */
  uniqueName(conversation: string | undefined): Name {
    return uniqueName(this.options.agent.folder(), this.#digits(conversation));
  }

  /**
   * Follows the agent while the conversation stays the same. Returns `identity` if all is as
   * before.
   */
  update(identity: Identity): Identity {
    return this.#followGivenName(this.#continueConversation(identity));
  }

  /** A conversation that was moved to the background takes its names along, once. */
  #continueConversation(identity: Identity): Identity {
    const former = this.options.agent.continues?.();
    if (former === this.#continued || identity.conversation !== this.#first) return identity;
    const record = this.#conversations.get(former);
    if (!record || identity.by === "set_name") return identity;
    const online = this.heartbeats.online();
    // Nobody is on a list that was lost, and the original may still run.
    const mayBeOpen = online.length === 0 || online.some((each) => isInConversation(each, former));
    if (mayBeOpen) return identity;
    this.#continued = former;
    return withRecord(identity, record);
  }

  #followGivenName(identity: Identity): Identity {
    const given = this.options.agent.givenName();
    const isFollowed = identity.by === "folder" || identity.by === "user";
    if (!isFollowed || given === undefined || given === identity.asked) return identity;
    return {
      ...identity,
      names: [closestName(given), ...identity.names],
      by: "user",
      asked: given,
    };
  }

  /** The names that another server of this session goes by. */
  #ofServer(server: Session, conversation: string | undefined): Identity {
    const { working_on: workingOn, borrowed = {} } = server.entry;
    const owner = lenderOf(borrowed, server.name) ?? conversation;
    const { by = "folder", asked } = this.#conversations.get(owner) ?? {};
    return { conversation, names: namesOf(server), by, asked, workingOn, borrowed };
  }

  /** Goes on as the other server, unless the program has moved to a conversation with names. */
  succeed(server: Session, wanted: Identity): Identity {
    const { conversation } = wanted;
    const former = server.entry.claude_session;
    const before = this.#ofServer(server, conversation);
    if (former === conversation) return before;
    if (former === undefined) {
      // The server did not know its conversation yet.
      return this.hasNames(conversation) ? withMoreNames(wanted, namesOf(server)) : before;
    }
    return this.hasNames(conversation) ? wanted : borrowNames(before, former);
  }

  /**
   * Like `succeed`, for the server that yields. The other one writes conversations.json from then
   * on.
   */
  leaveTo(server: Session, wanted: Identity): Identity {
    this.#outdated = undefined;
    return this.succeed(server, wanted);
  }

  /** The recorded names first, if another server of the session may have written them. */
  refresh(identity: Identity): Identity {
    const record = this.#conversations.get(identity.conversation);
    const isOutdated = this.#outdated === "unknown" || isDeepStrictEqual(record, this.#outdated);
    return record && !isOutdated ? withRecord(identity, record) : identity;
  }

  /**
   * Keeps the names that belong to the open conversation in conversations.json. Never rejects:
   * resolves to false if the file could not be written.
   */
  async remember(identity: Identity): Promise<boolean> {
    const { conversation, names, workingOn, by, asked, borrowed } = identity;
    const [name, ...earlier] = names.filter((each) => lenderOf(borrowed, each) === undefined);
    if (conversation === undefined || name === undefined) return true;
    const record = { name, names: earlier, working_on: workingOn, by, ...(asked && { asked }) };
    try {
      this.#outdated = "unknown";
      this.#outdated = this.#conversations.get(conversation);
      await this.#conversations.remember(conversation, record);
      this.#outdated = undefined;
      return true;
    } catch (error) {
      this.system.log(`conversations.json was not written: ${messageOf(error)}`);
      return false;
    }
  }
}

/** These names after its own, since mail may be under way to them. */
export function withMoreNames(identity: Identity, more: readonly Name[]): Identity {
  const added = more.filter((name) => !identity.names.includes(name));
  return { ...identity, names: [...identity.names, ...added] };
}

/** The names of the record first. They are the conversation's own. */
function withRecord(identity: Identity, record: ConversationRecord): Identity {
  const { name, names, by, asked, working_on: workingOn } = record;
  const all: Identity["names"] = [name, ...new Set([...names, ...identity.names])];
  const borrowed = withoutNames(identity.borrowed, [name, ...names]);
  return { ...identity, names: all, by, asked, workingOn, borrowed };
}

/** The conversation that a borrowed name belongs to; undefined if the name is not borrowed. */
export const lenderOf = (borrowed: Borrowed | undefined, name: Name): string | undefined =>
  borrowed && Object.hasOwn(borrowed, name) ? borrowed[name] : undefined;

/** The borrowed names but for these, in whatever spelling. */
export const withoutNames = (borrowed: Borrowed, names: readonly Name[]): Borrowed =>
  Object.fromEntries(
    Object.entries(borrowed).filter(([each]) => !names.some((name) => isSameName(each, name))),
  );

/** The names belong to the conversation that was left, unless they were borrowed before. */
export function borrowNames(identity: Identity, former: string): Identity {
  const borrowed = identity.names.map((name) => [
    name,
    lenderOf(identity.borrowed, name) ?? former,
  ]);
  return { ...identity, borrowed: Object.fromEntries(borrowed) };
}

/** True if the holder's process has left this conversation and has only kept its name. */
export const isBorrowedFrom = (
  { borrowed }: Readonly<Entry>,
  name: Name,
  conversation: string | undefined,
): boolean => conversation !== undefined && lenderOf(borrowed, name) === conversation;
