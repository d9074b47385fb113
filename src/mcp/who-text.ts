import type { RegisteredSession } from "../agents/claude/registry.ts";
import { messageOf } from "../core/errors.ts";
import { namesOf, type Session } from "../core/heartbeats.ts";
import type { DeliveryStatus, Mailbox } from "../core/mailbox.ts";
import { duration, oneLine, plural, quote } from "../core/text.ts";
import { describeRoute } from "../notify/routes.ts";
import { unreadableLines } from "./mail-text.ts";
import { activityText, lastCallText, type Surroundings } from "./surroundings.ts";

/** For a notice and notes at the end of the answer. */
const NOTICE_BYTES = 1200;

/** Lists who is online, each with the status of the owner's mail to that session. */
export function whoText(around: Surroundings, isOwner: boolean): string {
  const { mailbox, maxBytes } = around;
  const online = mailbox.directory.online();
  const own = isOwner ? mailbox.owner.name : undefined;
  const { problem, isComplete, sessions, offline } = tryDeliveryStatus(mailbox, online);
  const nobody = own ? "Nobody else is online: you are alone." : "Nobody is online.";
  const head = online.some(({ name }) => name !== own)
    ? `${plural(online.length, "session")} online:`
    : nobody;
  const lines = online.map((session) => {
    const status = sessions.get(session.name);
    // What cannot be read may be unread there.
    const isKnown = isComplete || (status?.unread.length ?? 0) > 0;
    return sessionLine(session, around, session.name === own, isKnown ? status : undefined);
  });
  const waiting = [...offline]
    .filter(([, { unread }]) => unread.length > 0)
    .map(([name, status]) => `${name} (${statusText(status, around)})`);
  const away =
    waiting.length > 0 ? [`Offline, with mail of yours waiting: ${waiting.join(", ")}.`] : [];
  const unlisted = unlistedLines(around.unlisted(online), around);
  return fitLines([head, ...lines, ...away, ...unlisted, ...problem], maxBytes);
}

function unlistedLines(sessions: readonly RegisteredSession[], { now }: Surroundings): string[] {
  if (sessions.length === 0) return [];
  const lines = sessions.map(({ name, folder, status, since }) => {
    const activity = status && (since ? `${status} since ${duration(now() - since)}` : status);
    const facts = [folder && `in ${quote(folder, 200)}`, activity].filter(Boolean);
    return `- ${name ? quote(name) : "a session"}: ${facts.join("; ")}`;
  });
  return ["Claude Code sessions without t9-ipc (restart them, or use SendMessage):", ...lines];
}

/** Who is online is known even if the inbox cannot be read. */
function tryDeliveryStatus(mailbox: Mailbox, online: readonly Session[]) {
  try {
    const { unreadable, ...status } = mailbox.deliveryStatus(online);
    const problem = unreadableLines(unreadable).map((line) => `Of what you sent, ${line}`);
    return { ...status, problem, isComplete: unreadable.length === 0 };
  } catch (error) {
    const none = new Map<string, DeliveryStatus>();
    const problem = [messageOf(error)];
    return { problem, isComplete: false, sessions: none, offline: none };
  }
}

/** As many lines as fit, and how many more there are. */
function fitLines(lines: readonly string[], maxBytes: number): string {
  const shown: string[] = [];
  let bytes = NOTICE_BYTES;
  for (const line of lines) {
    bytes += Buffer.byteLength(line) + 1;
    if (bytes > maxBytes) return [...shown, `and ${lines.length - shown.length} more.`].join("\n");
    shown.push(line);
  }
  return shown.join("\n");
}

function sessionLine(
  session: Session,
  around: Surroundings,
  isYou: boolean,
  status: DeliveryStatus | undefined,
): string {
  const { name, entry } = session;
  const earlier = namesOf(session).slice(1);
  const facts = [
    entry.client && `runs in ${quote(entry.client)}`,
    entry.unattended && "a run that nobody watches",
    entry.cwd && `in ${quote(entry.cwd, 200)}`,
    entry.working_on && `working on ${quote(entry.working_on, 200)}`,
    !isYou && activityText(entry, around),
    !isYou && lastCallText(entry, around),
    `mail reaches it: ${oneLine(describeRoute(entry.push, entry.push_note))}`,
    !isYou && status && status.sent.length > 0 && statusText(status, around),
    earlier.length > 0 && `earlier names: ${earlier.join(", ")}`,
  ];
  return `- ${name}${isYou ? " (you)" : ""}: ${facts.filter(Boolean).join("; ")}`;
}

function statusText({ unread }: DeliveryStatus, { mailbox, now }: Surroundings): string {
  const [oldest] = unread;
  if (!oldest) return "has read all you sent";
  const storedAt = mailbox.inbox.storedAt(oldest.file);
  const age = storedAt === undefined ? "" : `, the oldest ${duration(now() - storedAt)} old`;
  return `${unread.length} of your messages unread${age}`;
}
