import { chmodSync, existsSync, lstatSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { applyEdits, modify } from "jsonc-parser";
import { reasonOf, statOf, withLock, writeWhole } from "../files.ts";

/** A JSON file of another program, in which we change a value of our own and keep every other byte. */
export interface JsonFile<T> {
  /** Where it really is: the name may be a link to somebody's dotfiles. */
  readonly path: string;
  readonly json: Partial<T>;
}

/** What the backup says where there was no file. */
const NONE = "null";
const backupOf = (path: string): string => `${path}.t9-ipc-backup`;
const textOf = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, "utf8") : undefined);
const parse = (text: string | undefined) => JSON.parse(text?.trim() || "{}");

/** Reads such a file; one that is missing or empty holds nothing yet. Throws where it is not a JSON object. */
export function readJson<T>(named: string): JsonFile<T> {
  try {
    const path = lstatSync(named, { throwIfNoEntry: false }) ? realpathSync(named) : named;
    const json = parse(textOf(path));
    if (typeof json !== "object" || json === null || Array.isArray(json)) throw new SyntaxError("it is not an object");
    return { path, json };
  } catch (error) {
    const problem = error instanceof SyntaxError ? "is not valid JSON" : "cannot be read";
    throw new Error(`${named} ${problem} (${reasonOf(error)}). Nothing was changed: mend it first.`);
  }
}

/** The text with another value at that place; undefined takes it out. What stands around it stays to the byte. */
export function withValue(text: string, place: (string | number)[], value: unknown): string {
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? "  ";
  const eol = text.includes("\r\n") ? "\r\n" : "\n";
  const formattingOptions = { eol, insertSpaces: !indent.includes("\t"), tabSize: indent.length };
  const isArrayInsertion = typeof place.at(-1) === "number" && value !== undefined;
  const edits = modify(text, place, value, { isArrayInsertion });
  // In its own lines the value reads best, but where its neighbours are not, the library would move them as well.
  const formatted = applyEdits(text, modify(text, place, value, { isArrayInsertion, formattingOptions }));
  const { offset = 0, length = 0 } = edits[0] ?? {};
  const isKept = formatted.startsWith(text.slice(0, offset)) && formatted.endsWith(text.slice(offset + length));
  return isKept ? formatted : applyEdits(text, edits);
}

/** Changes a file, under the lock that Claude Code takes too; without it, refuses. */
async function edit(path: string, change: (text: string | undefined) => string | undefined): Promise<void> {
  const mode = statOf(path)?.mode;
  await withLock(
    path,
    () => {},
    (isLocked) => {
      if (!isLocked) throw new Error(`${path} was not changed: another program holds ${path}.lock. Try again.`);
      const text = change(textOf(path));
      if (text === undefined) return rmSync(path, { force: true });
      writeWhole(path, text);
      if (mode !== undefined) chmodSync(path, mode);
    },
  );
}

/** Keeps the file as it is for `undo`, unless there is something of ours in it: then what is kept is older. */
export function keepBackup(path: string, hasOurs: boolean): void {
  if (!hasOurs || !existsSync(backupOf(path))) writeWhole(backupOf(path), textOf(path) ?? NONE);
}

/** What was in the file before us; undefined where we have not been in it. */
export function readBackup<T>(path: string): Partial<T> | undefined {
  const text = textOf(backupOf(path));
  return text === undefined ? undefined : (parse(text) ?? {});
}

export const setValue = (path: string, place: (string | number)[], value: unknown): Promise<void> =>
  edit(path, (text = "") => withValue(text, place, value));

/** Takes a change of ours out. Where the rest says what the file said before us, it is as it was, to the byte. */
export async function undo(path: string, takeOut: (text: string) => string): Promise<void> {
  const before = textOf(backupOf(path));
  await edit(path, (now) => {
    if (now === undefined) return undefined;
    const rest = takeOut(now);
    if (before === undefined || !isDeepStrictEqual(meaning(rest), meaning(before))) return rest;
    return before === NONE ? undefined : before;
  });
  rmSync(backupOf(path), { force: true });
}

/** What a JSON text says. Lists and objects with nothing in them are what an earlier value has left behind. */
function meaning(text: string): unknown {
  const isEmpty = (value: unknown): boolean => typeof value === "object" && Object.keys(value ?? {}).length === 0;
  return JSON.parse(text.trim() || "{}", (_, value) => (isEmpty(value) ? undefined : value));
}
