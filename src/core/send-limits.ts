import { UserError } from "./errors.ts";
import { type Draft, MAX_BODY_LENGTH, MAX_SUBJECT_LENGTH } from "./message.ts";
import type { Clock } from "./system.ts";
import { lengthOf } from "./text.ts";

/** The same message again is refused for this long. */
const REPEAT_MS = 60_000;
/** The time span in which a session's messages are counted, to warn it when they are many. */
const COUNT_MS = 10 * 60_000;

/**
 * Two sessions that thank each other forever are a real failure. Counted by this process's own
 * clock, since timestamps in file names are places and not times.
 */
export class SendLimits {
  /** Messages sent lately: recipient, subject and body. */
  readonly #recent = new Map<string, { at: number; file: string | undefined }>();
  readonly #counts: { at: number; count: number }[] = [];

  constructor(private readonly clock: Clock) {}

  /** Throws UserError if one of these was sent within the last minute. */
  rejectRepeats(drafts: readonly Draft[]): void {
    const now = this.clock.elapsed();
    for (const [key, { at }] of this.#recent) if (now - at > REPEAT_MS) this.#recent.delete(key);
    for (const draft of drafts) {
      const before = this.#recent.get(keyOf(draft));
      if (!before) continue;
      const ago = `${Math.round((now - before.at) / 1000)} s ago`;
      const where = before.file ? ` (${before.file})` : "";
      throw new UserError(
        `Not sent again: the same message (recipient, subject and body) went out ${ago}${where}. If there is nothing new to say, say nothing; otherwise change the text, or wait ${REPEAT_MS / 1000} s.`,
      );
    }
  }

  /** @param file undefined while the message is being stored */
  note(draft: Draft, file?: string): void {
    this.#recent.set(keyOf(draft), { at: this.clock.elapsed(), file });
  }

  /** The message was not stored, so it may be sent again. */
  forget(draft: Draft): void {
    this.#recent.delete(keyOf(draft));
  }

  /** Adds to the messages of the last ten minutes, and returns how many these are now. */
  count(messages: number): number {
    const now = this.clock.elapsed();
    this.#counts.push({ at: now, count: messages });
    while (this.#counts[0] && now - this.#counts[0].at > COUNT_MS) this.#counts.shift();
    return this.#counts.reduce((sum, { count }) => sum + count, 0);
  }
}

const keyOf = ({ to, subject, body }: Draft): string => JSON.stringify([to, subject, body]);

/** Throws UserError if a message cannot have this subject or this body. */
export function checkTexts({ subject, body }: { subject: string; body: string }): void {
  if (subject.trim() === "") {
    throw new UserError("Not sent: the subject is empty. Say in a few words what it is about.");
  }
  checkText("subject", subject, MAX_SUBJECT_LENGTH, "Shorten it and put the rest into the body.");
  checkText(
    "body",
    body,
    MAX_BODY_LENGTH,
    "Send it in parts, or write it to a file and send the path.",
  );
}

function checkText(what: string, text: string, limit: number, remedy: string): void {
  const length = lengthOf(text);
  if (length > limit) {
    throw new UserError(
      `Not sent: the ${what} has ${length} characters, the limit is ${limit}. ${remedy}`,
    );
  }
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new UserError(
      `Not sent: the ${what} contains a NUL or half a character. Remove it and send again.`,
    );
  }
}
