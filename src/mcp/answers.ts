import type { Config } from "../config.ts";
import { clean } from "../delivery/pointer.ts";
import { routeOf } from "../delivery/route.ts";
import { reasonOf } from "../files.ts";
import type { Mailbox, Sent } from "../mail/mailbox.ts";
import { type Header, shownBody } from "../mail/message.ts";
import { namesOf, type Session } from "../sessions/heartbeats.ts";

/** Claude Code cuts a tool result near 25,000 tokens; this many bytes stay below in any script. */
const MAX_ANSWER_BYTES = 40_000;
const MAX_LISTED = 10;

/** Who is online, for Claude and for people. */
export function whoText(online: readonly Session[], own: string | undefined): string {
  const nobody = own ? "Nobody else is online: you are alone." : "Nobody is online.";
  const count = `${online.length} session${online.length === 1 ? "" : "s"} online:`;
  const head = online.some(({ name }) => name !== own) ? count : nobody;
  return [head, ...online.map((session) => sessionLine(session, session.name === own))].join("\n");
}

function sessionLine(session: Session, you: boolean): string {
  const { name, entry } = session;
  const earlier = namesOf(session).slice(1);
  const facts = [
    entry.cwd && `in ${clean(entry.cwd)}`,
    entry.working_on && `working on: ${clean(entry.working_on)}`,
    !you && lastCall(session),
    `mail reaches it: ${routeOf(entry)}`,
    earlier.length > 0 && `earlier names: ${earlier.join(", ")}`,
  ].filter(Boolean);
  return `- ${name}${you ? " (you)" : ""}: ${facts.join("; ")}`;
}

function lastCall({ entry }: Session): string {
  if (entry.host === undefined) return `last seen ${clean(String(entry.timestamp))}`;
  return entry.last_call ? `last tool call ${ago(Date.now() - entry.last_call)}` : "no tool call yet";
}

/** "12 s ago"; `ms` is an age in milliseconds. */
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

/** What is true after a send: stored under which name, and who is there to get it. */
export function sentText({ header, online }: Sent): string {
  const stored = `Stored as ${header.file}.`;
  if (header.to === "all") {
    const names = online.map((session) => `${session.name} (${routeOf(session.entry)})`);
    return names.length > 0
      ? `${stored} Online to get it: ${names.join(", ")}.`
      : `${stored} Nobody else is online; sessions that were here before find it when they return, within 7 days.`;
  }
  const [session] = online;
  if (!session) return `${stored} ${header.to} is offline: the message waits in the inbox until it returns.`;
  const now = session.name === header.to ? "" : `, now named ${session.name},`;
  return `${stored} ${header.to}${now} is online, ${lastCall(session)}; mail reaches it: ${routeOf(session.entry)}. Not read yet.`;
}

export interface UnreadAnswer {
  readonly text: string;
  /** The messages that are in the text, in full. */
  readonly shown: readonly Header[];
}

/**
 * The owner's unread mail, which is read by this; with somebody else's name as `whose`, theirs, looked at only.
 * Messages in full, as many as fit into `maxBytes`, at least one. Throws Refusal where `whose` is no name.
 */
export async function readUnread(
  mailbox: Mailbox,
  config: Config,
  whose: string | undefined,
  maxBytes = MAX_ANSWER_BYTES,
): Promise<UnreadAnswer> {
  const name = whose?.normalize("NFC");
  const other = name === undefined || mailbox.owner.names.includes(name) ? undefined : name;
  const unread = other === undefined ? await mailbox.unread() : await mailbox.unreadOf(other);
  const archived = other === undefined ? mailbox.archivedUnread() : [];
  const note = archivedLine(archived);
  const blocks: string[] = [];
  const shown: Header[] = [];
  let bytes = 200 + Buffer.byteLength(note); // with the lines around the messages
  for (const header of unread) {
    try {
      const block = messageText(header, mailbox.inbox.body(header));
      bytes += Buffer.byteLength(block) + 1;
      if (shown.length > 0 && bytes > maxBytes) break;
      blocks.push(block);
      shown.push(header);
    } catch (error) {
      config.log(`inbox/${header.file} left out: ${reasonOf(error)}`);
    }
  }
  if (other === undefined) mailbox.markRead(shown, archived);
  const forWhom = other === undefined ? "" : ` for ${other}`;
  const left = unread.length - shown.length;
  const head = `${unread.length} unread message${unread.length === 1 ? "" : "s"}${forWhom}`;
  const lines = [
    shown.length === 0
      ? `No unread messages${forWhom}.`
      : `${head}${forWhom && " (looked at only: they stay unread)"}:`,
    ...blocks,
    left > 0 && shown.length > 0 && `${left} more left${forWhom ? "." : ": call t9_ipc_unread again."}`,
    note,
  ];
  return { text: lines.filter(Boolean).join("\n"), shown };
}

/** What to say of messages that left the inbox unread; "" where none did. */
function archivedLine(files: readonly string[]): string {
  if (files.length === 0) return "";
  const listed = files.slice(0, MAX_LISTED).map((file) => `archive/${file}`);
  const more = files.length > MAX_LISTED ? ` and ${files.length - MAX_LISTED} more` : "";
  const count = files.length === 1 ? "1 message was" : `${files.length} messages were`;
  return `${count} moved to the archive unread, for age: ${listed.join(", ")}${more}.`;
}

/** One message. Its last line repeats the file name, which no sender can know while writing the body. */
function messageText({ from, to, type, subject, priority, created, file }: Header, body: string): string {
  return [
    "",
    `from: ${clean(from)}`,
    `to: ${clean(to)}`,
    `subject: ${/[\p{Cc}\u2028\u2029]/u.test(subject) ? JSON.stringify(subject) : subject}`,
    `created: ${clean(created)}`,
    `priority: ${clean(priority)}`,
    `type: ${clean(type)}`,
    `file: ${clean(file)}`,
    "",
    shownBody(body, clean(file)) || "(no body)",
    `--- end of ${clean(file)} ---`,
  ].join("\n");
}
