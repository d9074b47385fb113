import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";

type Telegram = NonNullable<Config["telegram"]>;
/** What the Bot API says where it does not send; `retry_after` in seconds. */
type Refusal = { description?: string; parameters?: { retry_after?: number } };
/** Why a part was not sent; how long (ms) to wait before the next try, where that is not ours to choose. */
type Failure = { reason: string; pause?: number };

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
export async function sendToTelegram(telegram: Telegram, text: string): Promise<void> {
  const deadline = Date.now() + GIVE_UP_MS;
  for (const part of split(text)) {
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
      const failure = await attempt(telegram, part);
      if (!failure) break;
      const pause = failure.pause ?? wait;
      if (Date.now() + pause > deadline) throw new Error(failure.reason.replaceAll(telegram.token, "(token)"));
      await sleep(pause);
    }
  }
}

async function attempt({ api, token, chat }: Telegram, text: string): Promise<Failure | undefined> {
  try {
    const response = await fetch(`${api}/bot${token}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ chat_id: chat, text }),
      redirect: "error",
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    if (response.ok) return undefined;
    const { description = "", parameters } = (await response.json().catch(() => ({}))) as Refusal;
    const reason = `Telegram answered ${response.status} ${description}`.trim();
    if (response.status === 429) return { reason, pause: (parameters?.retry_after ?? 1) * 1000 };
    return response.status < 500 ? { reason, pause: Number.POSITIVE_INFINITY } : { reason };
  } catch (error) {
    const { cause = error } = error as Error;
    return { reason: `Telegram not reached: ${cause instanceof Error ? cause.message : cause}` };
  }
}

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
