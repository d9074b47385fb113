import type { Config } from "../config.ts";
import { clean } from "../delivery/pointer.ts";
import { routeOf } from "../delivery/route.ts";
import { type Fate, MANY_EXCHANGED } from "../mail/correspondence.ts";
import type { Mailbox, Sent } from "../mail/mailbox.ts";
import { type Header, shownBody } from "../mail/message.ts";
import { claudeSession } from "../sessions/claude.ts";
import { namesOf, type Session } from "../sessions/entry.ts";

/** Claude Code cuts a tool result near 25,000 tokens; this many bytes stay below in any script. */
const MAX_ANSWER_BYTES = 40_000;
const LOW = "low priority wakes nobody";

/** Who is online, for Claude and for people; with what became of the mail that `own` sent them. */
export async function whoText(
  mailbox: Mailbox,
  config: Config,
  own: string | undefined,
): Promise<string> {
  const { online, sessions, offline, problem } = await mailbox.who();
  const nobody = own ? "Nobody else is online: you are alone." : "Nobody is online.";
  const count = `${online.length} session${online.length === 1 ? "" : "s"} online:`;
  const head = online.some(({ name }) => name !== own) ? count : nobody;
  const lines = online.map((session) =>
    sessionLine(session, config, session.name === own, sessions.get(session.name)),
  );
  const waiting = [...offline]
    .filter(([, { unread }]) => unread.length > 0)
    .map(([name, fate]) => `${name} (${fateText(fate)})`);
  const away = waiting.length > 0 && `Offline, with mail of yours waiting: ${waiting.join(", ")}.`;
  return [head, ...lines, away, problem].filter(Boolean).join("\n");
}

function sessionLine(
  session: Session,
  config: Config,
  isYou: boolean,
  fate: Fate | undefined,
): string {
  const { name, entry } = session;
  const earlier = namesOf(session).slice(1);
  const facts = [
    entry.client && `runs in ${clean(entry.client)}`,
    entry.cwd && `in ${clean(entry.cwd)}`,
    entry.working_on && `working on: ${clean(entry.working_on)}`,
    !isYou && statusText(entry, config),
    !isYou && lastCall(session),
    `mail reaches it: ${clean(routeOf(entry))}`,
    !isYou && fate && fate.sent.length > 0 && fateText(fate),
    earlier.length > 0 && `earlier names: ${earlier.join(", ")}`,
  ].filter(Boolean);
  return `- ${name}${isYou ? " (you)" : ""}: ${facts.join("; ")}`;
}

/** What Claude Code says of a session on this host: idle, busy, or waiting for its user. */
function statusText(
  { host, claude_pid, client }: Session["entry"],
  config: Config,
): string | undefined {
  const said =
    host === config.host && !client && claude_pid
      ? claudeSession(config.claudeDir, claude_pid)
      : undefined;
  const state = said?.isIdle === undefined ? undefined : said.isIdle ? "idle" : "busy";
  const doing = said?.waitingFor ? `waits for its user (${clean(said.waitingFor)})` : state;
  return doing && `${doing}${said?.since ? ` since ${age(Date.now() - said.since)}` : ""}`;
}

function fateText({ unread }: Fate): string {
  const [oldest] = unread;
  if (!oldest) return "has read all you sent";
  const sent = Date.parse(oldest.created.replace(" ", "T"));
  const old = Number.isNaN(sent) ? "" : `, the oldest ${age(Date.now() - sent)} old`;
  return `${unread.length} of your messages unread${old}`;
}

function lastCall({ entry }: Session): string {
  if (entry.host === undefined) return `last seen ${clean(String(entry.timestamp))}`;
  return entry.last_call
    ? `last tool call ${age(Date.now() - entry.last_call)} ago`
    : "no tool call yet";
}

