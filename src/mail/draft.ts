import { distance } from "fastest-levenshtein";
import { isForAll, isName, lengthOf, type Name, nameProblem } from "../sessions/names.ts";
import { type Draft, MAX_BODY, MAX_SUBJECT, type Priority } from "./message.ts";

/** A refusal in words for Claude: what was wrong, what the limit is, what to do next. Nothing has happened. */
export class Refusal extends Error {}

/** Whose mailbox it is: a session of a server, or a person at the command line. */
export interface Owner {
  readonly name: Name;
  /** Its name and its earlier names. */
  readonly names: readonly Name[];
}

/** A message as a tool or a command asks for it. */
export interface Outgoing {
  readonly to: string;
  readonly subject: string;
  readonly body: string;
  readonly priority: Priority;
  readonly reply_to?: string | undefined;
  readonly escalate: boolean;
  readonly allowUnknown: boolean;
}

/** The message to store. Throws Refusal for a recipient that is no name, and for a text that is empty or too long. */
export function draftOf({ name: from, names }: Owner, message: Outgoing): Draft {
  const { to, subject, body, priority, reply_to, escalate } = message;
  const recipient = isForAll(to.toLowerCase()) ? "all" : to.normalize("NFC");
  if (recipient !== "all" && !isName(recipient)) {
    throw new Refusal(`Not sent: ${nameProblem(recipient)} t9_ipc_who lists who is online.`);
  }
  if (/^[ \t\r\n]*$/.test(subject)) {
    throw new Refusal("Not sent: the subject is empty. Say in a few words what it is about.");
  }
  check("subject", subject, MAX_SUBJECT, "Shorten it and put the rest into the body.");
  check("body", body, MAX_BODY, "Send it in parts, or write it to a file and send the path.");
  if (recipient !== "all" && names.includes(recipient)) {
    throw new Refusal(
      `Not sent: ${recipient} is this session itself. t9_ipc_who lists the others.`,
    );
  }
  const type = escalate ? "escalation" : recipient === "all" ? "broadcast" : "ipc";
  return { from, to: recipient, type, subject, body, priority, reply_to };
}

/** Throws Refusal for a text that is too long, or that no file can hold as it is. */
function check(what: string, text: string, limit: number, remedy: string): void {
  const length = lengthOf(text);
  if (length > limit) {
    throw new Refusal(
      `Not sent: the ${what} has ${length} characters, the limit is ${limit}. ${remedy}`,
    );
  }
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new Refusal(
      `Not sent: the ${what} has a NUL or half a character in it. Take it out and send again.`,
    );
  }
}

/** For a name that nobody has: the nearest that somebody has or had, and who is online. */
export function suggest(to: string, online: readonly string[], known: Iterable<string>): string {
  const near = [...new Set([...online, ...known])]
    .map((name) => ({ name, far: distance(name.toLowerCase(), to.toLowerCase()) }))
    .filter(
      ({ name, far }) =>
        far <= Math.max(2, to.length / 3) || name.includes(to) || to.includes(name),
    )
    .sort((a, b) => a.far - b.far)
    .slice(0, 3);
  const nearest =
    near.length > 0 ? `Did you mean ${near.map(({ name }) => name).join(", ")}? ` : "";
  return `${nearest}${online.length > 0 ? `Online: ${online.join(", ")}.` : "Nobody else is online."}`;
}
