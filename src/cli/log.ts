import type { Config } from "../config.ts";
import type { Message } from "../mail/inbox.ts";
import { sameName } from "../sessions/names.ts";
import { pastMail } from "./past-mail.ts";
import { printMessage } from "./print-message.ts";

interface LogOptions {
  readonly with?: string;
  /** Milliseconds. */
  readonly since?: number;
  readonly json?: true;
}

/** Prints past mail, newest last; a reply is indented below the message that it answers. */
export function log(config: Config, text: string | undefined, options: LogOptions): void {
  const messages = pastMail(config, options.since).filter(
    (message) => isWith(message, options.with) && contains(message, text),
  );

  const replies = groupByAnswered(messages);
  const printThread = (answered: string | undefined, indent: string): void => {
    for (const message of replies.get(answered) ?? []) {
      printMessage(message, { json: options.json, indent });
      printThread(message.header.file, `${indent}    `);
    }
  };
  printThread(undefined, "");
}

const isWith = ({ header }: Message, name: string | undefined): boolean =>
  name === undefined || sameName(header.from, name) || sameName(header.to, name);

const contains = ({ header, body }: Message, text = ""): boolean =>
  `${header.subject}\n${body}`.toLowerCase().includes(text.toLowerCase());

/**
 * The messages by the file that they answer. Under undefined are those that answer none of
 * `messages`, and those that claim to answer a later one, which would run in a circle.
 */
function groupByAnswered(messages: readonly Message[]): Map<string | undefined, Message[]> {
  const files = new Set(messages.map(({ header }) => header.file));
  const groups = new Map<string | undefined, Message[]>();
  for (const message of messages) {
    const { file, reply_to } = message.header;
    const answered = files.has(reply_to) && reply_to < file ? reply_to : undefined;
    groups.set(answered, [...(groups.get(answered) ?? []), message]);
  }
  return groups;
}
