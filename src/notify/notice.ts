import type { Header } from "../core/message.ts";
import { isName } from "../core/names.ts";
import { plural, quote } from "../core/text.ts";

const MAX_SHOWN = 3;

/** Says how many messages wait, from whom and about what, and which tool reads them. No bodies. */
export function mailNotice(headers: readonly Header[], toolPrefix: string): string {
  const senders = [...new Set(headers.map(({ from }) => (isName(from) ? from : quote(from))))];
  const others = senders.length > MAX_SHOWN ? ` and ${senders.length - MAX_SHOWN} more` : "";
  const subjects = headers.slice(0, MAX_SHOWN).map(({ subject }) => quote(subject));
  if (headers.length > MAX_SHOWN) subjects.push("…");
  const from = `${senders.slice(0, MAX_SHOWN).join(", ")}${others}`;
  const count = plural(headers.length, "new message");
  const them = headers.length === 1 ? "it" : "them";
  const tool = `${toolPrefix}t9_ipc_unread`;
  return `t9-ipc: ${count}, from ${from}: ${subjects.join(", ")}. Read ${them} with ${tool}.`;
}
