import { createInterface } from "node:readline/promises";
import { stripVTControlCharacters, styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];

/**
 * Embeddings, overrides and isolates, which make a line read in another order than it is written.
 */
const BIDI_OVERRIDES = /[\u202a-\u202e\u2066-\u2069]/g;
/** Characters that JSON allows in a text and that change the terminal, or how a line reads. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

const escapeCharacter = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** The text without control characters, and with visible escapes for bidirectional overrides. */
export const toPlainText = (text: string): string =>
  stripVTControlCharacters(text)
    .replace(/[^\P{Cc}\n\t]/gu, "")
    .replace(BIDI_OVERRIDES, escapeCharacter);

/** The same in one line. */
export const toPlainLine = (text: string): string =>
  toPlainText(text.replace(/[\r\n\t\u2028\u2029]+/g, " "));

/** True for a terminal that shows colors, unless NO_COLOR is set. */
const hasColors = (): boolean => process.stdout.isTTY === true && process.stdout.hasColors();

/** The text in a style, if standard output shows styles. */
export const styled = (style: Style, text: string): string =>
  hasColors() ? styleText(style, text, { validateStream: false }) : text;

/** Prints a text, without the characters by which a message could change the terminal. */
export function printText(text: string, style?: Style): void {
  const plain = toPlainText(text);
  console.log(style ? styled(style, plain) : plain);
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): void {
  console.log(toJsonLine(value));
}

export const toJsonLine = (value: unknown): string =>
  JSON.stringify(value).replace(UNSAFE_IN_JSON, escapeCharacter);

/**
 * Asks a question that is answered with yes or no; Enter means yes. Without a terminal nobody can
 * answer, so the result is false.
 */
export async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return false;

  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const closed = new Promise<string>((resolve) => terminal.once("close", () => resolve("no")));
  const answer = await Promise.race([terminal.question(`${question} [Y/n] `), closed]);
  terminal.close();

  return /^(y(es)?)?$/i.test(answer.trim());
}
