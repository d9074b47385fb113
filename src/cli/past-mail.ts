import { join } from "node:path";
import type { Config } from "../config.ts";
import { isMissing } from "../core/errors.ts";
import { tryStat } from "../core/files.ts";
import { bySendingOrder, isStamped, type Message, readMessage } from "../core/message.ts";
import type { System } from "../core/system.ts";

/**
 * The messages in the archive and in these files of the inbox, in the order of sending. With
 * `sinceMs` only those of the last `sinceMs` milliseconds, by the time of the file: the timestamp
 * in its name is in the sender's time zone.
 */
export function pastMail(
  { inbox, archive }: Config,
  system: System,
  sinceMs = Number.POSITIVE_INFINITY,
  inboxFiles: Iterable<string> = filesIn(inbox, system),
): Message[] {
  const oldest = system.clock.now() - sinceMs;
  const messages = [
    ...filesIn(archive, system).flatMap((file) => readSince(oldest, archive, file, system)),
    ...[...inboxFiles].flatMap((file) => readSince(oldest, inbox, file, system)),
  ];
  return messages.sort((a, b) => bySendingOrder(a.header, b.header));
}

function readSince(oldest: number, folder: string, file: string, system: System): Message | [] {
  const path = join(folder, file);
  try {
    const { mtimeMs = 0 } = tryStat(system.files, path) ?? {};
    return mtimeMs < oldest ? [] : readMessage(system, path, file);
  } catch {
    return []; // not a message, or moved since it was listed
  }
}

function filesIn(folder: string, { files }: System): string[] {
  try {
    return files.list(folder).filter(isStamped);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
