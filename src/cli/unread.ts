import type { Config } from "../config.ts";
import { UserError } from "../core/errors.ts";
import { findHolder } from "../core/heartbeats.ts";
import { type MailText, otherMailText, ownMailText, unreadableLines } from "../mcp/mail-text.ts";
import { HandwrittenFiles } from "../upkeep/handwritten-files.ts";
import { printJson, printText } from "./print.ts";
import { type UserMailbox, withUserMailbox } from "./user-mailbox.ts";

/** How long files that were written by hand are waited for. */
const HANDWRITTEN_MS = 5000;

/** Prints all unread mail, however long. Another session's mail stays unread. */
export function unread(
  config: Config,
  name: string | undefined,
  options: { readonly json?: true },
): Promise<void> {
  return withUserMailbox(config, async (user) => {
    const { mailbox, around } = user;
    await mailbox.register(); // from now on mail for this name is accepted
    await adoptHandwritten(user);

    const isOwn = name === undefined || mailbox.directory.isOwnName(name);
    const mail = isOwn ? ownMailText(around) : otherMailText(around, name);
    if (options.json) printJson(mail.shown.map(({ header, body }) => ({ ...header, body })));
    else printText(mail.text);
    mail.markRead();
    if (options.json) checkComplete(mail);
    else if (isOwn) warnIfShared(user);
  });
}

/** For JSON, which is only a list of messages: throws UserError if some cannot be read just now. */
function checkComplete({ unreadable }: MailText): void {
  const [problem] = unreadableLines(unreadable);
  if (problem) throw new UserError(problem);
}

/** If no server runs, nobody else renames the files that were written by hand. */
async function adoptHandwritten({ mailbox, system }: UserMailbox): Promise<void> {
  const handwritten = new HandwrittenFiles(mailbox.inbox, system);
  handwritten.start();
  mailbox.inbox.tryScan();
  await handwritten.whenIdle(HANDWRITTEN_MS);
  handwritten.close();
}

/** A live session may have this name as well: its mail was read here. */
function warnIfShared({ mailbox }: UserMailbox): void {
  const { name } = mailbox.owner;
  if (findHolder(mailbox.directory.online(), name)) {
    console.error(`t9-ipc: a session that is online has the name ${name}: this was its mail too`);
  }
}
