import type { Config } from "../config.ts";
import { findMessageFile } from "../core/addresses.ts";
import { UserError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import { isSameName } from "../core/names.ts";
import { quoteInput } from "../core/text.ts";
import { createSystem } from "../upkeep/system.ts";
import { type PastMessage, pastMail } from "./past-mail.ts";
import { printMessage } from "./print-message.ts";

const INDENT = "    ";
/** Replies to replies further down are not indented further. */
const MAX_LEVEL = 4;

interface LogOptions {
  readonly with?: string;
  /** Milliseconds. */
  readonly since?: number;
  /** Any message of an exchange. */
  readonly thread?: string;
  readonly json?: true;
}

/**
 * Prints past mail, newest last. A reply is indented below the message that it answers; one
 * exchange alone is printed in the order of sending. Throws UserError if `thread` is not a message.
 */
export function log(config: Config, text: string | undefined, options: LogOptions): void {
  const { since = Number.POSITIVE_INFINITY, thread, json } = options;
  const system = createSystem(config);
  const oldest = system.clock.now() - since;
  const isWanted = (message: PastMessage): boolean =>
    message.storedAt >= oldest && isWith(message, options.with) && contains(message, text);

  if (thread !== undefined) {
    // The message that names it, and those between, may be older than what is to be printed.
    const messages = threadOf(pastMail(config, system), thread).filter(isWanted);
    for (const message of messages) printMessage(message, { json });
    return;
  }

  const replies = groupByAnswered(pastMail(config, system, since).filter(isWanted));
  // A stack of our own: a chain of replies may be longer than the call stack is deep.
  const stack = entriesAt(0, replies.get(undefined));
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { message, level } = next;
    printMessage(message, { json, indent: INDENT.repeat(level) });
    const below = entriesAt(Math.min(level + 1, MAX_LEVEL), replies.get(message.header.file));
    for (const entry of below) stack.push(entry);
  }
}

/** Last message first, since the end of the stack is printed first. */
function entriesAt(level: number, messages: readonly Message[] = []) {
  return messages.map((message) => ({ message, level })).reverse();
}

const isWith = ({ header }: Message, name: string | undefined): boolean =>
  name === undefined || isSameName(header.from, name) || isSameName(header.to, name);

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
    const isKnown = reply_to !== undefined && files.has(reply_to) && reply_to < file;
    addTo(groups, isKnown ? reply_to : undefined, message);
  }
  return groups;
}

function addTo<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group) group.push(value);
  else groups.set(key, [value]);
}

/**
 * Every message that is connected with this one by answers, in the order of sending. Answers to a
 * message that is gone belong together too. Throws UserError if the message does not exist.
 */
function threadOf(messages: readonly PastMessage[], text: string): PastMessage[] {
  const neighbours = new Map<string, string[]>();
  for (const { header } of messages) {
    const { file, reply_to } = header;
    if (reply_to === undefined) continue;
    addTo(neighbours, file, reply_to);
    addTo(neighbours, reply_to, file);
  }

  const files = new Set(messages.map(({ header }) => header.file));
  const start = findMessageFile(text, files);
  if (start === undefined) {
    throw new UserError(
      `Nothing shown: ${quoteInput(text, 250)} is not a message in the inbox or the archive.`,
      "copy-file-name",
    );
  }
  const found = new Set([start]);
  // A set that grows is walked to its end.
  for (const file of found) for (const each of neighbours.get(file) ?? []) found.add(each);
  return messages.filter(({ header }) => found.has(header.file));
}
