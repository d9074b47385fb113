import { createInterface } from "node:readline/promises";
import { stripVTControlCharacters, styleText } from "node:util";
import type { Print } from "../agents/report.ts";

/** What stands behind a command: the values of its options, by name. */
export type Options = Readonly<Record<string, string | boolean | undefined>>;

/** Prints a text, without what a message could do to a terminal, or a value as one line of JSON; gives 0. */
export const print: Print = (what, style) => {
  const clean = (text: string): string =>
    stripVTControlCharacters(text).replace(/[^\P{Cc}\n\t]/gu, "");
  const text = typeof what === "string" ? clean(what) : JSON.stringify(what);
  console.log(style && typeof what === "string" ? styleText(style, text) : text);
  return 0;
};

/** Asks a question that takes yes or no, yes by default. Without a terminal nobody is there to ask: gives false. */
export async function ask(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const gone = new Promise<string>((resolve) => terminal.once("close", () => resolve("no")));
  const answer = await Promise.race([terminal.question(`${question} [Y/n] `), gone]);
  terminal.close();
  return /^(y(es)?)?$/i.test(answer.trim());
}
