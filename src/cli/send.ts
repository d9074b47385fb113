import { existsSync, readdirSync, statSync } from "node:fs";
import { text as readAll } from "node:stream/consumers";
import type { Config } from "../config.ts";
import { splitNames } from "../core/addresses.ts";
import type { Priority } from "../core/message.ts";
import { sentText } from "../mcp/sent-text.ts";
import { printText } from "./print.ts";
import { withUserMailbox } from "./user-mailbox.ts";

/** An empty folder that is older was made on purpose. */
const JUST_NOW_MS = 60_000;

interface SendOptions {
  /** A session's name, several with commas, or `all`. */
  readonly to: string;
  readonly subject: string;
  /** `-` means standard input. */
  readonly body?: string;
  readonly priority: Priority;
  readonly allowUnknown?: true;
}

/** Sends one message; `broadcast` sends it to `all`. */
export async function send(config: Config, options: SendOptions): Promise<void> {
  const { to, subject, body: text = "", priority, allowUnknown = false } = options;
  const body = text === "-" ? await readStandardInput() : text;
  const isNew = isNewFolder(config);

  await withUserMailbox(config, async ({ mailbox, around }) => {
    const request = { to: splitNames(to), subject, body, priority, allowUnknown };
    const sent = await mailbox.send(request);
    await mailbox.register(); // so that sessions can answer to this name
    printText(sentText(sent, around));
  });
  if (isNew) printText(newFolderText(config));
}

/**
 * True if nobody has been here and nothing was sent: a sandboxed shell may see an empty folder in
 * the place of the one that the sessions use.
 */
function isNewFolder({ dir, heartbeats, inbox }: Config): boolean {
  try {
    const made = statSync(dir, { throwIfNoEntry: false });
    if (!made) return true;
    const hasMail = existsSync(inbox) && readdirSync(inbox).length > 0;
    const isUsed = hasMail || existsSync(heartbeats);
    return !isUsed && Date.now() - made.birthtimeMs < JUST_NOW_MS;
  } catch {
    return false; // the send reports the problem
  }
}

const newFolderText = ({ dir }: Config): string =>
  `The folder ${dir} was made just now, and no session has been in it. In a sandbox it may vanish with the sandbox. If sessions run elsewhere, set IPC_DIR to their folder and send again.`;

/** Everything on standard input, without the line end that most programs add. */
async function readStandardInput(): Promise<string> {
  return (await readAll(process.stdin)).replace(/\r?\n$/, "");
}
