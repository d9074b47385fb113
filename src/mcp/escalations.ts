import { messageOf } from "../core/errors.ts";
import type { Inbox } from "../core/inbox.ts";
import type { Log } from "../core/log.ts";
import type { Header } from "../core/message.ts";
import type { Name } from "../core/names.ts";
import { sendToTelegram, type TelegramOptions } from "../notify/telegram.ts";

/** The sender of our own reports. No session can take this name. */
const REPORTER = "t9-ipc" as Name;

/** Forwards an escalation to Telegram. If that fails, its sender gets a message about it. */
export async function forwardEscalation(
  telegram: TelegramOptions,
  inbox: Inbox,
  { from, subject, file }: Header,
  body: string,
  log: Log,
): Promise<void> {
  try {
    await sendToTelegram(telegram, `[ESCALATION] ${subject}\nfrom ${from}\n\n${body}`.trimEnd());
  } catch (error) {
    log(`escalation ${file} did not reach Telegram: ${messageOf(error)}`);
    const report = {
      from: REPORTER,
      to: from as Name,
      type: "ipc",
      priority: "high",
      subject: "escalation did not reach Telegram",
      body: `${file} is stored in the inbox, but was not forwarded: ${messageOf(error)}.`,
    } as const;
    await inbox.store([report]).catch((failure) => log(`not reported: ${messageOf(failure)}`));
  }
}
