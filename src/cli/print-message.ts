import type { Header, Message } from "../core/message.ts";
import { isEveryone } from "../core/names.ts";
import { printJson, printText, toPlainLine } from "./print.ts";

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

  const { from, subject, created, file } = header;
  const head = `${from} → ${recipientOf(header)}: ${subject}${marksOf(header)}`;

  const { indent = "" } = format;
  printText(indent + toPlainLine(head), colorOf(from));
  const lines = `${created}  ${file}\n${body}\n`;
  printText(indent + lines.replace(/\n(?=.)/g, `\n${indent}`));
}

export const recipientOf = ({ to }: Header): string => (isEveryone(to) ? "EVERYBODY" : to);

/** ` [high]` behind a subject, or nothing. */
export function marksOf({ priority, type }: Header): string {
  const marks = [priority, type].filter((mark) => MARKED.includes(mark)).join(", ");
  return marks && ` [${marks}]`;
}

/** Always the same color for the same sender. */
export function colorOf(sender: string): (typeof COLORS)[number] {
  const sum = [...sender].reduce((total, char) => total + (char.codePointAt(0) ?? 0), 0);
  return COLORS[sum % COLORS.length] ?? "cyan";
}
