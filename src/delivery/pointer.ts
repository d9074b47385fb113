import { connect } from "node:net";
import type { Config } from "../config.ts";
import type { Header } from "../mail/message.ts";

/** Mail pointed to and not read by then is pointed to once more. */
export const REMIND_MS = 5 * 60_000;
const MAX_SUBJECT_SHOWN = 80;
const SHOWN = 3;
const SOCKET_TIMEOUT_MS = 1000;

/** One line of plain text: no control characters, no tags, cut at `max` characters with `…`. */
export function clean(text: string, max = Number.POSITIVE_INFINITY): string {
  const line = [...text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").replace(/[<>"]/g, "'")];
  return line.length > max ? `${line.slice(0, max - 1).join("")}…` : line.join("");
}

/** What tells a session of its mail without carrying it: how many, from whom, about what, and the tool to call. */
export function pointer(headers: readonly Header[], toolPrefix: string): string {
  const senders = [...new Set(headers.map(({ from }) => clean(from)))];
  const others = senders.length > SHOWN ? ` and ${senders.length - SHOWN} more` : "";
  const subjects = headers.slice(0, SHOWN).map(({ subject }) => `“${clean(subject, MAX_SUBJECT_SHOWN)}”`);
  if (headers.length > SHOWN) subjects.push("…");
  const [count, them] = headers.length === 1 ? ["1 new message", "it"] : [`${headers.length} new messages`, "them"];
  const from = `${senders.slice(0, SHOWN).join(", ")}${others}`;
  return `t9-ipc: ${count}, from ${from}: ${subjects.join(", ")}. Read ${them} with ${toolPrefix}t9_ipc_unread.`;
}

/**
 * Posts a text to the session's own inbox socket. The format was measured (there is no answer to wait for):
 * a line with the token, a line with the text. Rejects where it could not be written.
 */
export function post(socket: NonNullable<Config["socket"]>, text: string): Promise<void> {
  const auth = JSON.stringify({ type: "auth", token: socket.token });
  const message = JSON.stringify({ type: "user", message: { role: "user", content: text } });
  return new Promise((resolve, reject) => {
    const connection = connect(socket.path);
    connection.setTimeout(SOCKET_TIMEOUT_MS, () => connection.destroy(new Error("the inbox socket does not answer")));
    connection.on("error", reject);
    connection.on("connect", () => connection.end(`${auth}\n${message}\n`, resolve));
    connection.resume();
  });
}
