import { createInterface } from "node:readline/promises";
import { stripVTControlCharacters, styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];

/** Prints a text, without the control characters by which a message could change the terminal. */
export function printText(text: string, style?: Style): void {
  const plain = stripVTControlCharacters(text).replace(/[^\P{Cc}\n\t]/gu, "");
  console.log(style ? styleText(style, plain) : plain);
}

/** Prints a value as one line of JSON. */
export function printJson(value: unknown): void {
  console.log(JSON.stringify(value));
}

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
