import type { RegisteredSession } from "../agents/claude/registry.ts";
import { type Entry, namesOf, type Session } from "../core/heartbeats.ts";
import type { Delivery, DeliveryStatus, Mailbox, Sent } from "../core/mailbox.ts";
import { type Header, type Message, shortenBody } from "../core/message.ts";
import { isEveryone } from "../core/names.ts";
import { duration, neutralizeTags, oneLine, plural, quote } from "../core/text.ts";
import { describeRoute } from "../notify/routes.ts";

/** From this many messages in ten minutes on, a session is told that they are many. */
const MANY_SENT = 20;
const LOW = "low priority wakes nobody";
/** For the lines around messages. */
const FRAME_BYTES = 600;

export interface Surroundings {
  readonly mailbox: Mailbox;
  /** The most that the client shows the model of an answer. */
  readonly maxBytes: number;
  /** What the agent says that a session is doing. */
  readonly statusOf: (entry: Readonly<Entry>) => RegisteredSession | undefined;
  /** Sessions of this user that run without t9-ipc. */
  readonly unlisted: (online: readonly Session[]) => readonly RegisteredSession[];
  /** In ms since 1970. */
  readonly now: () => number;
}

/** Who is online, and what became of the mail that the owner sent them. */
export function whoText(around: Surroundings, isOwner: boolean): string {
  const { mailbox, maxBytes } = around;
  const online = mailbox.heartbeats.online();
  const own = isOwner ? mailbox.owner.name : undefined;
  const { problem, sessions, offline } = tryDeliveryStatus(mailbox, online);
  const nobody = own ? "Nobody else is online: you are alone." : "Nobody is online.";
  const head = online.some(({ name }) => name !== own)
    ? `${plural(online.length, "session")} online:`
    : nobody;
  const lines = online.map((session) =>
    sessionLine(session, around, session.name === own, sessions.get(session.name)),
  );
  const waiting = [...offline]
    .filter(([, { unread }]) => unread.length > 0)
    .map(([name, status]) => `${name} (${statusText(status)})`);
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
    return { problem: [], ...mailbox.deliveryStatus(online) };
  } catch (error) {
    const none = new Map<string, DeliveryStatus>();
    return { problem: [(error as Error).message], sessions: none, offline: none };
  }
}

/** As many lines as fit, and how many more there are. */
function fitLines(lines: readonly string[], maxBytes: number): string {
  const shown: string[] = [];
  let bytes = FRAME_BYTES;
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
    !isYou && status && status.sent.length > 0 && statusText(status),
    earlier.length > 0 && `earlier names: ${earlier.join(", ")}`,
  ];
  return `- ${name}${isYou ? " (you)" : ""}: ${facts.filter(Boolean).join("; ")}`;
}

/** "idle since 3 min", "waits for its user (permission prompt) since 12 s". */
function activityText(entry: Readonly<Entry>, { statusOf, now }: Surroundings): string | undefined {
  const { status, waitingFor, since } = statusOf(entry) ?? {};
  if (status === undefined) return undefined;
  const what =
    status === "waiting" ? `waits for its user (${oneLine(waitingFor ?? "?", 80)})` : status;
  return since === undefined ? what : `${what} since ${duration(now() - since)}`;
}

function statusText({ unread }: DeliveryStatus): string {
  const [oldest] = unread;
  if (!oldest) return "has read all you sent";
  const sent = Date.parse(oldest.created.replace(" ", "T"));
  const age = Number.isNaN(sent) ? "" : `, the oldest ${duration(Date.now() - sent)} old`;
  return `${unread.length} of your messages unread${age}`;
}

function lastCallText(entry: Readonly<Entry>, { now }: Surroundings): string {
  if (entry.host === undefined) return `last seen ${oneLine(entry.timestamp)}`;
  if (entry.last_call === undefined) return "no tool call yet";
  return `last tool call ${duration(now() - entry.last_call)} ago`;
}

/** What is true after a send: what is stored under which name, and who is there to receive it. */
export function sentText({ deliveries, recentCount }: Sent, around: Surroundings): string {
  const lines = deliveries.map((delivery) => deliveryText(delivery, around));
  const many =
    recentCount > MANY_SENT
      ? [
          `You have sent ${recentCount} messages in ten minutes. If nothing is left to be done, do not answer: silence is an answer too.`,
        ]
      : [];
  return [...lines, ...many].join("\n");
}

