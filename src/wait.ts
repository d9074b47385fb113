import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "./config.ts";
import { Mailbox } from "./mailbox.ts";
import { inOrder } from "./message.ts";
import { pointer } from "./pointer.ts";
import { isRunning } from "./process.ts";
import { REMIND_MS } from "./push.ts";
import { BY_TOOL_RESULT } from "./route.ts";
import { type Entry, namesOf, type Session, Sessions } from "./sessions.ts";
import { Watcher } from "./watcher.ts";

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
  const find = (): Session | undefined => {
    const here = sessions.online().filter(({ entry }) => entry.host === config.host);
    const conversation = input.session_id ?? config.claudeSession;
    return (
      here.find(({ entry }) => entry.claude_pid === Number(env.CLAUDE_PID)) ??
      here.find(({ entry }) => conversation !== undefined && entry.claude_session === conversation)
    );
  };
  // A server that is gone at a Stop is not coming back.
  const deadline = performance.now() + (input.hook_event_name === "SessionStart" ? SERVER_STARTS_MS : 0);
  while (!find() && performance.now() < deadline) await sleep(COALESCE_MS);
  const session = find();
  return session ? waitFor(config, sessions, session, find) : 0;
}

async function hookInput(): Promise<{ session_id?: string; hook_event_name?: string }> {
  let text = "";
  if (!process.stdin.isTTY) for await (const chunk of process.stdin) text += chunk;
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {}; // started by hand
  }
}

async function waitFor(
  config: Config,
  sessions: Sessions,
  first: Session,
  find: () => Session | undefined,
): Promise<number> {
  let session = first;
  const owner = { name: first.name, names: namesOf(first) };
  const mailbox = new Mailbox(config, sessions, owner, first.entry.since ?? "");

  /** Writes into the session's entry in heartbeats.json; its server keeps what it finds there. */
  const enter = (fields: Partial<Entry>): Promise<boolean> =>
    sessions.update((entries) => {
      const entry = entries.get(session.name);
      if (entry) Object.assign(entry, fields);
      return entry !== undefined;
    });

  /** The exit code, once it is known. */
  const look = async (): Promise<number | undefined> => {
    const found = find();
    // An entry may be missing for a moment (the folder was deleted) while its server lives.
    if (!found) return isRunning(session.entry.pid) ? undefined : 0;
    session = found;
    Object.assign(owner, { name: found.name, names: namesOf(found) });
    const { push, waiter, pointed, tool_prefix = "" } = found.entry;
    const another = waiter !== undefined && waiter !== process.pid && isRunning(waiter);
    if (push !== BY_TOOL_RESULT || another) return 0;
    mailbox.refresh();
    const last = pointed?.last ?? "";
    const remind = pointed?.times === 1 && Date.now() - pointed.at >= REMIND_MS;
    const unread = [...mailbox.inbox.headers.values()].filter((header) => mailbox.isUnread(header));
    const due = unread.filter(({ at }) => remind || at > last).sort(inOrder);
    const newest = due.at(-1)?.at;
    if (newest === undefined) {
      if (waiter !== process.pid) await enter({ waiter: process.pid });
      return undefined;
    }
    const isNew = newest > last;
    await enter({ pointed: { last: isNew ? newest : last, times: isNew ? 1 : 2, at: Date.now() } });
    process.stderr.write(`${pointer(due, tool_prefix)}\n`);
    return 2;
  };

  let awake = (): void => {};
  mailbox.inbox.onMessage = () => awake();
  const watcher = new Watcher(config, mailbox.inbox, () => awake());
  await mailbox.inbox.reconcile();
  let code = await look();
  while (code === undefined) {
    await new Promise<void>((resolve) => {
      awake = resolve;
    });
    await sleep(COALESCE_MS);
    code = await look();
  }
  await Promise.all([watcher.close(), mailbox.close()]);
  return code;
}
