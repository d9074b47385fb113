import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import matter from "gray-matter";
import { isEveryone, MAX_NAME_LENGTH, type Name, nameKey } from "./names.ts";
import type { System } from "./system.ts";
import { lengthOf } from "./text.ts";
import { localTime, type Timestamp } from "./timestamps.ts";

/** Limits in characters (Unicode code points), as in the Python original. */
export const MAX_SUBJECT_LENGTH = 200;
export const MAX_BODY_LENGTH = 10_240;
/** A larger file is not a message. */
const MAX_FILE_BYTES = 1 << 20;
const MAX_HEADER_LENGTH = 8192;

const MAX_FILE_NAME_BYTES = 200;
const NAME_LENGTH_IN_FILE_NAME = 16;
const SUBJECT_LENGTH_IN_FILE_NAME = 40;
/** The sender's name follows the timestamp, `-`, 8 hex digits and `-`. */
const SENDER_POSITION = 31;

export const PRIORITIES = ["low", "normal", "high", "critical"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A message without its body. Every value is the text in the file. */
export interface Header {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly type: string;
  readonly subject: string;
  readonly priority: string;
  readonly created: string;
  /** The file name of the message that this one answers. */
  readonly reply_to?: string | undefined;
}

export interface Message {
  readonly header: Header;
  readonly body: string;
}

/** A message before it has a file. */
export interface Draft {
  readonly from: Name;
  readonly to: Name | "all";
  readonly type: "ipc" | "broadcast" | "escalation";
  readonly subject: string;
  readonly body: string;
  readonly priority: Priority;
  readonly reply_to?: string | undefined;
}

/** Hides temporary and hidden files. Anything that is a path is not a message file. */
export const isMessageFile = (file: string): boolean =>
  /^[^.].*\.md$/s.test(file) && basename(file) === file;

/**
 * True for names that our servers or the Python original gave: such a file was renamed into place
 * and is complete. Other files were put there by hand, and may still be being written.
 */
export const isStamped = (file: string): boolean => /^\d{8}T\d{12}-[0-9a-f]{8}-/.test(file);

export const bySendingOrder = (a: Header, b: Header): number =>
  a.file < b.file ? -1 : a.file > b.file ? 1 : 0;

const toFileNamePart = (text: string, length: number): string =>
  [...text.normalize("NFC").replace(/[^\p{L}\p{N}_-]/gu, "_")].slice(0, length).join("");

const nameInFileName = (name: string): string => toFileNamePart(name, NAME_LENGTH_IN_FILE_NAME);

/** A file name that sorts in the order of sending and has at most 200 bytes in any script. */
export function messageFileName(
  timestamp: Timestamp,
  { from, to, subject }: Pick<Header, "from" | "to" | "subject">,
): string {
  const id = randomBytes(4).toString("hex");
  const start = `${timestamp}-${id}-${nameInFileName(from)}-${nameInFileName(to)}-`;
  const rest = [...toFileNamePart(subject, SUBJECT_LENGTH_IN_FILE_NAME)];
  while (Buffer.byteLength(`${start}${rest.join("")}.md`) > MAX_FILE_NAME_BYTES) rest.pop();
  return `${start}${rest.join("")}.md`;
}

/**
 * Returns a test for file names of messages to these names or to everyone. Names are shortened in
 * file names, so a match has to be confirmed in the header. A mismatch is certain.
 */
export function mayBeAddressedTo(names: readonly string[]): (file: string) => boolean {
  const parts = [...names, "all", "broadcast"].map((name) => `-${nameKey(nameInFileName(name))}-`);
  return (file) => {
    const rest = nameKey(file.slice(SENDER_POSITION));
    return parts.some((part) => rest.includes(part));
  };
}

/** The same for messages from these names. */
export function mayBeSentBy(names: readonly string[]): (file: string) => boolean {
  const starts = names.map((name) => `${nameInFileName(name)}-`);
  return (file) => starts.some((start) => file.startsWith(start, SENDER_POSITION));
}

/** The text of a message file: valid YAML that a line reader, like the original's, reads alike. */
export function formatMessage(draft: Draft, created: string): string {
  const { from, to, type, subject, priority, reply_to, body } = draft;
  const fields = {
    from,
    to,
    type,
    subject: quoteIfNeeded(subject),
    priority,
    created,
    ...(reply_to !== undefined && { reply_to }),
  };
  const lines = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`);
  return `---\n${lines.join("")}---\n\n${body}\n`;
}

/**
 * Text that YAML reads as itself stays as it is. Anything else is a JSON string, which is YAML too.
 */
function quoteIfNeeded(text: string): string {
  if (isPlainYaml(text)) return text;
  // Some readers break a line at these characters.
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function isPlainYaml(text: string): boolean {
  if (/[\p{Cc}\p{Cs}\u2028\u2029\ufeff]/u.test(text)) return false;
  // A line reader would take the escapes of a quoted text literally, so most texts stay plain.
  // A colon or a number sign beside a space would end the value, and spaces at its ends are
  // dropped.
  if (/: |:$| #|\s$/.test(text)) return false;
  // Words that one of the YAML versions takes for a boolean or for nothing.
  if (/^(y|n|yes|no|on|off|true|false|null)$/i.test(text)) return false;
  // What starts with a digit may be a number, a time or a date, unless a word follows.
  if (/^\d/.test(text)) return / \p{L}{2}/u.test(text);
  return /^[^\s\-?:,[\]{}#&*!|>'"%@`=~.+<]/.test(text);
}