function deliveryText({ header, online }: Delivery, around: Surroundings): string {
  const stored = `Stored as ${header.file}.`;
  const isLow = header.priority === "low";
  const route = ({ entry }: Session): string =>
    isLow ? "on its next tool call" : oneLine(describeRoute(entry.push, entry.push_note));
  if (isEveryone(header.to)) {
    if (online.length === 0) {
      return `${stored} Nobody else is online; sessions that were here before find it when they return, within 7 days.`;
    }
    const names = online.map((session) => {
      const waits = waitsText(session, around);
      return `${session.name} (${route(session)}${waits ? `; ${waits}` : ""})`;
    });
    const elsewhere = online.filter(
      (session) => !around.mailbox.directory.worksHere(session),
    ).length;
    const hint =
      elsewhere > 0
        ? ` ${elsewhere} of them ${elsewhere === 1 ? "works" : "work"} in another project: to "here" reaches only this one.`
        : "";
    const low = isLow ? ` ${LOW}.` : "";
    return `${stored} Online to receive it: ${names.join(", ")}.${low}${hint}`;
  }
  const [session] = online;
  if (!session) return `${stored} ${offlineText(header, around)}`;
  const now = session.name === header.to ? "" : `, now named ${session.name},`;
  const facts = [
    lastCallText(session.entry, around),
    waitsText(session, around),
    `mail reaches it: ${route(session)}`,
    isLow && LOW,
  ];
  return `${stored} ${header.to}${now} is online, ${facts.filter(Boolean).join("; ")}. Not read yet.`;
}

/** Only what the sender should know: the session does nothing before its user answers. */
function waitsText({ entry }: Session, around: Surroundings): string | undefined {
  const { status } = around.statusOf(entry) ?? {};
  return status === "waiting" ? activityText(entry, around) : undefined;
}

function offlineText({ to }: Header, { mailbox }: Surroundings): string {
  const neighbours = mailbox.directory.sessionsInFolderOf(to).map(({ name }) => name);
  const others =
    neighbours.length > 0 ? ` Online in the folder it worked in: ${neighbours.join(", ")}.` : "";
  return `${to} is offline: the message waits in the inbox until it returns, for up to 30 days.${others}`;
}

/** An answer with messages, and what to do once it is sure that the model sees it. */
export interface MailText {
  readonly text: string;
  /** The messages that the text contains, whole or in their last part. */
  readonly shown: readonly Header[];
  /** Marks exactly what was shown. Does nothing for another session's mail. */
  markRead(): void;
}

/** The owner's unread mail: as many messages as fit, at least one, or a part of a long one. */
export function ownMailText(around: Surroundings): MailText {
  const { mailbox } = around;
  const { headers, unreadable } = mailbox.unread();
  const { names } = mailbox.owner; // by the time it is marked, the conversation may be another one
  const page = mailPage(headers, around, true);
  const left = headers.length - page.gone - page.shown.length;
  const isCut = page.part !== undefined && page.shown.length === 0;
  const lines = [
    headers.length === page.gone
      ? "No unread messages."
      : `${plural(headers.length - page.gone, "unread message")}:`,
    ...page.blocks,
    ...(left > 0 && !isCut ? [`${left} more left: call t9_ipc_unread again.`] : []),
    ...unreadable.map(({ file, reason }) => `${file} cannot be read just now: ${reason}.`),
  ];
  return {
    text: lines.join("\n"),
    shown: page.shown,
    markRead() {
      if (page.part) mailbox.markPart(page.part.file, page.part.number, names);
      mailbox.markRead(page.shown, names);
    },
  };
}

/** Another session's unread mail, which stays unread. */
export function otherMailText(around: Surroundings, whose: string): MailText {
  const { headers, unreadable, name } = around.mailbox.unreadOf(whose);
  const page = mailPage(headers, around, false);
  const count = headers.length - page.gone;
  const left = count - page.shown.length;
  const lines = [
    count === 0
      ? `No unread messages for ${name}.`
      : `${plural(count, "unread message")} for ${name} (only looked at: they stay unread):`,
    ...page.blocks,
    ...(left > 0 ? [`${left} more left.`] : []),
    ...unreadable.map(({ file, reason }) => `${file} cannot be read just now: ${reason}.`),
  ];
  return { text: lines.join("\n"), shown: page.shown, markRead() {} };
}

interface Page {
  readonly blocks: readonly string[];
  readonly shown: readonly Header[];
  /** How many of the messages have gone, or are broken, by now. */
  readonly gone: number;
  /** The part of a long message that is shown. After the last one, the message is shown whole. */
  readonly part?: { readonly file: string; readonly number: number } | undefined;
}

/** @param isOwn false for mail that is only looked at: no record is kept of its parts */
function mailPage(headers: readonly Header[], around: Surroundings, isOwn: boolean): Page {
  const { mailbox, maxBytes } = around;
  const blocks: string[] = [];
  const shown: Header[] = [];
  let gone = 0;
  let bytes = FRAME_BYTES;
  for (const { file } of headers) {
    const message = mailbox.inbox.read(file);
    if (!message) {
      gone++;
      continue;
    }
    const block = messageText(mailbox, message.header, message.body);
    bytes += Buffer.byteLength(block) + 1;
    if (bytes <= maxBytes) {
      shown.push(message.header);
      blocks.push(block);
    } else if (shown.length > 0) {
      break;
    } else {
      const { text, part, isLast } = partText(around, message, { isKept: isOwn });
      return { blocks: [text], shown: isLast ? [message.header] : [], gone, part };
    }
  }
  return { blocks, shown, gone };
}

