import type { AgentSession } from "./agent.ts";
import {
  type Entry,
  isInConversation,
  namesOf,
  type Session,
  type SessionList,
} from "./heartbeats.ts";
import type { Identity } from "./identity.ts";
import { isSameName, type Name } from "./names.ts";
import type { System } from "./system.ts";
import { localTime, type Timestamp } from "./timestamps.ts";

/** The sessions that are online, from one server's point of view. */
export interface Online {
  /** This server's own entry. */
  readonly own: Session | undefined;
  /** Another server of the same session. */
  readonly same: Session | undefined;
  readonly others: readonly Session[];
}

/** This server's entry in heartbeats.json: recognises it among others, and writes it. */
export class OwnEntry {
  #details: Partial<Entry>;

  constructor(
    private readonly agent: AgentSession,
    private readonly system: System,
    details: Partial<Entry> = {},
  ) {
    this.#details = details;
  }

  /** When a tool was called last, in ms since 1970. */
  get lastCall(): number | undefined {
    return this.#details.last_call;
  }

  /**
   * Changes fields that others are to see. A field that is undefined is no longer this server's to
   * write: it stays as the entry has it. Returns false if all have these values already.
   */
  update(details: Partial<Entry>): boolean {
    const isSame = Object.entries(details).every(([key, value]) => this.#details[key] === value);
    if (isSame) return false;
    const fields = Object.entries({ ...this.#details, ...details });
    this.#details = Object.fromEntries(fields.filter(([, value]) => value !== undefined));
    return true;
  }

  /** @param conversation the one that is open in this server's agent */
  sort(online: readonly Session[], conversation: string | undefined): Online {
    const own = online.find((session) => this.#isOwn(session));
    const servers = online.filter(
      (session) => session !== own && this.isSameSession(session, conversation),
    );
    const same = servers.find((each) => isInConversation(each, conversation)) ?? servers[0];
    return { own, same, others: online.filter((each) => each !== own && each !== same) };
  }

  #isOwn({ entry }: Session): boolean {
    const { host, pid } = this.system.processes;
    return entry.host === host && entry.pid === pid;
  }

  /** True for this server and every other server of its session. */
  isSameSession(session: Session, conversation: string | undefined): boolean {
    const isSameAgent = this.isSameAgent(session) && this.agent.client === undefined;
    return this.#isOwn(session) || isSameAgent || isInConversation(session, conversation);
  }

  /** True if the other server runs under the same agent process as this one. */
  isSameAgent({ entry }: Session): boolean {
    const { client, pid } = this.agent;
    if (pid === undefined || entry.claude_pid !== pid) return false;
    return entry.client === client && entry.host === this.system.processes.host;
  }

  /**
   * Writes the entry in the place of those before, and takes its names away from others.
   *
   * @param since mail to everyone counts from here on
   */
  enter({ entries }: SessionList, identity: Identity, online: Online, since?: Timestamp): void {
    takeNames(entries, identity.names, online.others);
    const before = online.own ?? online.same;
    for (const session of [online.own, online.same]) if (session) entries.delete(session.name);
    entries.set(identity.names[0], this.#format(identity, since, before?.entry));
  }

  #format(
    { names, conversation, workingOn, borrowed }: Identity,
    since: Timestamp | undefined,
    before: Readonly<Entry> | undefined,
  ): Entry {
    const { clock, processes } = this.system;
    const started = processes.startOf(processes.pid);
    const { pid, client, details } = this.agent;
    const { unattended: _ofOtherProgram, ...kept } = before ?? {};
    return {
      ...kept, // also fields that others have written
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
      ...(since !== undefined && { since }),
      ...(client !== undefined && { client }),
      ...(pid !== undefined && { claude_pid: pid }),
      ...(conversation !== undefined && { claude_session: conversation }),
      ...details,
      ...this.#details,
    };
  }
}

/** Removes the names from the entries of others who held them. */
function takeNames(
  entries: Map<string, unknown>,
  names: readonly Name[],
  others: readonly Session[],
): void {
  for (const holder of others) {
    const held = namesOf(holder);
    const kept = held.filter((name) => !names.some((each) => isSameName(each, name)));
    if (kept.length === held.length) continue;
    entries.delete(holder.name);
    // The next name may be the key of an entry of the Python original.
    const [first, ...rest] = kept.filter((name) => !entries.has(name));
    if (first !== undefined) entries.set(first, { ...holder.entry, names: rest });
  }
}
