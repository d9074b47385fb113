import { chmodSync, existsSync, lstatSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { applyEdits, modify } from "jsonc-parser";
import { reasonOf, statOf, withLock, writeWhole } from "../../files.ts";

type Place = readonly (string | number)[];

/** What a backup says where there was no file; no object, so that it cannot be the text of one. */
const NONE = "null";
const backupOf = (path: string): string => `${path}.t9-ipc-backup`;
const textOf = (path: string): string | undefined =>
  existsSync(path) ? readFileSync(path, "utf8") : undefined;
export const parse = (text = "") => JSON.parse(text.trim() || "{}");

/**
 * Reads a settings file of Claude Code's; one that is missing or empty says nothing yet. `path` is where it really
 * is, since it may be a link to somebody's dotfiles. Throws where it is not a JSON object.
 */
export function readJson<T>(named: string): { path: string; json: Partial<T> } {
  try {
    const path = lstatSync(named, { throwIfNoEntry: false }) ? realpathSync(named) : named;
    const json = parse(textOf(path));
    if (Object.prototype.toString.call(json) !== "[object Object]")
      throw new SyntaxError("it is no object");
    return { path, json };
  } catch (error) {
    const problem = error instanceof SyntaxError ? "is not valid JSON" : "cannot be read";
    throw new Error(
      `${named} ${problem} (${reasonOf(error)}). Nothing was changed: mend it first.`,
    );
  }
}

/**
 * The text with another value at that place, one more in a list, or without the value where it is undefined. What
 * stands around it stays to the byte. Not for taking one element out of a list: the library cuts in the wrong place.
 */
export function withValue(text: string, place: Place, value: unknown): string {
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? "  ";
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const formattingOptions = { eol, insertSpaces: !indent.includes("\t"), tabSize: indent.length };
  const options = { isArrayInsertion: typeof place.at(-1) === "number" };
  const plain = modify(text, [...place], value, options);
  // The library can indent the value, but moves the neighbours with it where they stand otherwise.
  const indented = applyEdits(
    text,
    modify(text, [...place], value, { ...options, formattingOptions }),
  );
  const { offset = 0, length = 0 } = plain[0] ?? {};
  const isPretty = text.trim().includes("\n") || text.trim().length < 3;
  const isKept =
    isPretty &&
    indented.startsWith(text.slice(0, offset)) &&
    indented.endsWith(text.slice(offset + length));
  return isKept ? indented : applyEdits(text, plain);
}

/** Changes a file under the lock that Claude Code takes too, and never without. Undefined stands for no file. */
async function edit(path: string, change: (text?: string) => string | undefined): Promise<void> {
  const mode = statOf(path)?.mode ?? 0o600;
  const work = (isLocked: boolean): void => {
    if (!isLocked)
      throw new Error(`${path} was not changed: another program holds ${path}.lock. Call again.`);
    const text = change(textOf(path));
    if (text === undefined) rmSync(path, { force: true });
    else {
      writeWhole(path, text);
      chmodSync(path, mode);
    }
  };
  await withLock(path, () => {}, work);
}

/** Keeps the file as it is for `restore`. Where it names us already, an earlier copy is the one to keep. */
export function keepBackup(path: string): void {
  const text = textOf(path);
  if (!text?.includes("t9-ipc") || !existsSync(backupOf(path)))
    writeWhole(backupOf(path), text ?? NONE);
}

export async function setValue(path: string, place: Place, value: unknown): Promise<void> {
  keepBackup(path);
  await edit(path, (text = "") => withValue(text, place, value));
}

/** What the file said before us; undefined where we have not been in it. */
export function readBackup<T>(path: string): Partial<T> | undefined {
  const text = textOf(backupOf(path));
  return text === undefined ? undefined : (parse(text) ?? {});
}

/** Takes our part out. Where the rest says what the file said before us, it is as it was, to the byte. */
export async function restore(path: string, takeOut: (text: string) => string): Promise<void> {
  const before = textOf(backupOf(path));
  await edit(path, (now) => {
    const rest = now && takeOut(now);
    if (before === undefined || !isDeepStrictEqual(meaning(rest), meaning(before))) return rest;
    return before === NONE ? undefined : before;
  });
  rmSync(backupOf(path), { force: true });
}

/** What a text says, without the empty lists and objects that a value which was taken out has left behind. */
function meaning(text?: string): unknown {
  const isEmpty = (value: unknown): boolean =>
    typeof value === "object" && Object.keys(value ?? {}).length === 0;
  return JSON.parse(text?.trim() || "{}", (_, value) => (isEmpty(value) ? undefined : value));
}
