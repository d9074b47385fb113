import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { errorCode } from "../files.ts";
import { type Message, readMessage } from "../mail/inbox.ts";
import { inOrder, isStamped } from "../mail/message.ts";

/**
 * The messages in the archive and in these files of the inbox, in the order of sending. With
 * `sinceMs` only those of the last `sinceMs` milliseconds, by the time of the file: the timestamp
 * in its name is in the sender's time zone.
 */
export function pastMail(
  { inbox, archive }: Config,
  sinceMs = Number.POSITIVE_INFINITY,
  inboxFiles: Iterable<string> = filesIn(inbox),
): Message[] {
  const oldest = Date.now() - sinceMs;
  const messages = [
    ...filesIn(archive).flatMap((file) => readSince(oldest, archive, file)),
    ...[...inboxFiles].flatMap((file) => readSince(oldest, inbox, file)),
  ];
  return messages.sort((a, b) => inOrder(a.header, b.header));
}

function readSince(oldest: number, folder: string, file: string): Message | [] {
  const path = join(folder, file);
  try {
    return statSync(path).mtimeMs < oldest ? [] : readMessage(path, file);
  } catch {
    return []; // not a message, or moved since it was listed
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(isStamped);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
