/** A session's name is at most this long, in characters, as in the Python original. */
export const MAX_NAME = 64;

/** File systems take 255 bytes for a file's name, and `read/NAME` is one. */
const MAX_NAME_BYTES = 250;

export const isName = (text: string): boolean => /^[\p{L}\p{N}_-]{3,64}$/u.test(text);

/** Addressed to everybody: `all`, or the original's `broadcast`. */
export const isForAll = (to: string): boolean => to === "all" || to === "broadcast";

/** Do both denote one session? Letter case does not tell names apart: some file systems do not either. */
export const sameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** Length in characters as people and Python count them: code points. */
export const lengthOf = (text: string): number => [...text].length;

/** Why this cannot be a session's name, and what can; undefined: it can. */
export function nameProblem(name: string): string | undefined {
  if (isForAll(name.toLowerCase())) return `"${name}" means every session and cannot be one's name.`;
  if (isName(name)) {
    if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return undefined;
    return `"${name}" has over ${MAX_NAME_BYTES} bytes and cannot name a file. Choose a shorter name.`;
  }
  const length = lengthOf(name);
  const size = length < 3 || length > MAX_NAME ? ` It has ${length}.` : "";
  const shown = JSON.stringify([...name.replace(/\p{C}/gu, "\ufffd")].slice(0, 80).join(""));
  return `${shown} cannot be a name: a name has 3 to ${MAX_NAME} letters, digits, "_" or "-", and nothing else.${size} Try ${JSON.stringify(fit(name))}.`;
}

/** The nearest thing to `text` that is a name, with room for a suffix. */
export function fit(text: string): string {
  const words = text.normalize("NFC").replace(/[^\p{L}\p{N}_-]+/gu, "-");
  const name = [...words.replace(/^-+|-+$/g, "")].slice(0, MAX_NAME - 10).join("");
  return isName(name) && !isForAll(name.toLowerCase()) ? name : `session${name && `-${name}`}`;
}
