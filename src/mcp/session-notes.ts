import type { Mailbox } from "../core/mailbox.ts";
import type { LostName, Presence } from "../core/presence.ts";
import { plural } from "../core/text.ts";

/**
 * Returns notes that are added to the answer of any tool, each once: that a name of the session has
 * a new holder; and at the first call, mail for names that were last used in its folder and that
 * nobody has now.
 */
export function createSessionNotes(mailbox: Mailbox, presence: Presence, folder: () => string) {
  let isFirst = true;
  let told: LostName | undefined;
  return (): string[] => {
    const { lostName } = presence;
    const lost = lostName && lostName !== told ? [lostNameNote(lostName, presence)] : [];
    told = lostName;
    const abandoned = isFirst ? tryAbandonedNotes(mailbox, folder()) : [];
    isFirst = false;
    return [...lost, ...abandoned];
  };
}

function lostNameNote({ name: former, holder }: LostName, { name }: Presence): string {
  const who = holder === former ? "another session" : holder;
  return `The name ${former}, which this conversation had, belongs to ${who} now, with its mail. This session is ${name}.`;
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
