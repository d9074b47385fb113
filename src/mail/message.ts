import { sep } from "node:path";
import matter from "gray-matter";
import { isForAll, lengthOf, MAX_NAME, type Name } from "../sessions/names.ts";
import { localTime, type Stamp } from "../stamp.ts";

/** Limits, in characters (Unicode code points), as in the Python original. */
export const MAX_SUBJECT = 200;
export const MAX_BODY = 10_240;
/** A larger file is no message: read neither whole nor in part. */
export const MAX_FILE_BYTES = 1 << 20;
const MAX_FILE_NAME_BYTES = 200;
const MAX_HEADER_CHARS = 8192;
/** Where the sender's name starts in a file's name: behind the stamp, `-`, 8 hexadecimal digits and `-`. */
const FROM_AT = 31;
const NAME_IN_FILE = 16;
/** Before this, there is no separator in front of the recipient's name. */
const TO_AT = FROM_AT + 1;

export const PRIORITIES = ["low", "normal", "high", "critical"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A message without its body. Every value is text as it stands in the file; "" where the file has none. */
export interface Header {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly type: string;
  readonly subject: string;
  readonly priority: string;
  readonly created: string;
  /** The file name of the message that this one answers. */
  readonly reply_to: string;
}

/** A message to be sent. */
export interface Draft {
  readonly from: Name;
  readonly to: Name | "all";
  readonly type: "ipc" | "broadcast" | "escalation";
  readonly subject: string;
  readonly body: string;
  readonly priority: Priority;
  readonly reply_to?: string | undefined;
}

/** Order of sending: file names start with their stamps. */
export const inOrder = (a: Header, b: Header): number =>
  a.file < b.file ? -1 : a.file > b.file ? 1 : 0;

/** May this name be a message at all? Hides temporaries and editors' leavings, and is never a path. */
export const isMessageName = (file: string): boolean =>
  file.endsWith(".md") && !file.startsWith(".") && !file.includes("/") && !file.includes(sep);

/**
 * Is this a name that our servers or the Python original gave? Such a file was renamed into place and is complete.
 * Any other file was put there by a person, may still be being written, and is given a stamped name later.
 */
export const isStamped = (file: string): boolean => /^\d{8}T\d{12}-[0-9a-f]{8}-/.test(file);

/** A body as it is shown: at most MAX_BODY characters, and then how many more there are, and in which file. */
export function shownBody(body: string, file: string): string {
  const more = lengthOf(body) - MAX_BODY;
  if (more <= 0) return body;
  return `${[...body].slice(0, MAX_BODY).join("")}\n[${more} more characters: read the file inbox/${file}]`;
}

/** File name of a message: sorts by sending order, readable, at most 200 bytes in any script. `id`: 8 hex digits. */
export function fileName(
  stamp: Stamp,
  id: string,
  { from, to, subject }: Pick<Header, "from" | "to" | "subject">,
) {
  const head = `${stamp}-${id}-${plain(from, NAME_IN_FILE)}-${plain(to, NAME_IN_FILE)}-`;
  const rest = [...plain(subject, 40)];
  while (Buffer.byteLength(`${head}${rest.join("")}.md`) > MAX_FILE_NAME_BYTES) rest.pop();
  return `${head}${rest.join("")}.md`;
}

/**
 * What a file's name tells of its sender and recipient without reading the file; to be asked of many files. Names are
 * cut at 16 characters and may hold the `-` that separates them, so a yes may be wrong: the header decides. A no is
 * certain as long as nobody edited the header under an old name.
 */
export function mayBeFrom(names: readonly string[]): (file: string) => boolean {
  const starts = names.map((name) => `${inFileName(name)}-`);
  return (file) => starts.some((start) => file.startsWith(start, FROM_AT));
}

export function mayBeTo(names: readonly string[]): (file: string) => boolean {
  const parts = names.map((name) => `-${inFileName(name)}-`);
  return (file) => parts.some((part) => file.includes(part, TO_AT));
}

/** Is one of these the recipient that a file's name tells? `names` holds names as `inFileName` writes them. */
export function isToOneOf(file: string, names: ReadonlySet<string>): boolean {
  for (let start = file.indexOf("-", FROM_AT); start > 0; start = file.indexOf("-", start + 1)) {
    let end = file.indexOf("-", start + 1);
    for (; end > 0 && end - start <= NAME_IN_FILE + 1; end = file.indexOf("-", end + 1)) {
      if (names.has(file.slice(start + 1, end))) return true;
    }
  }
  return false;
}

/** A session's name as it stands in file names. */
export const inFileName = (name: string): string => plain(name, NAME_IN_FILE);

export const mayBeToAll = mayBeTo(["all", "broadcast"]);

/** What of a name or subject goes into a file name: letters, digits, `_`, `-`; the rest becomes `_`. */
function plain(text: string, length: number): string {
  if (/^[\w-]*$/.test(text)) return text.slice(0, length);
  return [...text.normalize("NFC").replace(/[^\p{L}\p{N}_-]/gu, "_")].slice(0, length).join("");
}

/** The whole file: valid YAML, and right for a reader that takes it line by line. */
export function formatMessage(draft: Draft, created: string): string {
  const { from, to, type, subject, priority, reply_to, body } = draft;
  const header = `from: ${from}\nto: ${to}\ntype: ${type}\nsubject: ${scalar(subject)}\npriority: ${priority}`;
  const answers = reply_to ? `\nreply_to: ${reply_to}` : "";
  return `---\n${header}\ncreated: ${created}${answers}\n---\n\n${body}\n`;
}

/** The text as it is where YAML and a line reader take it for itself; double-quoted elsewhere. */
function scalar(text: string): string {
  if (!/[\p{Cc}\p{Cs}\u2028\u2029\ufeff]/u.test(text) && readsAsItself(text)) return text;
  // JSON is YAML; these characters would break a line for some readers.
  const escaped = (char: string): string =>
    `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ufeff]/g, escaped);
}

function readsAsItself(text: string): boolean {
  if (text !== text.trim()) return false;
  if (/^[a-z][\w ./()',;!?-]*$/i.test(text) && text.includes(" ")) return true; // nearly every subject: words
  // Words of YAML 1.1 that js-yaml reads as text and other readers do not: booleans, numbers with `_` or `:`
  if (/^(y|n|yes|no|on|off|=|[-+]?\.?\d[\w.:]*)$/i.test(text)) return false;
  try {
    // Options, even empty, keep gray-matter from caching every input for ever.
    return matter(`---\nsubject: ${text}\n---\n`, {}).data.subject === text;
  } catch {
    return false;
  }
}

/**
 * Takes a message file apart. `mtime` (ms since 1970) stands in for a missing `created`. Throws an Error that says
 * why the text is no message.
 */
export function parseMessage(
  file: string,
  text: string,
  mtime: number,
): { header: Header; body: string } {
  const open = /^---(?:ya?ml)?[ \t]*\r?\n/.exec(text)?.[0];
  if (!open)
    throw new Error(
      text.startsWith("---") ? "its header is not plain YAML" : "it has no header (---)",
    );
  const rest = text.slice(open.length);
  const close = /(?:^|\n)---[ \t]*(?:\r?\n|$)/.exec(rest.slice(0, MAX_HEADER_CHARS));
  if (!close)
    throw new Error(`its header is not closed (---) within ${MAX_HEADER_CHARS} characters`);
  const lines = rest.slice(0, close.index).split("\n");
  // Only our engine, only for a header checked above: gray-matter would run `---js` as code.
  const { data: fields } = matter(`---\n${lines.filter((line) => line.trim()).join("\n")}\n---\n`, {
    language: "yaml",
    engines: { yaml: { parse: parseFields } },
  }) as { data: Partial<Record<string, string>> };
  const from = fields.from?.normalize("NFC") ?? "";
  const to = fields.to?.normalize("NFC") ?? "";
  if (!from || !to) throw new Error(`its header has no ${from ? "to" : "from"}`);
  const isLong = lengthOf(from) > MAX_NAME || lengthOf(to) > MAX_NAME;
  if (isLong) throw new Error(`from or to has over ${MAX_NAME} characters`);
  const header: Header = {
    file,
    from,
    to,
    type: fields.type || (isForAll(to) ? "broadcast" : "ipc"),
    subject: fields.subject ?? "",
    priority: fields.priority || "normal",
    created: fields.created || localTime(mtime),
    reply_to: fields.reply_to ?? "",
  };
  // One line end before the body and one after are the format's; they are CR LF where the header's are.
  const ends = open.endsWith("\r\n") ? /^\r?\n|\r?\n$/g : /^\n|\n$/g;
  return { header, body: rest.slice(close.index + close[0].length).replace(ends, "") };
}

/** `key: value` lines; every value is text. Nothing is nested, expanded or executed. The first of a key counts. */
function parseFields(header: string): Record<string, string> {
  const fields: Record<string, string> = Object.create(null);
  for (const line of header.split("\n")) {
    const [, key, value] = /^([A-Za-z_][\w-]*)[ \t]*:(.*)$/s.exec(line) ?? [];
    if (key !== undefined && value !== undefined)
      fields[key.toLowerCase()] ??= unquote(value.trim());
  }
  return fields;
}

/** Takes off quotes that enclose the whole value; a subject that merely contains some keeps them. */
function unquote(value: string): string {
  if (/^'(?:[^']|'')*'$/.test(value)) return value.slice(1, -1).replaceAll("''", "'");
  if (!/^".*"$/s.test(value)) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}
