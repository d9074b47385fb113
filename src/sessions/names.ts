/** A text that can be a session's name: `isName` tells. */
export type Name = string & { readonly [named]: true };
declare const named: unique symbol;

/** A session's name is at most this long, in characters, as in the Python original. */
export const MAX_NAME = 64;

/** File systems take 255 bytes for a file's name, and `read/NAME` is one. */
const MAX_NAME_BYTES = 250;

/** "From user" in a pointer to mail would read as if the user, or the program itself, had spoken. */
const SPEAKERS = ["user", "human", "system", "assistant", "claude"];

/** Can a session have this name? Where not, `nameProblem` says why. */
export const isName = (text: string): text is Name =>
  /^[\p{L}\p{N}_-]{3,64}$/u.test(text) &&
  Buffer.byteLength(text) <= MAX_NAME_BYTES &&
  !isReserved(text.toLowerCase());

const isReserved = (lower: string): boolean => isForAll(lower) || SPEAKERS.includes(lower);

/** Addressed to everybody: `all`, or the original's `broadcast`. */
export const isForAll = (to: string): boolean => to === "all" || to === "broadcast";

/** Do both denote one session? Letter case does not tell names apart: some file systems do not either. */
export const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** Length in characters as people and Python count them: code points. */
export const lengthOf = (text: string): number => [...text].length;

/** Why this cannot be a session's name, and what can; undefined where it can. */
export function nameProblem(name: string): string | undefined {
  if (isName(name)) return undefined;
  const lower = name.toLowerCase();
  if (isForAll(lower)) return `"${name}" means every session and cannot be one's name.`;
  if (isReserved(lower))
    return `"${name}" cannot be a name: mail would seem to come from it. Try "${fit(name)}".`;
  const shown = JSON.stringify([...name.replace(/\p{C}/gu, "\ufffd")].slice(0, 80).join(""));
  const size = `It has ${lengthOf(name)}, in ${Buffer.byteLength(name)} bytes`;
  return `${shown} cannot be a name: a name has 3 to ${MAX_NAME} letters, digits, "_" or "-", and nothing else, in at most ${MAX_NAME_BYTES} bytes. ${size}. Try "${fit(name)}".`;
}

/** The nearest thing to `text` that is a name, with room for a suffix. */
export function fit(text: string): Name {
  const words = text.normalize("NFC").replace(/[^\p{L}\p{N}_-]+/gu, "-");
  const name = [...words.replace(/^-+|-+$/g, "")].slice(0, MAX_NAME - 10).join("");
  return isName(name) ? name : (`session${name && `-${name}`}` as Name);
}
