import type { Mailbox } from "../core/mailbox.ts";
import type { LostName, Presence } from "../core/presence.ts";
import { plural } from "../core/text.ts";

/** A note has at most this many names. */
const MAX_NAMES = 3;

/**
 * Returns notes that are added to the answer of any tool, each once: that a name of the session has
 * a new holder; and at the first call, mail for names that were last used in its folder and that
 * nobody has now.
 */
export function createSessionNotes(mailbox: Mailbox, presence: Presence) {
  let isFirst = true;
  let announced: LostName | undefined;
  return (): string[] => {
    const { lostName } = presence;
    const lost = lostName && lostName !== announced ? [lostNameNote(lostName, presence)] : [];
    announced = lostName;
    const abandoned = isFirst ? tryAbandonedNote(mailbox, presence.agent.folder()) : [];
    isFirst = false;
    return [...lost, ...abandoned];
  };
}

function lostNameNote({ name: former, holder }: LostName, { name }: Presence): string {
  const who = holder === former ? "another session" : holder;
  return `The name ${former}, which this conversation had, belongs to ${who} now, with its mail. This session is ${name}.`;
}

function tryAbandonedNote(mailbox: Mailbox, folder: string): string[] {
  try {
    const abandoned = mailbox.abandonedIn(folder);
    const [first] = abandoned;
    if (!first) return [];
    const names = abandoned
      .slice(0, MAX_NAMES)
      .map(({ name, unread }) => `${name} (${plural(unread, "message")})`);
    const more = abandoned.length - names.length;
    const listed = names.join(", ") + (more > 0 ? ` and ${more} more` : "");
    return [
      `Mail waits for names that last worked in this folder and are not running: ${listed}. To look: t9_ipc_unread with session_id "${first.name}". To take over a name and its mail: t9_ipc_set_name with name "${first.name}".`,
    ];
  } catch {
    return []; // the folder cannot be read, and the tools say so
  }
}
