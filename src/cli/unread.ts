import type { Config } from "../config.ts";
import { readUnread } from "../mcp/answers.ts";
import { printJson, printText } from "./print.ts";
import { withUserMailbox } from "./user-mailbox.ts";

/** Prints all unread mail, however long. Another session's mail stays unread. */
export function unread(
  config: Config,
  name: string | undefined,
  options: { readonly json?: true },
): Promise<void> {
  return withUserMailbox(config, async (mailbox) => {
    // If no server runs, nobody else renames the files that were written by hand.
    await mailbox.inbox.reconcile();
    await mailbox.inbox.settled();

    const { text, shown, markRead } = await readUnread(mailbox, name, Number.POSITIVE_INFINITY);
    markRead();
    if (!options.json) {
      printText(text);
      return;
    }

    const messages = shown.flatMap(({ file }) => mailbox.inbox.read(file) ?? []);
    printJson(messages.map(({ header, body }) => ({ ...header, body })));
  });
}
