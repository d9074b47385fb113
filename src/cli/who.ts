import type { Config } from "../config.ts";
import { routeOf } from "../delivery/route.ts";
import { whoText } from "../mcp/answers.ts";
import { printJson, printText } from "./print.ts";
import { withUserMailbox } from "./user-mailbox.ts";

export function who(config: Config, options: { readonly json?: true }): Promise<void> {
  return withUserMailbox(config, async (mailbox) => {
    if (!options.json) {
      printText(await whoText(mailbox, config, undefined));
      return;
    }

    const sessions = mailbox.online();
    printJson(sessions.map(({ name, entry }) => ({ name, ...entry, reached_by: routeOf(entry) })));
  });
}
