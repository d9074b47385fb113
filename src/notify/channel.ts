import { type Message, shortenBody } from "../core/message.ts";
import { neutralizeTags, oneLine } from "../core/text.ts";

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
