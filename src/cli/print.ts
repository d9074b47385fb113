import { spawnSync } from "node:child_process";
import { createInterface } from "node:readline/promises";
import { stripVTControlCharacters, styleText } from "node:util";
import type { Config } from "../config.ts";

/** What stands behind a command: the values of its options, by name. */
export type Options = Readonly<Record<string, string | boolean | undefined>>;
export type Print = (what: unknown, style?: Parameters<typeof styleText>[0]) => number;

/** Takes one finding of `doctor`: what was looked at, what is wrong if anything is, what to do then, how bad it is. */
export type Report = (
  what: string,
  problem?: string | false,
  remedy?: string,
  bad?: "warning" | "broken",
) => void;
/** A part of `doctor`. What it throws is reported as broken, and the parts after it still run. */
export type Check = (report: Report, config: Config) => void | Promise<void>;

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

/** Runs a program to its end, 30 s at most; `code` is null where there is no such program. */
export function run(program: string, ...args: string[]): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    timeout: 30_000,
  });
  return { code: status, said: `${stdout ?? ""}${stderr ?? ""}`.trim() };
}