/** "12 s"; `ms` is an age in milliseconds. */
function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** What is true after a send: stored under which name, and who is there to get it. */
export function sentText({ header, online, exchanged }: Sent): string {
  const stored = `Stored as ${header.file}.`;
  const isLow = header.priority === "low";
  const routed = ({ entry }: Session): string =>
    isLow ? "on its next tool call" : clean(routeOf(entry));
  if (header.to === "all") {
    const names = online.map((session) => `${session.name} (${routed(session)})`);
    return names.length > 0
      ? `${stored} Online to get it: ${names.join(", ")}.${isLow ? ` ${LOW}.` : ""}`
      : `${stored} Nobody else is online; sessions that were here before find it when they return, within 7 days.`;
  }
  const [session] = online;
  if (!session)
    return `${stored} ${header.to} is offline: the message waits in the inbox until it returns.`;
  const now = session.name === header.to ? "" : `, now named ${session.name},`;
  const low = isLow ? `; ${LOW}` : "";
  const brake =
    exchanged > MANY_EXCHANGED
      ? `\nYou two have exchanged ${exchanged} messages in ten minutes. If nothing is left to be done, do not answer: silence is an answer too.`
      : "";
  return `${stored} ${header.to}${now} is online, ${lastCall(session)}; mail reaches it: ${routed(session)}${low}. Not read yet.${brake}`;
}

/**
 * The owner's unread mail; with somebody else's name as `whose`, theirs, which is looked at only. Messages in
 * full, as many as fit into `maxBytes`, at least one; their headers are in `shown`. `markRead` marks these as read: to
 * be called once the answer is sure to be shown. Throws Refusal where `whose` is no name.
 */
export async function readUnread(
  mailbox: Mailbox,
  whose: string | undefined,
  maxBytes = MAX_ANSWER_BYTES,
) {
  const name = whose?.normalize("NFC");
  const other = mailbox.owner.names.some((own) => own === name) ? undefined : name;
  const forWhom = other === undefined ? "" : ` for ${other}`;
  const unread = other === undefined ? await mailbox.unread() : await mailbox.unreadOf(other);
  const blocks: string[] = [];
  const shown: Header[] = [];
  let count = unread.length;
  let bytes = 200; // for the lines around the messages
  for (const header of unread) {
    const message = mailbox.inbox.read(header.file);
    const block = message ? messageText(mailbox, header, message.body) : "";
    bytes += Buffer.byteLength(block) + 1;
    if (shown.length > 0 && bytes > maxBytes) break;
    if (message) shown.push(header);
    else count--; // gone, or broken
    blocks.push(block);
  }
  const left = count - shown.length;
  const head = `${count} unread message${count === 1 ? "" : "s"}${forWhom}`;
  const lines = [
    count === 0
      ? `No unread messages${forWhom}.`
      : `${head}${forWhom && " (looked at only: they stay unread)"}:`,
    ...blocks,
    left > 0 && `${left} more left${forWhom ? "." : ": call t9_ipc_unread again."}`,
  ];
  const markRead = () => other === undefined && mailbox.markRead(shown);
  return { text: lines.filter(Boolean).join("\n"), shown, markRead };
}

/** One message again, read or not, from inbox or archive. Throws Refusal where the owner neither sent nor got it. */
export async function readAgain(mailbox: Mailbox, file: string) {
  const { header, body, isArchived } = await mailbox.message(file);
  const where = isArchived ? "From the archive" : "From the inbox";
  const markRead = () => !isArchived && mailbox.markRead([header]);
  return { text: `${where}:\n${messageText(mailbox, header, body)}`, markRead };
}

/** One message. Its last line repeats the file name, which no sender can know while writing the body. */
function messageText(mailbox: Mailbox, header: Header, body: string): string {
  const { from, to, type, subject, priority, created, reply_to } = header;
  const file = clean(header.file);
  return `
from: ${clean(from)}
to: ${clean(to)}
subject: ${/[\p{Cc}\u2028\u2029]/u.test(subject) ? JSON.stringify(subject) : subject}
created: ${clean(created)}
priority: ${clean(priority)}
type: ${clean(type)}
${reply_to ? `reply_to: ${answeredText(mailbox, reply_to)}\n` : ""}file: ${file}

${shownBody(body, file) || "(no body)"}
--- end of ${file} ---`;
}

/** What a message answers: its file name; with subject, sender and time where it is there, and no others' mail. */
function answeredText(mailbox: Mailbox, file: string): string {
  const answered = mailbox.find(file)?.header;
  if (!answered) return clean(file);
  const { from, subject, created } = answered;
  const by = mailbox.owner.names.some((name) => name === from) ? "you" : clean(from);
  const today = new Date().toDateString() === new Date(created.replace(" ", "T")).toDateString();
  const when = today ? created.slice(11, 16) : created.slice(0, 16);
  return `${clean(file)} ("${clean(subject)}", sent by ${by} ${clean(when)})`;
}
