import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import type { Mailbox } from "../mail/mailbox.ts";
import type { Header } from "../mail/message.ts";
import { type Entry, namesOf, type Session } from "../sessions/entry.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { inspect, isRunning } from "../sessions/process.ts";
import { isAhead, type Stamp, stampIn } from "../stamp.ts";
import { pointer } from "./pointer.ts";
import { BY_TOOL_RESULT, hasHook } from "./route.ts";

/** At SessionStart the hook may run before its server does. */
const SERVER_STARTS_MS = 15_000;
/** Mail that comes together is pointed to together. */
const COALESCE_MS = 100;

/**
 * The hook's command, `t9-ipc wait`: waits for unread mail of the Claude Code session that started it. Resolves
 * to the exit code: 2 with the pointer on stderr, which wakes the session; 0 where something else serves the
 * session, another hook waits already, or the session is over; 1 after an error. The caller ends the process.
 */
export async function wait(config: Config): Promise<number> {
  try {
    const { CLAUDE_PID, CLAUDE_CODE_SESSION_ATTENDED } = process.env;
    const input = hookInput();
    // `claude -p` does not end before its hooks do.
    if (CLAUDE_CODE_SESSION_ATTENDED === "0") return 0;
    const heartbeats = new Heartbeats(config);
    const conversation = input.session_id ?? config.claudeSession;
    const find = (): Session | undefined =>
      heartbeats.find((entry) => entry.claude_pid === Number(CLAUDE_PID)) ??
      heartbeats.find(
        (entry) => conversation !== undefined && entry.claude_session === conversation,
      );
    // A server that is gone at a Stop is not coming back.
    const deadline =
      performance.now() + (input.hook_event_name === "SessionStart" ? SERVER_STARTS_MS : 0);
    while (!find() && performance.now() < deadline) await sleep(COALESCE_MS);
    const session = find();
    return session && isNeeded(session) ? await waitFor(session, config, heartbeats, find) : 0;
  } catch (error) {
    config.log(`wait: ${reasonOf(error)}`);
    return 1;
  }
}

/** Is there no other path to this session, and no other hook that waits for it? */
function isNeeded({ entry }: Session): boolean {
  return entry.push === BY_TOOL_RESULT && (entry.waiter === process.pid || !hasHook(entry));
}

async function waitFor(
  first: Session,
  config: Config,
  heartbeats: Heartbeats,
  find: () => Session | undefined,
) {
  // Most hooks are not needed and never load this.
  const [{ Mailbox }, { Watcher }] = await Promise.all([
    import("../mail/mailbox.ts"),
    import("../mail/watcher.ts"),
  ]);
  const owner = { name: first.name, names: namesOf(first) };
  const mailbox = new Mailbox(config, heartbeats, owner, first.entry.since as Stamp | undefined);
  const hints = new EventEmitter();
  mailbox.inbox.onMessage = () => hints.emit("look");
  new Watcher(config, mailbox.inbox, () => hints.emit("look"));
  await mailbox.inbox
    .reconcile()
    .catch((error) => config.log(`inbox cannot be read: ${reasonOf(error)}`));

  let { pid } = first.entry;
  for (;;) {
    const session = find();
    // An entry may be missing for a moment (the folder was deleted) while its server lives.
    if (session ? !isNeeded(session) : !isRunning(pid)) return 0;
    if (session) {
      pid = session.entry.pid;
      Object.assign(owner, { name: session.name, names: namesOf(session) });
      const { waiter, pointed, tool_prefix = "" } = session.entry;
      mailbox.refresh();
      const due = newMail(mailbox, pointed?.last ?? "");
      const last = due.at(-1);
      if (last) {
        // Where that cannot be noted, the session would be woken for the same mail at every Stop: then it is not.
        if (!(await enter(heartbeats, owner.name, { pointed: { last: stampIn(last.file) } })))
          return 1;
        process.stderr.write(`${pointer(due, tool_prefix)}\n`);
        return 2;
      }
      const started = inspect([process.pid]).get(process.pid)?.started ?? "";
      if (waiter !== process.pid)
        await enter(heartbeats, owner.name, { waiter: process.pid, waiter_started: started });
    }
    await once(hints, "look");
    await sleep(COALESCE_MS);
  }
}

/** What is unread and was sent after `pointed`, in order. A stamp far ahead of every clock would be new at every Stop. */
function newMail(mailbox: Mailbox, pointed: string): Header[] {
  const isNew = (file: string): boolean => stampIn(file) > pointed && !isAhead(stampIn(file));
  const files = [...mailbox.inbox.files].filter(isNew).sort();
  return files
    .flatMap((file) => mailbox.unreadHeader(file) ?? [])
    .filter(({ priority }) => priority !== "low");
}

/** What Claude Code tells a hook on its standard input; nothing where it was started by hand. */
function hookInput(): { session_id?: string; hook_event_name?: string } {
  try {
    return JSON.parse(isatty(0) ? "{}" : readFileSync(0, "utf8")) ?? {};
  } catch {
    return {};
  }
}

/** Writes into a session's entry in heartbeats.json; its server keeps what it finds there. */
function enter(heartbeats: Heartbeats, name: string, fields: Partial<Entry>): Promise<boolean> {
  return heartbeats.update((entries) => {
    const entry = entries.get(name);
    if (entry) entries.set(name, { ...entry, ...fields });
    return entry !== undefined;
  });
}
