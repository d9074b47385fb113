import matter from "gray-matter";
import { isForAll, lengthOf, MAX_NAME } from "../sessions/names.ts";
import { isOurName, localTime, stamp, wallClock } from "../stamp.ts";

/** Limits, in characters (Unicode code points), as in the Python original. */
export const MAX_SUBJECT = 200;
export const MAX_BODY = 10_240;
/** A larger file is no message: read neither whole nor in part. */
export const MAX_FILE_BYTES = 1 << 20;
const MAX_FILE_NAME_BYTES = 200;
const MAX_HEADER_CHARS = 8192;
/** A file that appears so long after its stamp was put there by somebody else than its sender. */
const LATE_MS = 60_000;

export const PRIORITIES = ["normal", "high", "critical"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A message without its body, as the inbox keeps it. */
export interface Header {
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly type: string;
  readonly subject: string;
  readonly priority: string;
  readonly created: string;
  /** Its place in the order of sending: a stamp. */
  readonly at: string;
  /** When it came into the folder: a stamp. The same as `at`, but for a file that was put there later. */
  readonly came: string;
  /** Modification time, ms, of a file not named by us: with the name it tells one `note.md` from the next. */
  readonly mtime?: number | undefined;
}

/** A message to be sent. */
export interface Draft {
  readonly from: string;
  readonly to: string;
  readonly type: "ipc" | "broadcast" | "escalation";
  readonly subject: string;
  readonly body: string;
  readonly priority: Priority;
}

/** What read marks know a message by: its file name; with a hand-given name, its time too. */
export function idOf({ file, mtime }: Header): string {
  if (mtime === undefined) return file;
  // One line, and no remark: somebody's name may hold anything.
  return `${/^#|\p{Cc}/u.test(file) ? JSON.stringify(file) : file}\t${mtime}`;
}

/** Order of sending. */
export function inOrder(a: Header, b: Header): number {
  const [x, y] = a.at === b.at ? [a.file, b.file] : [a.at, b.at];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** A body as it is shown: at most MAX_BODY characters, and then how many more there are, and in which file. */
export function shownBody(body: string, file: string): string {
  const more = lengthOf(body) - MAX_BODY;
  if (more <= 0) return body;
  return `${[...body].slice(0, MAX_BODY).join("")}\n[${more} more characters: read the file inbox/${file}]`;
}

/** File name of a message: sorts by sending order, readable, at most 200 bytes in any script. */
export function fileName(at: string, id: string, draft: Pick<Draft, "from" | "to" | "subject">): string {
  const head = `${at}-${id}-${plain(draft.from, 16)}-${plain(draft.to, 16)}-`;
  const subject = [...plain(draft.subject, 40)];
  while (Buffer.byteLength(`${head}${subject.join("")}.md`) > MAX_FILE_NAME_BYTES) subject.pop();
  return `${head}${subject.join("")}.md`;
}

/** What of a name or subject goes into a file name: letters, digits, `_`, `-`; the rest becomes `_`. */
export function plain(text: string, length: number): string {
  return [...text.normalize("NFC").replace(/[^\p{L}\p{N}_-]/gu, "_")].slice(0, length).join("");
}

/** The whole file: valid YAML, and right for a reader that takes it line by line. */
export function formatMessage({ from, to, type, subject, priority, body }: Draft, created: string): string {
  const header = `from: ${from}\nto: ${to}\ntype: ${type}\nsubject: ${scalar(subject)}\npriority: ${priority}`;
  return `---\n${header}\ncreated: ${created}\n---\n\n${body}\n`;
}

/** The text as it is where YAML and a line reader take it for itself; double-quoted elsewhere. */
function scalar(text: string): string {
  if (!/[\p{Cc}\p{Cs}\u2028\u2029\ufeff]/u.test(text) && readsAsItself(text)) return text;
  // JSON is YAML; these characters would break a line for some readers.
  const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ufeff]/g, escaped);
}

function readsAsItself(text: string): boolean {
  if (text !== text.trim()) return false;
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
 * Takes a message file apart. `ctime` (ms) tells when it came, and with `mtime` places a file that has no stamp.
 * Throws an Error that says why the text is no message.
 */
export function parseMessage(file: string, text: string, ctime: number, mtime: number) {
  const open = /^---(?:ya?ml)?[ \t]*\r?\n/.exec(text)?.[0];
  if (!open) throw new Error(text.startsWith("---") ? "its header is not plain YAML" : "it has no header (---)");
  const rest = text.slice(open.length);
  const close = /(?:^|\n)---[ \t]*(?:\r?\n|$)/.exec(rest.slice(0, MAX_HEADER_CHARS));
  if (!close) throw new Error(`its header is not closed (---) within ${MAX_HEADER_CHARS} characters`);
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
  const ours = isOurName(file);
  const changed = stamp(wallClock(ctime));
  const at = ours ? file.slice(0, 21) : changed;
  const header: Header = {
    file,
    from,
    to,
    type: fields.type || (isForAll(to) ? "broadcast" : "ipc"),
    subject: fields.subject ?? "",
    priority: fields.priority || "normal",
    created: fields.created || localTime(mtime),
    at,
    came: at < stamp(wallClock(ctime - LATE_MS)) ? changed : at,
    mtime: ours ? undefined : Math.floor(mtime),
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
    if (key !== undefined && value !== undefined) fields[key.toLowerCase()] ??= unquote(value.trim());
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