/**
 * Parses a message file. `fallbackCreated` stands in for a missing `created`. Throws an Error that
 * says why the text is not a message.
 */
export function parseMessage(file: string, text: string, fallbackCreated: string): Message {
  if (text.includes("\0")) throw new Error("it contains NUL bytes");
  const { headerText, body } = split(text);
  const fields = parseFields(headerText);
  const { type, subject, priority, created, reply_to } = fields;
  const from = fields.from?.normalize("NFC");
  const to = fields.to?.normalize("NFC");
  if (!from || !to) throw new Error(`its header has no "${from ? "to" : "from"}"`);
  if (lengthOf(from) > MAX_NAME_LENGTH || lengthOf(to) > MAX_NAME_LENGTH) {
    throw new Error(`"from" or "to" has over ${MAX_NAME_LENGTH} characters`);
  }
  const header: Header = {
    file,
    from,
    to,
    type: type || (isEveryone(to) ? "broadcast" : "ipc"),
    subject: subject ?? "",
    priority: priority || "normal",
    created: created || fallbackCreated,
    ...(reply_to && { reply_to }),
  };
  return { header, body };
}

/** Reads a message file. Throws what the system throws, or an Error that says why it is not one. */
export function readMessage(
  { files, clock }: Pick<System, "files" | "clock">,
  path: string,
  file: string,
): Message {
  const { text, isUtf8, mtimeMs } = files.read(path, MAX_FILE_BYTES);
  if (!isUtf8) throw new Error("it is not UTF-8");
  return parseMessage(file, text, localTime(clock, mtimeMs));
}

function split(text: string): { headerText: string; body: string } {
  const open = /^---(?:ya?ml)?[ \t]*\r?\n/.exec(text)?.[0];
  if (!open) {
    const isOther = text.startsWith("---");
    throw new Error(isOther ? "its header is not plain YAML" : "it does not start with ---");
  }
  const rest = text.slice(open.length);
  const close = /(?:^|\n)---[ \t]*(?:\r?\n|$)/.exec(rest.slice(0, MAX_HEADER_LENGTH));
  if (!close)
    throw new Error(`its header is not closed by --- within ${MAX_HEADER_LENGTH} characters`);
  const body = rest.slice(close.index + close[0].length);
  // One line end before the body and one after it belong to the format.
  const ends = open.endsWith("\r\n") ? /^\r?\n|\r?\n$/g : /^\n|\n$/g;
  return { headerText: rest.slice(0, close.index), body: body.replace(ends, "") };
}

/**
 * gray-matter finds the header and hands it to our engine. It would run a `---js` header as code,
 * so it is given nothing but a header that was checked before, and always with options: without
 * them it caches every input forever.
 */
function parseFields(headerText: string): Partial<Record<string, string>> {
  const lines = headerText.split("\n").filter((line) => line.trim());
  const { data } = matter(`---\n${lines.join("\n")}\n---\n`, {
    language: "yaml",
    engines: { yaml: parseLines },
  });
  return data;
}

/** `key: value` lines. Every value is text, and nothing is evaluated. The first of a key counts. */
function parseLines(header: string): Record<string, string> {
  const fields: Record<string, string> = Object.create(null);
  for (const line of header.split("\n")) {
    const [, key, value] = /^([A-Za-z_][\w-]*)[ \t]*:(.*)$/s.exec(line) ?? [];
    if (key !== undefined && value !== undefined) {
      fields[key.toLowerCase()] ??= unquote(value.trim());
    }
  }
  return fields;
}

/** Removes quotes that enclose the whole value. A subject that merely contains some keeps them. */
function unquote(value: string): string {
  if (/^'(?:[^']|'')*'$/.test(value)) return value.slice(1, -1).replaceAll("''", "'");
  if (!/^".*"$/s.test(value)) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}
