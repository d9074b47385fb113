import type { Header } from "../mail/message.ts";
import { isName } from "../sessions/names.ts";

const MAX_SUBJECT_SHOWN = 80;
const SHOWN = 3;

/** One line of plain text: no control characters, no tags, cut at `max` characters with `…`. */
export function clean(text: string, max = Number.POSITIVE_INFINITY): string {
  const line = [...text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").replace(/[<>"]/g, "'")];
  return line.length > max ? `${line.slice(0, max - 1).join("")}…` : line.join("");
}

/** Somebody else's words, in quotation marks that they cannot close: no mark that anybody quotes with is in them. */
const quoted = (text: string): string =>
  `“${clean(text, MAX_SUBJECT_SHOWN).replace(/[\p{Quotation_Mark}`´ʺ˝ˮ′-‷❛-❠]/gu, "'")}”`;

/** What tells a session of its mail without carrying it: how many, from whom, about what, and the tool to call. */
export function pointer(headers: readonly Header[], toolPrefix: string): string {
  const senders = [...new Set(headers.map(({ from }) => (isName(from) ? from : quoted(from))))];
  const others = senders.length > SHOWN ? ` and ${senders.length - SHOWN} more` : "";
  const subjects = headers.slice(0, SHOWN).map(({ subject }) => quoted(subject));
  if (headers.length > SHOWN) subjects.push("…");
  const [count, them] =
    headers.length === 1 ? ["1 new message", "it"] : [`${headers.length} new messages`, "them"];
  const from = `${senders.slice(0, SHOWN).join(", ")}${others}`;
  return `t9-ipc: ${count}, from ${from}: ${subjects.join(", ")}. Read ${them} with ${toolPrefix}t9_ipc_unread.`;
}
