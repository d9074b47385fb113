import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { messageOf } from "../core/errors.ts";
import { whoText } from "../mcp/who-text.ts";
import { describeRoute } from "../notify/routes.ts";
import { toJsonLine, toPlainText } from "./print.ts";
import { type UserMailbox, withUserMailbox } from "./user-mailbox.ts";

const REFRESH_MS = 2000;

interface WhoOptions {
  /** Refresh the list until the program is ended. */
  readonly watch?: true;
  readonly json?: true;
}

export function who(config: Config, options: WhoOptions): Promise<void> {
  return withUserMailbox(config, async (user) => {
    if (!options.watch) {
      console.log(listText(user, options));
      return;
    }
    for (;;) {
      const text = tryListText(user, options);
      console.clear(); // does nothing but on a terminal
      console.log(text);
      await sleep(REFRESH_MS);
    }
  });
}

/** A folder that does not answer for a moment does not end a list that is left open. */
function tryListText(user: UserMailbox, options: WhoOptions): string {
  try {
    return listText(user, options);
  } catch (error) {
    return toPlainText(`t9-ipc: ${messageOf(error)}`);
  }
}

function listText({ mailbox, around }: UserMailbox, { json }: WhoOptions): string {
  if (!json) return toPlainText(whoText(around, false));

  const sessions = mailbox.directory.online();
  return toJsonLine(
    sessions.map(({ name, entry }) => ({
      name,
      ...entry,
      reached_by: describeRoute(entry.push, entry.push_note),
    })),
  );
}
