import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";

type Telegram = NonNullable<Config["telegram"]>;
/** What the Bot API says where it does not send; `retry_after` in seconds. */
type Refusal = { description?: string; parameters?: { retry_after?: number } };
/** Telegram's limit for a text, in UTF-16 units. */
const MAX_TEXT = 4096;
const GIVE_UP_MS = 5 * 60_000;
const FIRST_WAIT_MS = 1000;
const REQUEST_MS = 15_000;

/**
 * Sends a text to the chat through the Bot API, split where it is too long. Waits as 429 asks; tries network
 * errors and 5xx again, with growing waits, for five minutes. Rejects with the reason, never with the token.
 */
export async function sendToTelegram(telegram: Telegram, text: string): Promise<void> {
  const deadline = Date.now() + GIVE_UP_MS;
  for (const part of split(text)) {
    for (let wait = FIRST_WAIT_MS; ; wait *= 2) {
      const { reason, pause = wait } = await attempt(telegram, part);
      if (!reason) break;
      if (Date.now() + pause > deadline)
        throw new Error(reason.replaceAll(telegram.token, "(token)"));
      await sleep(pause);
    }
  }
}

/** Resolves to why the text was not sent; `pause`: how long (ms) to wait then, where that is not ours to choose. */
async function attempt(
  { api, token, chat }: Telegram,
  text: string,
): Promise<{ reason?: string; pause?: number }> {
  try {
    const response = await fetch(`${api}/bot${token}/sendMessage`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ chat_id: chat, text }),
      redirect: "error",
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    if (response.ok) return {};
    const { description = "", parameters } = (await response.json().catch(() => ({}))) as Refusal;
    const reason = `Telegram answered ${response.status} ${description}`.trim();
    if (response.status === 429) return { reason, pause: (parameters?.retry_after ?? 1) * 1000 };
    return response.status < 500 ? { reason, pause: Number.POSITIVE_INFINITY } : { reason };
  } catch (error) {
    return { reason: `Telegram not reached: ${reasonOf((error as Error).cause ?? error)}` };
  }
}

/** Pieces of at most MAX_TEXT units, cut at line ends where there are any, never within a character. */
function split(text: string): string[] {
  const pieces = new RegExp(
    `[^]{1,${MAX_TEXT - 1}}(?:\\n|$)|[^]{1,${MAX_TEXT}}(?<![\\ud800-\\udbff])`,
    "g",
  );
  return (text.match(pieces) ?? []).map((piece) => piece.trimEnd()).filter(Boolean);
}
