/** Length in characters as people and Python count them: Unicode code points. */
export const lengthOf = (text: string): number => [...text].length;

/** One line for a terminal, a tag or a list: no control characters, no tags; cut with `…`. */
export function oneLine(text: string, maxLength = Number.POSITIVE_INFINITY): string {
  const characters = [
    ...text
      .replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
      .replace(/\p{Bidi_Control}/gu, "\ufffd")
      .replace(/[<>"]/g, "'"),
  ];
  if (characters.length <= maxLength) return characters.join("");
  return `${characters.slice(0, maxLength - 1).join("")}…`;
}

/** Somebody else's words, in quotation marks that they cannot close. */
export const quote = (text: string, maxLength = 80): string =>
  `“${oneLine(text, maxLength).replace(/[\p{Quotation_Mark}`´ʺ˝ˮ′-‷❛-❠]/gu, "'")}”`;

/** What somebody wrote as an argument, for a refusal: in quotes, without invisible characters. */
export const quoteInput = (text: string, maxLength = 80): string =>
  JSON.stringify([...text.replace(/\p{C}/gu, "\ufffd")].slice(0, maxLength).join(""));

export const plural = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? "" : "s"}`;

/** "12 s", "3 min", "5 h", "2 days". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Tags with which Claude Code marks what it says itself, or what came from somebody else. */
const CLIENT_TAGS =
  /<(?=\s*\/?\s*(?:system-reminder|system|channel|task-notification|teammate-message|cross-session-message|local-command-\w+|command-\w+|user-prompt-submit-hook)\b)/gi;

/** The same text, in which no tag can be taken for the client's. Other markup stays as it is. */
export const neutralizeTags = (text: string): string => text.replace(CLIENT_TAGS, "&lt;");
