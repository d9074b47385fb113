import { isMessageFile } from "./message.ts";
import { isKnownForm, isSameName, meansEveryone, meansSelf, type Name } from "./names.ts";

/** Quotes, `@`, list marks and the like that a model or a person puts around a name. */
const DECORATION_BEFORE = /^(?:[\s"'`“”‘’<@]|- )+/u;
const DECORATION_AFTER = /[\s"'`“”‘’>:,]+$/u;

/** No file system has longer names. */
const MAX_FILE_NAME_BYTES = 255;

const withoutDecoration = (text: string): string =>
  text.normalize("NFC").replace(DECORATION_BEFORE, "").replace(DECORATION_AFTER, "");

/**
 * The name that is meant by what somebody wrote: an exact match if there is one, otherwise the one
 * name that differs in decoration or spelling only.
 *
 * @returns undefined if nobody has that name, or if several could be meant
 */
export function findMeantName(text: string, known: Iterable<Name>): Name | undefined {
  const wanted = text.normalize("NFC");
  const plain = withoutDecoration(text);
  const names = [...new Set(known)];
  for (const spelling of [wanted, plain]) {
    const exact = names.find((name) => name === spelling);
    if (exact) return exact;
  }
  const similar = names.filter((name) => isSameName(name, plain));
  return similar.length === 1 ? similar[0] : undefined;
}

/** The names in a text that separates them by commas. */
export const splitNames = (text: string): string[] =>
  text.split(",").filter((name) => name.trim() !== "");

/** The address as it would be written properly. */
export function toAddress(text: string): Name | "all" | undefined {
  const plain = withoutDecoration(text);
  if (meansEveryone(plain)) return "all";
  return isKnownForm(plain) ? plain : undefined;
}

/** True if somebody who has these names means himself: by "self", "me", or one of them. */
export const meansOneself = (text: string, names: Iterable<Name>): boolean =>
  meansSelf(withoutDecoration(text)) || findMeantName(text, names) !== undefined;

/** Every session that works in the same project. */
export const meansHere = (text: string): boolean =>
  withoutDecoration(text).toLowerCase() === "here";

/**
 * The names that begin like the wanted one or contain it, for a suggestion. Letter case is ignored.
 */
export function similarNames(text: string, known: Iterable<Name>): Name[] {
  const wanted = withoutDecoration(text).toLowerCase();
  if (wanted === "") return [];
  const [stem = wanted] = wanted.split(/[-_]/);
  return [...new Set(known)].filter((name) => {
    const lower = name.toLowerCase();
    return lower.includes(wanted) || wanted.includes(lower) || lower.startsWith(stem);
  });
}

/**
 * The message file that is meant by what somebody wrote: a folder in front, quotes and a missing
 * `.md` are forgiven. Never a path.
 *
 * @returns undefined if it cannot be a message file
 */
export function toMessageFile(text: string): string | undefined {
  const plain = withoutDecoration(text);
  const [, base = ""] = /([^/\\]*)$/.exec(plain) ?? [];
  const file = base.endsWith(".md") ? base : `${base}.md`;
  const isFileName = !file.includes("\0") && Buffer.byteLength(file) <= MAX_FILE_NAME_BYTES;
  return isFileName && isMessageFile(file) ? file : undefined;
}

/**
 * The one of these files that is meant. A name that is cut short is forgiven if only one of them
 * starts with it.
 *
 * @returns undefined if none is meant, or if several could be
 */
export function findMessageFile(text: string, files: ReadonlySet<string>): string | undefined {
  const file = toMessageFile(text);
  if (file === undefined || files.has(file)) return file;
  const start = file.slice(0, -".md".length);
  const similar = [...files].filter((each) => each.startsWith(start));
  return similar.length === 1 ? similar[0] : undefined;
}
