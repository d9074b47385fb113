import { isMessageFile } from "./message.ts";
import { isEveryone, isKnownForm, isSameName, meansEveryone, type Name, toName } from "./names.ts";

/** Quotes, `@`, list marks and the like that a model or a person puts around a name. */
const DECORATION_BEFORE = /^(?:[\s"'`“”‘’<@]|- )+/u;
const DECORATION_AFTER = /[\s"'`“”‘’>:,]+$/u;

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

/** The address as it would be written properly. */
export function toAddress(text: string): Name | "all" | undefined {
  const plain = withoutDecoration(text);
  if (meansEveryone(plain) || isEveryone(plain.toLowerCase())) return "all";
  return isKnownForm(plain) ? plain : undefined;
}

export const suggestedAddress = (text: string): Name => toName(withoutDecoration(text));

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
  return isMessageFile(file) ? file : undefined;
}
