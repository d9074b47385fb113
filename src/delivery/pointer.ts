import { connect } from "node:net";
import type { Config } from "../config.ts";
import type { Header } from "../mail/message.ts";
import { isName } from "../sessions/names.ts";

/** Mail pointed to and not read by then is pointed to once more. */
export const REMIND_MS = 5 * 60_000;
const MAX_SUBJECT_SHOWN = 80;
const SHOWN = 3;
const SOCKET_TIMEOUT_MS = 1000;
/** How long the other side may keep the connection once all is written; a refusal comes sooner. */
const SOCKET_CLOSE_MS = 100;

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
  const [count, them] = headers.length === 1 ? ["1 new message", "it"] : [`${headers.length} new messages`, "them"];
  const from = `${senders.slice(0, SHOWN).join(", ")}${others}`;
  return `t9-ipc: ${count}, from ${from}: ${subjects.join(", ")}. Read ${them} with ${toolPrefix}t9_ipc_unread.`;
}

/**
 * Posts a text to the session's own inbox socket: a line with the token, a line with the text, as was measured. No
 * answer comes, so this resolves when the system has taken all of it and the other side has not reset the
 * connection; it rejects in every other case.
 */
export function post(socket: NonNullable<Config["socket"]>, text: string): Promise<void> {
  const lines = [
    { type: "auth", token: socket.token },
    { type: "user", message: { role: "user", content: text } },
  ].map((line) => `${JSON.stringify(line)}\n`);
  return new Promise((resolve, reject) => {
    const connection = connect(socket.path);
    connection.setTimeout(SOCKET_TIMEOUT_MS, () => connection.destroy());
    connection.on("error", reject);
    connection.on("close", () => {
      if (connection.writableFinished) resolve();
      else reject(new Error("the inbox socket does not answer"));
    });
    connection.end(lines.join(""), () => connection.setTimeout(SOCKET_CLOSE_MS)).resume();
  });
}
