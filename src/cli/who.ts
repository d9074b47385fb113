import type { Config } from "../config.ts";
import { whoText } from "../mcp/answers.ts";
import { describeRoute } from "../notify/routes.ts";
import { printJson, printText } from "./print.ts";
import { withUserMailbox } from "./user-mailbox.ts";

export function who(config: Config, options: { readonly json?: true }): Promise<void> {
  return withUserMailbox(config, async ({ mailbox, around }) => {
    if (!options.json) {
      printText(whoText(around, false));
      return;
    }

    const sessions = mailbox.heartbeats.online();
    printJson(
      sessions.map(({ name, entry }) => ({
        name,
        ...entry,
        reached_by: describeRoute(entry.push, entry.push_note),
      })),
    );
  });
}
