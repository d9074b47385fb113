import { clean } from "../delivery/pointer.ts";
import type { Message } from "../mail/inbox.ts";
import { isForAll } from "../sessions/names.ts";
import { printJson, printText } from "./print.ts";

const COLORS = ["cyan", "green", "magenta", "blue", "yellow", "red"] as const;
/** Priorities and types that are worth a mark. */
const MARKED = ["low", "high", "critical", "escalation"];

export interface MessageFormat {
  readonly json?: true | undefined;
  /** Put before each line. */
  readonly indent?: string;
}

/** Prints one message for people: a colored line with sender and subject, the file, the body. */
export function printMessage({ header, body }: Message, format: MessageFormat): void {
  if (format.json) {
    printJson({ ...header, body });
    return;
  }

  const { from, to, subject, priority, type, created, file } = header;
  const marks = [priority, type].filter((mark) => MARKED.includes(mark)).join(", ");
  const recipient = isForAll(to) ? "EVERYBODY" : to;
  const head = `${from} → ${recipient}: ${subject}${marks && ` [${marks}]`}`;

  const { indent = "" } = format;
  printText(indent + clean(head), colorOf(from));
  const lines = `${created}  ${file}\n${body}\n`;
  printText(indent + lines.replace(/\n(?=.)/g, `\n${indent}`));
}

/** Always the same color for the same sender. */
function colorOf(sender: string): (typeof COLORS)[number] {
  const sum = [...sender].reduce((total, char) => total + (char.codePointAt(0) ?? 0), 0);
  return COLORS[sum % COLORS.length] ?? "cyan";
}
