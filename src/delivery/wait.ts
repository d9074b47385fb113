import { EventEmitter, once } from "node:events";
import { text as readAll } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import { Mailbox } from "../mail/mailbox.ts";
import { inOrder } from "../mail/message.ts";
import { Watcher } from "../mail/watcher.ts";
import { type Entry, namesOf, type Session, Sessions } from "../sessions/heartbeats.ts";
import { isRunning } from "../sessions/process.ts";
import { pointer, REMIND_MS } from "./pointer.ts";
import { BY_TOOL_RESULT } from "./route.ts";

/** At SessionStart the hook may run before its server does. */
const SERVER_STARTS_MS = 15_000;
/** Mail that comes together is pointed to together. */
const COALESCE_MS = 100;

/**
 * The hook's command, `t9-ipc wait`: waits for unread mail of the Claude Code session that started it. Resolves
 * to the exit code: 2 with the pointer on stderr, which wakes the session; 0 where something else serves the
 * session, another hook waits already, or the session is over.
 */
export async function wait(config: Config, env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const input = await hookInput();
  // `claude -p` does not end before its hooks do.
  if (env.CLAUDE_CODE_SESSION_ATTENDED === "0") return 0;
  const sessions = new Sessions(config);
  const conversation = input.session_id ?? config.claudeSession;
  const find = (): Session | undefined => {
    const here = sessions.online().filter(({ entry }) => entry.host === config.host);
    return (
      here.find(({ entry }) => entry.claude_pid === Number(env.CLAUDE_PID)) ??
      here.find(({ entry }) => conversation !== undefined && entry.claude_session === conversation)
    );
  };
  // A server that is gone at a Stop is not coming back.
  const deadline = performance.now() + (input.hook_event_name === "SessionStart" ? SERVER_STARTS_MS : 0);
  while (!find() && performance.now() < deadline) await sleep(COALESCE_MS);
  const first = find();
  if (!first) return 0;
  let { pid } = first.entry;

  const owner = { name: first.name, names: namesOf(first) };
  const mailbox = new Mailbox(config, sessions, owner, first.entry.since ?? "");
  const hints = new EventEmitter();
  mailbox.inbox.onMessage = () => hints.emit("look");
  const watcher = new Watcher(config, mailbox.inbox, () => hints.emit("look"));

  /** The exit code, once it is known. */
  const look = async (): Promise<number | undefined> => {
    const session = find();
    // An entry may be missing for a moment (the folder was deleted) while its server lives.
    if (!session) return isRunning(pid) ? undefined : 0;
    pid = session.entry.pid;
    Object.assign(owner, { name: session.name, names: namesOf(session) });
    const { push, waiter, pointed, tool_prefix = "" } = session.entry;
    const another = waiter !== undefined && waiter !== process.pid && isRunning(waiter);
    if (push !== BY_TOOL_RESULT || another) return 0;
    mailbox.refresh();
    const unread = [...mailbox.inbox.headers.values()].filter((header) => mailbox.isUnread(header)).sort(inOrder);
    const { last = "", remind = Number.POSITIVE_INFINITY } = pointed ?? {};
    const due = Date.now() >= remind ? unread : unread.filter(({ at }) => at > last);
    const newest = due.at(-1)?.at;
    if (newest === undefined) {
      if (waiter !== process.pid) await enter(sessions, owner.name, { waiter: process.pid });
      return undefined;
    }
    const shown = newest > last ? { last: newest, remind: Date.now() + REMIND_MS } : { last };
    await enter(sessions, owner.name, { pointed: shown });
    process.stderr.write(`${pointer(due, tool_prefix)}\n`);
    return 2;
  };

  await mailbox.inbox.reconcile().catch((error) => config.log(`inbox cannot be read: ${reasonOf(error)}`));
  let code = await look();
  while (code === undefined) {
    await once(hints, "look");
    await sleep(COALESCE_MS);
    code = await look();
  }
  await Promise.all([watcher.close(), mailbox.close()]);
  return code;
}

async function hookInput(): Promise<{ session_id?: string; hook_event_name?: string }> {
  try {
    return JSON.parse(process.stdin.isTTY ? "{}" : await readAll(process.stdin)) ?? {};
  } catch {
    return {}; // started by hand
  }
}

/** Writes into a session's entry in heartbeats.json; its server keeps what it finds there. */
function enter(sessions: Sessions, name: string, fields: Partial<Entry>): Promise<boolean> {
  return sessions.update((entries) => {
    const entry = entries.get(name);
    if (entry) Object.assign(entry, fields);
    return entry !== undefined;
  });
}
