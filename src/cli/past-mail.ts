import { join } from "node:path";
import type { Config } from "../config.ts";
import { isTransient, messageOf } from "../core/errors.ts";
import { listIfThere } from "../core/files.ts";
import { bySendingOrder, isStamped, type Message, readMessage } from "../core/message.ts";
import type { System } from "../core/system.ts";

export interface PastMessage extends Message {
  /** In ms since 1970. The timestamp in its name is in the sender's time zone. */
  readonly storedAt: number;
}

/**
 * The messages in the archive and in these files of the inbox, in the order of sending. With
 * `sinceMs` only those of the last `sinceMs` milliseconds. Logs which files cannot be read just now.
 */
export function pastMail(
  { inbox, archive }: Config,
  system: System,
  sinceMs = Number.POSITIVE_INFINITY,
  inboxFiles: Iterable<string> = listIfThere(system.files, inbox).filter(isStamped),
): PastMessage[] {
  const oldest = system.clock.now() - sinceMs;
  const archived = listIfThere(system.files, archive).filter(isStamped);
  const messages = [
    ...archived.flatMap((file) => readSince(oldest, archive, file, system)),
    ...[...inboxFiles].flatMap((file) => readSince(oldest, inbox, file, system)),
  ];
  return messages.sort((a, b) => bySendingOrder(a.header, b.header));
}

function readSince(oldest: number, folder: string, file: string, system: System): PastMessage | [] {
  const path = join(folder, file);
  try {
    const storedAt = system.files.stat(path)?.mtimeMs;
    if (storedAt === undefined || storedAt < oldest) return [];
    return { ...readMessage(system, path, file), storedAt };
  } catch (error) {
    if (isTransient(error)) system.log(`${path} cannot be read just now: ${messageOf(error)}`);
    return []; // not a message, or moved since it was listed
  }
}
