import type { RegisteredSession } from "../agents/claude/registry.ts";
import type { Entry, Session } from "../core/heartbeats.ts";

interface Seen {
  readonly name: string;
  /** The reason why it waits for its user; undefined if it does not wait. */
  readonly waitsFor: string | undefined;
}

/** Words who comes, goes, takes another name, or waits for its user, from one look to the next. */
export class SessionChanges {
  #seen: ReadonlyMap<string, Seen> | undefined;

  constructor(
    private readonly statusOf: (entry: Readonly<Entry>) => RegisteredSession | undefined,
  ) {}

  /** The changes since the last call; none at the first one. */
  update(online: readonly Session[]): string[] {
    const now = new Map(online.map((session) => [keyOf(session), this.#look(session)]));
    const before = this.#seen;
    this.#seen = now;
    if (!before) return [];
    const folders = new Map(online.map((session) => [keyOf(session), session.entry.cwd]));
    const gone = [...before].filter(([key]) => !now.has(key)).map(([, { name }]) => name);
    return [
      ...gone.map((name) => `${name} has left`),
      ...[...now].flatMap(([key, seen]) => describe(before.get(key), seen, folders.get(key))),
    ];
  }

  #look({ name, entry }: Session): Seen {
    const { status, waitingFor } = this.statusOf(entry) ?? {};
    return { name, waitsFor: status === "waiting" ? (waitingFor ?? "?") : undefined };
  }
}

/** A session whose server is started anew has not left. */
const keyOf = ({ entry: { host, claude_pid, pid } }: Session): string =>
  `${host} ${claude_pid === undefined ? `server ${pid}` : claude_pid}`;

function describe(before: Seen | undefined, now: Seen, folder: string | undefined): string[] {
  const { name, waitsFor } = now;
  const lines: string[] = [];
  if (!before) lines.push(`${name} is online${folder ? `, in ${folder}` : ""}`);
  else if (before.name !== name) lines.push(`${before.name} is named ${name} now`);
  if (waitsFor !== before?.waitsFor) {
    lines.push(waitsFor ? `${name} waits for its user (${waitsFor})` : `${name} goes on`);
  }
  return lines;
}