/** The next part of a message that is too long for one answer; the first one if it is not kept. */
function partText(
  around: Surroundings,
  { header, body }: Message,
  { isKept = true, folder = "inbox" } = {},
) {
  const { mailbox, maxBytes } = around;
  const { file } = header;
  const frame = Buffer.byteLength(messageText(mailbox, header, "")) + FRAME_BYTES;
  const pieces = splitBytes(shownBody(header, body, folder), Math.max(1000, maxBytes - frame));
  const number = isKept ? (mailbox.partsShown(file) % pieces.length) + 1 : 1;
  const isLast = number === pieces.length;
  const position = `part ${number} of ${pieces.length}`;
  const again = isKept ? "call t9_ipc_unread again for the next; " : "";
  const next = isLast
    ? `(${position}: the end)`
    : `(${position}: ${again}the whole file is ${folder}/${file})`;
  const text = messageFrame(mailbox, header, `${pieces[number - 1]}\n${next}`);
  return { text, part: { file, number }, isLast };
}

/** Pieces of at most `maxBytes` bytes, never cut within a character. */
function splitBytes(text: string, maxBytes: number): string[] {
  const pieces: string[] = [];
  let piece = "";
  let bytes = 0;
  for (const character of text) {
    const size = Buffer.byteLength(character);
    if (bytes + size > maxBytes) {
      pieces.push(piece);
      piece = "";
      bytes = 0;
    }
    piece += character;
    bytes += size;
  }
  return [...pieces, piece];
}

/** One message again, read or not, from the inbox or the archive. Throws UserError. */
export function messageAgainText(around: Surroundings, file: string): MailText {
  const { mailbox, maxBytes } = around;
  const { header, body, isArchived } = mailbox.find(file, "Nothing shown:");
  const { names } = mailbox.owner;
  const folder = isArchived ? "archive" : "inbox";
  const answers = mailbox.answersTo(header.file);
  const from = `From the ${folder}${answers > 0 ? `, with ${plural(answers, "answer")}` : ""}:`;
  const whole = messageText(mailbox, header, body, folder);
  const isLong = Buffer.byteLength(whole) + FRAME_BYTES > maxBytes;
  const page = isLong ? partText(around, { header, body }, { folder }) : undefined;
  const isWhole = page === undefined || page.isLast;
  return {
    text: `${from}\n${page?.text ?? whole}`,
    shown: isWhole ? [header] : [],
    markRead() {
      if (page) mailbox.markPart(page.part.file, page.part.number, names);
      if (isWhole && !isArchived) mailbox.markRead([header], names);
    },
  };
}

const shownBody = ({ file }: Header, body: string, folder: string): string =>
  neutralizeTags(shortenBody(body, `${folder}/${file}`)) || "(no body)";

const messageText = (mailbox: Mailbox, header: Header, body: string, folder = "inbox"): string =>
  messageFrame(mailbox, header, shownBody(header, body, folder));

/** The last line repeats the file name, which no sender can know while writing the body. */
function messageFrame(mailbox: Mailbox, header: Header, body: string): string {
  const { from, to, type, subject, priority, created, reply_to } = header;
  const file = oneLine(header.file);
  const isOneLine = !/[\p{Cc}\u2028\u2029]/u.test(subject);
  const lines = [
    "",
    `from: ${oneLine(from)}`,
    `to: ${oneLine(to)}`,
    `subject: ${neutralizeTags(isOneLine ? subject : JSON.stringify(subject))}`,
    `created: ${oneLine(created)}`,
    `priority: ${oneLine(priority)}`,
    `type: ${oneLine(type)}`,
    ...(reply_to === undefined ? [] : [`reply_to: ${answeredText(mailbox, reply_to)}`]),
    `file: ${file}`,
    "",
    body,
    `--- end of ${file} ---`,
  ];
  return lines.join("\n");
}

/** The file name of the message that is answered; and what it was, if it is the owner's to see. */
function answeredText(mailbox: Mailbox, file: string): string {
  const answered = mailbox.findAnswered(file)?.header;
  if (!answered) return oneLine(file);
  const { from, subject, created } = answered;
  const isOwn = (mailbox.owner.names as readonly string[]).includes(from);
  const sent = new Date(created.replace(" ", "T"));
  const isToday = sent.toDateString() === new Date().toDateString();
  const when = isToday ? created.slice(11, 16) : created.slice(0, 16);
  const sender = isOwn ? "you" : oneLine(from);
  return `${oneLine(file)} (${quote(subject)}, sent by ${sender} ${oneLine(when)})`;
}
