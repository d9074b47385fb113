import { lengthOf, quoteInput } from "./text.ts";

declare const isValidName: unique symbol;

/** A text that can be a session's name: `isName` checks it. */
export type Name = string & { readonly [isValidName]: true };

/** In characters, as in the Python original. */
export const MAX_NAME_LENGTH = 64;
/** `read/NAME` is a file, and file systems take names of 255 bytes. */
const MAX_NAME_BYTES = 250;
/** How many characters a suffix may take: `-` and up to twelve digits. */
const SUFFIX_ROOM = 13;

const EVERYONE = new Set(["all", "broadcast"]);
/** Words for every session. They address `all` and are not names. */
const WORDS_FOR_EVERYONE = new Set(["everyone", "everybody", "*"]);
/** Words for "this session" or "this place", which a name would make ambiguous. */
const POINTING_WORDS = new Set(["here", "self", "me"]);
/** "From user" would read as if the user, or the program itself, had spoken. */
const SPEAKERS = new Set(["user", "human", "system", "assistant", "claude", "t9-ipc"]);
/** Windows opens a device instead of a file with one of these names. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)$/;

const VALID = /^[\p{L}\p{N}_-]{3,64}$/u;
/** Two hieroglyphs are letters, and blank. */
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\u{13441}\u{13442}]/gu;

/** Addressed to every session: `all`, or the Python original's `broadcast`. */
export const isEveryone = (to: string): boolean => EVERYONE.has(to);

export const meansEveryone = (word: string): boolean =>
  EVERYONE.has(word.toLowerCase()) || WORDS_FOR_EVERYONE.has(word.toLowerCase());

export const meansSelf = (word: string): boolean => /^(self|me)$/i.test(word);

/** A key that is equal for all spellings of a name: letter case and width do not count. */
export const nameKey = (name: string): string => name.normalize("NFKC").toLowerCase();

export const isSameName = (a: string, b: string): boolean => nameKey(a) === nameKey(b);

/** True if a message may come from or go to this name; new names have to pass `isName`. */
export const isKnownForm = (text: string): text is Name =>
  VALID.test(text) &&
  text.search(INVISIBLE) < 0 &&
  Buffer.byteLength(text) <= MAX_NAME_BYTES &&
  !EVERYONE.has(nameKey(text));

/** True if a session can take this name. */
export const isName = (text: string): text is Name =>
  isKnownForm(text) && whyReserved(text) === undefined;

function whyReserved(text: string): string | undefined {
  const key = nameKey(text);
  if (meansEveryone(key)) return "means every session";
  if (POINTING_WORDS.has(key)) return "has a meaning of its own in an address";
  if (SPEAKERS.has(key)) return "would make mail seem to come from it";
  if (DEVICE.test(key)) return "is a device on Windows";
  return undefined;
}

/** Why this cannot be a session's name, and one that can; undefined if it can. */
export function explainInvalidName(text: string): string | undefined {
  const reason = whyInvalidName(text);
  return reason && `${reason} Try "${toName(text)}".`;
}

/** Why this cannot be a session's name; undefined if it can. */
export function whyInvalidName(text: string): string | undefined {
  if (isName(text)) return undefined;
  const shown = quoteInput(text);
  const reserved = whyReserved(text);
  if (reserved) return `${shown} cannot be a session's name: it ${reserved}.`;
  const rule = `3 to ${MAX_NAME_LENGTH} visible letters, digits, "_" or "-"`;
  const size = `${lengthOf(text)} characters in ${Buffer.byteLength(text)} bytes`;
  return `${shown} cannot be a session's name: a name has ${rule}, in at most ${MAX_NAME_BYTES} bytes; this has ${size}.`;
}

/** The closest name that a session can take, with room for a suffix. */
export function toName(text: string): Name {
  const words = text
    .normalize("NFC")
    .replace(INVISIBLE, "")
    .replace(/[^\p{L}\p{N}_-]+/gu, "-")
    .replace(/^-+|-+$/g, "");
  const name = [...words].slice(0, MAX_NAME_LENGTH - SUFFIX_ROOM).join("");
  return isName(name) ? name : (`session${name && `-${name}`}` as Name);
}

/** The name itself if it is free, otherwise the first of NAME-2, NAME-3, … that is free. */
export function firstFreeName(name: Name, isTaken: (name: Name) => boolean): Name {
  let free = name;
  for (let n = 2; isTaken(free); n++) {
    const suffix = `-${n}`;
    free = `${[...name].slice(0, MAX_NAME_LENGTH - suffix.length).join("")}${suffix}` as Name;
  }
  return free;
}
