import { MAX_BODY_LENGTH, type Message } from "../core/message.ts";
import { lengthOf, neutralizeTags, oneLine } from "../core/text.ts";

/** `params` of `notifications/claude/channel`. Every value has to be a string. */
export interface ChannelNotification {
  readonly content: string;
  readonly meta: Record<string, string>;
}

/** The body is the content, since the terminal shows its first line; the header is the meta. */
export function toChannelNotification({ header, body }: Message): ChannelNotification {
  const { file, reply_to, ...fields } = header;
  const meta = { ...fields, ...(reply_to !== undefined && { reply_to }), filename: file };
  return {
    content: neutralizeTags(shortenBody(body, `inbox/${file}`) || header.subject),
    meta: Object.fromEntries(Object.entries(meta).map(([key, value]) => [key, oneLine(value)])),
  };
}

/**
 * At most MAX_BODY_LENGTH characters of a body, then how many were left out, and the path of the
 * whole message.
 */
function shortenBody(body: string, path: string): string {
  const more = lengthOf(body) - MAX_BODY_LENGTH;
  if (more <= 0) return body;
  const start = [...body].slice(0, MAX_BODY_LENGTH).join("");
  return `${start}\n[${more} more characters: read the file ${path}]`;
}
