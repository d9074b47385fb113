import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "./config.ts";

/** Telegram's limit for a text, in UTF-16 units. */
const MAX_TEXT = 4096;
const GIVE_UP_MS = 5 * 60_000;
const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 60_000;
const REQUEST_MS = 15_000;

/**
 * Sends a text to the chat through the Bot API, split where it is too long. Waits as 429 asks; tries network
 * errors and 5xx again, with growing waits, for five minutes. Rejects with the reason, never with the token.
 */
export async function sendToTelegram(telegram: NonNullable<Config["telegram"]>, text: string): Promise<void> {
  const deadline = Date.now() + GIVE_UP_MS;
  for (const part of split(text)) {
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
      const failure = await attempt(telegram, part);
      if (!failure) break;
      const pause = failure.retryAfterMs ?? wait;
      if (failure.final || Date.now() + pause > deadline) throw new Error(failure.reason);
      await sleep(pause);
    }
  }
}

interface Failure {
  readonly reason: string;
  readonly final: boolean;
  readonly retryAfterMs?: number;
}

async function attempt({ api, token, chat }: NonNullable<Config["telegram"]>, text: string): Promise<Failure | null> {
  try {
    const response = await fetch(`${api}/bot${token}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ chat_id: chat, text }),
      redirect: "error",
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    const answer = (await response.json().catch(() => ({}))) as {
      description?: string;
      parameters?: { retry_after?: number };
    };
    if (response.ok) return null;
    const reason = redact(`Telegram answered ${response.status} ${answer.description ?? ""}`.trim(), token);
    if (response.status === 429) {
      return { reason, final: false, retryAfterMs: (answer.parameters?.retry_after ?? 1) * 1000 };
    }
    return { reason, final: response.status < 500 };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return {
      reason: redact(`Telegram not reached: ${cause instanceof Error ? cause.message : cause}`, token),
      final: false,
    };
  }
}

const redact = (text: string, token: string): string => text.replaceAll(token, "(token)");

/** Pieces of at most 4,096 units, cut at line ends where there are any, never within a character. */
function split(text: string): string[] {
  const parts: string[] = [];
  let rest = text;
  while (rest.length > MAX_TEXT) {
    const line = rest.lastIndexOf("\n", MAX_TEXT);
    let end = line > 0 ? line : MAX_TEXT;
    if (/[\ud800-\udbff]/.test(rest.charAt(end - 1))) end--;
    parts.push(rest.slice(0, end));
    rest = rest.slice(line > 0 ? end + 1 : end);
  }
  return [...parts, rest].filter((part) => part.trim() !== "");
}
