import { rmSync } from "node:fs";
import { applyEdits, modify } from "jsonc-parser";
import { messageOf } from "../../core/errors.ts";
import { diskFiles } from "../../core/files.ts";
import { createLock } from "../../core/lock.ts";
import {
  keepBackup,
  readBackup,
  readText,
  removeBackup,
  replaceText,
  resolveLink,
} from "../user-file.ts";

/** A place in a JSON file: keys, and at its end perhaps an index of a list. */
type Place = readonly (string | number)[];

/**
 * Reads a settings file of Claude Code. A missing or empty one reads as an empty object. `path` is
 * the file behind links. Throws if it is not a JSON object.
 */
export function readJsonFile<T>(named: string): { path: string; json: Partial<T> } {
  try {
    const path = resolveLink(named);
    const json = parseJson(readText(path));
    if (Object.prototype.toString.call(json) !== "[object Object]") {
      throw new SyntaxError("it is not an object");
    }
    return { path, json: json as Partial<T> };
  } catch (error) {
    const problem = error instanceof SyntaxError ? "is not valid JSON" : "cannot be read";
    const reason = messageOf(error);
    throw new Error(`${named} ${problem} (${reason}). Nothing was changed: fix it first.`);
  }
}

/** Sets the value at a place, after a backup. An index at the end of a list adds to the list. */
export async function setValue(path: string, place: Place, value: unknown): Promise<void> {
  keepBackup(path);
  await edit(path, (text) => withValue(text, place, value));
}

/** The file before our first change; undefined if we have not changed it. */
export function readJsonBackup<T>(path: string): Partial<T> | undefined {
  const text = readBackup(path);
  return text === undefined ? undefined : (parseJson(text) as Partial<T>);
}

/**
 * Sets the value at a place back to what it was, or removes it if `former` is undefined, and
 * removes the backup. Empty objects that were not there before are removed too, and so is an empty
 * file.
 */
export async function restoreValue(path: string, place: Place, former: unknown): Promise<void> {
  const backup = readBackup(path) ?? "";
  await edit(path, (text) => {
    let restored = withValue(text, place, former);
    for (const [key, value] of Object.entries(parseJson(restored))) {
      if (isEmpty(value) && !(key in parseJson(backup))) {
        restored = withValue(restored, [key], undefined);
      }
    }
    return backup.trim() === "" && isEmpty(parseJson(restored)) ? undefined : restored;
  });
  removeBackup(path);
}

function parseJson(text: string): object {
  return JSON.parse(text.trim() || "{}");
}

const isEmpty = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;

/** The value at a place; undefined if it, or anything above it, is missing. */
function valueAt(text: string, place: Place): unknown {
  return place.reduce<unknown>(
    (value, key) => (value as Record<string | number, unknown> | undefined)?.[key],
    parseJson(text),
  );
}

/** The text with another value at that place, in the file's own indentation and line ends. */
function withValue(text: string, place: Place, value: unknown): string {
  // jsonc-parser throws if there is nothing to remove.
  if (value === undefined && valueAt(text, place) === undefined) return text;

  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? "  ";
  const edits = modify(text, [...place], value, {
    isArrayInsertion: typeof place.at(-1) === "number",
    formattingOptions: {
      eol: text.includes("\r\n") ? "\r\n" : "\n",
      insertSpaces: !indent.includes("\t"),
      tabSize: indent.length,
    },
  });
  return applyEdits(text, edits);
}

/**
 * Changes a file under the lock that Claude Code acquires too, and never without it. If `change`
 * returns undefined, the file is removed.
 */
async function edit(path: string, change: (text: string) => string | undefined): Promise<void> {
  const { withLock } = createLock(diskFiles, () => {});
  await withLock(path, (isLocked) => {
    if (!isLocked) {
      throw new Error(
        `${path} was not changed: another program holds ${path}.lock. Try again in a moment.`,
      );
    }

    const before = readText(path);
    const text = change(before);
    if (text === undefined) rmSync(path, { force: true });
    else if (text !== before) replaceText(path, text);
  });
}
