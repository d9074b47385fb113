import { join } from "node:path";
import type { Config } from "../../config.ts";
import { systemClock } from "../../core/clock.ts";
import { Conversations } from "../../core/conversations.ts";
import { isTransient } from "../../core/errors.ts";
import { diskFiles } from "../../core/files.ts";
import {
  findHolder,
  Heartbeats,
  isInConversation,
  namesOf,
  type Session,
} from "../../core/heartbeats.ts";
import { isStamped, mayBeAddressedTo, readMessage } from "../../core/message.ts";
import type { Name } from "../../core/names.ts";
import { nameFromEnvironment } from "../../core/naming.ts";
import { createProcessTable } from "../../core/process.ts";
import { isUnread, ReadState } from "../../core/read-state.ts";
import type { System } from "../../core/system.ts";
import type { Timestamp } from "../../core/timestamps.ts";

/** One Claude Code session as the data folder shows it, for a program that is not its server. */
export interface SessionMail {
  readonly name: Name;
  /** False if no server of the session runs: then the names are those that it will ask for. */
  readonly isOnline: boolean;
  /** How many messages are unread. */
  readonly unread: number;
}

/**
 * Who is online, and what waits for one session: `own` is undefined if that session does not have a
 * name yet. Creates nothing, and waits for nothing. Throws if the folder cannot be read just now.
 *
 * @param conversation the `session_id` that Claude Code says
 */
export function readSessionMail(
  config: Config,
  conversation: string | undefined,
): { readonly own: SessionMail | undefined; readonly online: readonly Session[] } {
  const system = createReadOnlySystem(config);
  const online = new Heartbeats(config, system).online();
  return { own: readOwn(config, system, conversation, online), online };
}

/** Only reads: what acquires locks and watches folders need not even be loaded. */
function createReadOnlySystem({ log }: Config): System {
  const refuse = (): never => {
    throw new Error("this program only reads");
  };
  return {
    files: diskFiles,
    clock: systemClock,
    processes: createProcessTable(),
    withLock: refuse,
    watchFolder: refuse,
    log,
  };
}

function readOwn(
  config: Config,
  system: System,
  conversation: string | undefined,
  online: readonly Session[],
): SessionMail | undefined {
  const session = findSession(config, system, conversation, online);
  const names = session ? namesOf(session) : formerNames(config, system, conversation, online);
  const [name] = names;
  if (name === undefined) return undefined;
  const since = session?.entry.since as Timestamp | undefined;
  const unread = countUnread(config, system, names, since);
  return { name, isOnline: session !== undefined, unread };
}

/**
 * The session on the list. Its process decides only for a conversation without names: after /clear
 * the server follows within seconds.
 */
function findSession(
  config: Config,
  system: System,
  conversation: string | undefined,
  online: readonly Session[],
): Session | undefined {
  const byConversation = online.find((session) => isInConversation(session, conversation));
  if (byConversation || new Conversations(config, system).get(conversation)) return byConversation;
  const pid = Number(config.env.CLAUDE_PID);
  const { host } = system.processes;
  return online.find(({ entry }) => entry.host === host && entry.claude_pid === pid);
}

/** The names that a session without a server will ask for, as far as nobody holds them. */
function formerNames(
  config: Config,
  system: System,
  conversation: string | undefined,
  online: readonly Session[],
): Name[] {
  const record = new Conversations(config, system).get(conversation);
  const fromEnvironment = nameFromEnvironment(config.sessionId, () => {});
  const names = record ? [record.name, ...record.names] : [fromEnvironment ?? []].flat();
  return names.filter((name) => !findHolder(online, name));
}

/** Opens only the files that may be unread mail of these names. */
function countUnread(
  config: Config,
  system: System,
  names: readonly Name[],
  since: Timestamp | undefined,
): number {
  const views = names.map((name) => {
    const state = new ReadState(config, system, name);
    state.defaultSince = since;
    return state.view();
  });
  const mayBeMail = mayBeAddressedTo(names);
  return system.files
    .list(config.inbox)
    .filter((file) => mayBeMail(file) && isStamped(file))
    .filter((file) => !views.some((view) => view.hasRead(file)))
    .filter((file) => mayBeUnread(file)).length;

  function mayBeUnread(file: string): boolean {
    try {
      return isUnread(views, readMessage(system, join(config.inbox, file), file).header);
    } catch (error) {
      // After any other error it is not a message, or it was archived since it was listed.
      return isTransient(error);
    }
  }
}
