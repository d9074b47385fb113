import type { Mailbox } from "../core/mailbox.ts";
import type { Presence } from "../core/presence.ts";
import { plural } from "../core/text.ts";

/**
 * Returns what a session is told once, with the answer to its first call: that its former name has
 * a new holder, and mail for names that were last used in its folder and that nobody has now.
 */
export function createFirstCallNotes(mailbox: Mailbox, presence: Presence, folder: () => string) {
  let isFirst = true;
  return (): string[] => {
    if (!isFirst) return [];
    isFirst = false;
    return [...lostNameNote(presence), ...tryAbandonedNotes(mailbox, folder())];
  };
}

function lostNameNote({ lostName, name }: Presence): string[] {
  if (lostName === undefined) return [];
  const { name: former, holder } = lostName;
  const who = holder === former ? "another session" : holder;
  return [
    `The name ${former}, which this conversation had, belongs to ${who} now, with its mail. This session is ${name}.`,
  ];
}

function tryAbandonedNotes(mailbox: Mailbox, folder: string): string[] {
  try {
    return mailbox.abandonedIn(folder).map(({ name, unread }) => {
      const waits = `${plural(unread, "message")} ${unread === 1 ? "waits" : "wait"}`;
      return `${waits} for ${name}, which last worked in this folder and is not running. To look: t9_ipc_unread with session_id "${name}". To take over its name and mail: t9_ipc_set_name with name "${name}".`;
    });
  } catch {
    return []; // the folder cannot be read, and the tools say so
  }
}
