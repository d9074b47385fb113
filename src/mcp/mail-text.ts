import { messageOf } from "../core/errors.ts";
import type { Unreadable } from "../core/inbox.ts";
import type { Mailbox, UnreadMail } from "../core/mailbox.ts";
import type { Header, Message } from "../core/message.ts";
import { neutralizeTags, oneLine, plural, quote } from "../core/text.ts";
import type { Surroundings } from "./surroundings.ts";

/** For the lines around messages. */
const FRAME_BYTES = 600;
/**
 * The size of the parts of a long message. An answer shows as many as fit. Marks count them, so the
 * size is the same for every client.
 */
const PART_BYTES = 1000;

/** An answer with messages, which are marked once it is sure that the model sees it. */
export interface MailText {
  readonly text: string;
  /** True if there is a message in the text, or a part of one. */
  readonly showsMail: boolean;
  /** The messages that the text contains, whole or in their last part. */
  readonly shown: readonly Message[];
  /** Files that may be such mail and cannot be read just now. The text says so. */
  readonly unreadable: readonly Unreadable[];
  /** Marks exactly the messages that were shown. Does nothing for another session's mail. */
  markRead(): void;
}

/** The owner's unread mail: as many messages as fit, at least one, or a part of a long one. */
export function ownMailText(around: Surroundings): MailText {
  const { mailbox } = around;
  // By the time it is marked, the conversation may be another one.
  const { names, notes } = mailbox.owner;
  const page = mailPage(mailbox.unread(), around, true);
  const { count, shown, unreadable } = page;
  const left = count - shown.length;
  const isCut = page.part !== undefined && shown.length === 0;
  const lines = [
    count > 0 ? `${plural(count, "unread message")}:` : noneText(unreadable),
    ...page.blocks,
    ...(left > 0 && !isCut ? [`${left} more left: call t9_ipc_unread again.`] : []),
    ...unreadableLines(unreadable),
  ];
  return {
    text: lines.join("\n"),
    showsMail: page.blocks.length > 0,
    shown,
    unreadable,
    markRead() {
      if (page.part) mailbox.markPart(page.part.file, page.part.number, names);
      mailbox.markRead(
        shown.map(({ header }) => header),
        names,
        notes.conversation,
      );
    },
  };
}

/** Another session's unread mail, which stays unread. */
export function otherMailText(around: Surroundings, whose: string): MailText {
  const { name, ...mail } = around.mailbox.unreadOf(whose);
  const { count, blocks, shown, unreadable } = mailPage(mail, around, false);
  const left = count - shown.length;
  const lines = [
    count > 0
      ? `${plural(count, "unread message")} for ${name} (only looked at: they stay unread):`
      : noneText(unreadable, ` for ${name}`),
    ...blocks,
    ...(left > 0 ? [`${left} more left.`] : []),
    ...unreadableLines(unreadable),
  ];
  return { text: lines.join("\n"), showsMail: blocks.length > 0, shown, unreadable, markRead() {} };
}

const noneText = (unreadable: readonly Unreadable[], whose = ""): string =>
  unreadable.length > 0
    ? `No unread message${whose} can be read just now:`
    : `No unread messages${whose}.`;

/** One line with the first of these files and its reason; none if there are no files. */
export function unreadableLines([first, ...others]: readonly Unreadable[]): string[] {
  if (!first) return [];
  const more = others.length > 0 ? ` and ${others.length} more` : "";
  return [`${oneLine(first.file)}${more} cannot be read just now: ${first.reason}.`];
}

interface Page {
  readonly blocks: readonly string[];
  readonly shown: readonly Message[];
  /** How many unread messages there are, without those that have gone or cannot be read. */
  readonly count: number;
  readonly unreadable: readonly Unreadable[];
  /** The last of the parts of a long message that are shown. At its end it is shown whole. */
  readonly part?: { readonly file: string; readonly number: number } | undefined;
}

/** @param isOwn false for another session's mail, of whose parts no record is kept */
function mailPage({ headers, ...mail }: UnreadMail, around: Surroundings, isOwn: boolean): Page {
  const { mailbox, maxBytes } = around;
  const blocks: string[] = [];
  const shown: Message[] = [];
  const unreadable = [...mail.unreadable];
  let count = headers.length;
  let bytes = FRAME_BYTES;
  for (const { file } of headers) {
    const message = tryRead(mailbox, file, unreadable);
    if (!message) {
      count--;
      continue;
    }
    const block = messageText(mailbox, message.header, message.body);
    bytes += Buffer.byteLength(block) + 1;
    if (bytes <= maxBytes) {
      shown.push(message);
      blocks.push(block);
    } else if (shown.length > 0) {
      break;
    } else {
      const { text, part, isLast } = partText(around, message, { isKept: isOwn });
      return { blocks: [text], shown: isLast ? [message] : [], count, unreadable, part };
    }
  }
  return { blocks, shown, count, unreadable };
}

/** Undefined if the message has gone; also if it cannot be read just now, which is noted. */
function tryRead(mailbox: Mailbox, file: string, unreadable: Unreadable[]): Message | undefined {
  try {
    return mailbox.inbox.read(file);
  } catch (error) {
    unreadable.push({ file, reason: messageOf(error) });
    return undefined;
  }
}

/** The next parts of a message that is too long for one answer; the first ones if none are kept. */
function partText(
  around: Surroundings,
  { header, body }: Message,
  { isKept = true, folder = "inbox" } = {},
) {
  const { mailbox, maxBytes } = around;
  const { file } = header;
  const frame = Buffer.byteLength(messageText(mailbox, header, "") + file) + FRAME_BYTES;
  const parts = splitBytes(shownBody(body), PART_BYTES);
  const before = isKept ? mailbox.partsShown(file) % parts.length : 0;
  const room = Math.max(1, Math.floor((maxBytes - frame) / PART_BYTES));
  const shown = parts.slice(before, before + room);
  const number = before + shown.length;
  const isLast = number === parts.length;
  const which = shown.length === 1 ? `part ${number}` : `parts ${before + 1} to ${number}`;
  const position = `${which} of ${parts.length}`;
  const again = isKept ? "call t9_ipc_unread again for the next; " : "";
  const next = isLast
    ? `(${position}: the end)`
    : `(${position}: ${again}the whole file is ${folder}/${file})`;
  const text = messageFrame(mailbox, header, `${shown.join("")}\n${next}`);
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
  const { names, notes } = mailbox.owner;
  const folder = isArchived ? "archive" : "inbox";
  const answers = mailbox.answersTo(header.file);
  const from = `From the ${folder}${answers > 0 ? `, with ${plural(answers, "answer")}` : ""}:`;
  const whole = messageText(mailbox, header, body);
  const isLong = Buffer.byteLength(whole) + FRAME_BYTES > maxBytes;
  const page = isLong ? partText(around, { header, body }, { folder }) : undefined;
  const isWhole = page === undefined || page.isLast;
  return {
    text: `${from}\n${page?.text ?? whole}`,
    showsMail: true,
    shown: isWhole ? [{ header, body }] : [],
    unreadable: [],
    markRead() {
      if (page) mailbox.markPart(page.part.file, page.part.number, names);
      if (isWhole && !isArchived) mailbox.markRead([header], names, notes.conversation);
    },
  };
}

const shownBody = (body: string): string => neutralizeTags(body) || "(no body)";

const messageText = (mailbox: Mailbox, header: Header, body: string): string =>
  messageFrame(mailbox, header, shownBody(body));

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

/** The answered message's file name; also its subject and sender, if it is the owner's mail. */
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
