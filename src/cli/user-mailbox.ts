import { userInfo } from "node:os";
import type { Config } from "../config.ts";
import { Mailbox } from "../mail/mailbox.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { fit, type Name } from "../sessions/names.ts";
import { askedName } from "../sessions/naming.ts";
import { takeStamp } from "../stamp.ts";

/**
 * Opens the mailbox of the person at the command line, runs `work` with it, and closes it again.
 */
export async function withUserMailbox<T>(
  config: Config,
  work: (mailbox: Mailbox) => Promise<T>,
): Promise<T> {
  const name = askedName(config) ?? loginName();
  const heartbeats = new Heartbeats(config);
  const mailbox = new Mailbox(config, heartbeats, { name, names: [name] }, takeStamp(config.dir));
  try {
    return await work(mailbox);
  } finally {
    await mailbox.close();
  }
}

function loginName(): Name {
  try {
    return fit(userInfo().username);
  } catch {
    // In a container the user id may have no name.
    return fit(`user-${process.getuid?.()}`);
  }
}
