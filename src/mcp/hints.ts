import type { Hint, UserError } from "../core/errors.ts";

/** The next step after a refusal, in the terms of the tools. */
const HINTS: Record<Hint, string> = {
  "list-sessions": "t9_ipc_who lists who is online.",
  "allow-unknown":
    "To leave the message for a session that is still to come, repeat with allow_unknown: true.",
  "copy-file-name":
    "Copy the file name from the message or from the answer of t9_ipc_send. t9_ipc_unread shows what is unread.",
};

export const refusalText = ({ message, hint }: UserError): string =>
  hint ? `${message} ${HINTS[hint]}` : message;
