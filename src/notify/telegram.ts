import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../core/errors.ts";

export interface TelegramOptions {
  readonly token: string;
  readonly chat: string;
  /** Base address of the Bot API, without a slash at the end. */
  readonly api: string;
}

/** The Bot API's answer if it does not send; `retry_after` in seconds. */
interface ErrorResponse {
  readonly description?: string;
  readonly parameters?: { readonly retry_after?: number };
}

/** Telegram's limit for a text, in UTF-16 units. */
const MAX_TEXT = 4096;
const GIVE_UP_MS = 5 * 60_000;
const FIRST_PAUSE_MS = 1000;
const REQUEST_TIMEOUT_MS = 15_000;

/**
 * Sends a text to the chat, in several messages if it is too long. A 429 is waited out as long as
 * it asks; network errors and 5xx are retried with growing pauses, for five minutes. Rejects with
 * the reason, which never contains the token.
 */
export async function sendToTelegram(telegram: TelegramOptions, text: string): Promise<void> {
  const deadline = Date.now() + GIVE_UP_MS;
  for (const part of split(text)) await sendPart(telegram, part, deadline);
}

async function sendPart(telegram: TelegramOptions, part: string, deadline: number): Promise<void> {
  for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
    const failure = await attempt(telegram, part);
    if (!failure) return;
    const wait = failure.retryAfterMs ?? pause;
    if (failure.isFinal || Date.now() + wait > deadline) {
      throw new Error(failure.reason.replaceAll(telegram.token, "(token)"));
    }
    await sleep(wait);
  }
}

interface Failure {
  readonly reason: string;
  /** True if another attempt would fail as well. */
  readonly isFinal?: boolean;
  /** When Telegram wants the next attempt; undefined if it does not say. */
  readonly retryAfterMs?: number;
}

/** Resolves to undefined if the text was sent. */
async function attempt(
  { api, token, chat }: TelegramOptions,
  text: string,
): Promise<Failure | undefined> {
  try {
    const response = await fetch(`${api}/bot${token}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ chat_id: chat, text }),
      redirect: "error",
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    return response.ok ? undefined : await toFailure(response);
  } catch (error) {
    return { reason: `Telegram not reached: ${messageOf((error as Error).cause ?? error)}` };
  }
}

async function toFailure(response: Response): Promise<Failure> {
  const { description = "", parameters } = (await response
    .json()
    .catch(() => ({}))) as ErrorResponse;
  const reason = `Telegram answered ${response.status} ${description}`.trim();
  if (response.status === 429) {
    return { reason, retryAfterMs: (parameters?.retry_after ?? 1) * 1000 };
  }
  return { reason, isFinal: response.status < 500 };
}

/**
 * Pieces of at most MAX_TEXT units, cut at line ends if there are any, never within a character.
 */
function split(text: string): string[] {
  const toLineEnd = `[^]{1,${MAX_TEXT - 1}}(?:\\n|$)`;
  const toCharacterEnd = `[^]{1,${MAX_TEXT}}(?<![\\ud800-\\udbff])`;
  const pieces = text.match(new RegExp(`${toLineEnd}|${toCharacterEnd}`, "g")) ?? [];
  return pieces.map((piece) => piece.trimEnd()).filter(Boolean);
}
