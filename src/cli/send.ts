import { text as readAll } from "node:stream/consumers";
import type { Config } from "../config.ts";
import type { Priority } from "../core/message.ts";
import { sentText } from "../mcp/answers.ts";
import { printText } from "./print.ts";
import { withUserMailbox } from "./user-mailbox.ts";

interface SendOptions {
  /** A session's name, several with commas, or `all`. */
  readonly to: string;
  readonly subject: string;
  /** `-` stands for standard input. */
  readonly body?: string;
  readonly priority: Priority;
  readonly allowUnknown?: true;
}

/** Sends one message; `broadcast` sends it to `all`. */
export async function send(config: Config, options: SendOptions): Promise<void> {
  const { to, subject, body: text = "", priority, allowUnknown = false } = options;
  const body = text === "-" ? await readStandardInput() : text;

  await withUserMailbox(config, async ({ mailbox, around }) => {
    const recipients = to.split(",").filter((each) => each.trim());
    const sent = await mailbox.send({ to: recipients, subject, body, priority, allowUnknown });
    await mailbox.register(); // so that sessions can answer to this name
    printText(sentText(sent, around));
  });
}

/** Everything on standard input, without the line end that most programs add. */
async function readStandardInput(): Promise<string> {
  return (await readAll(process.stdin)).replace(/\r?\n$/, "");
}
