import { userInfo } from "node:os";
import { sessionsWithoutServer, statusOf } from "../agents/claude/status.ts";
import type { Config } from "../config.ts";
import { Heartbeats } from "../core/heartbeats.ts";
import { Inbox } from "../core/inbox.ts";
import { Mailbox } from "../core/mailbox.ts";
import { type Name, toName } from "../core/names.ts";
import { nameFromEnvironment } from "../core/naming.ts";
import type { System } from "../core/system.ts";
import { endOfOrder } from "../core/timestamps.ts";
import type { Surroundings } from "../mcp/surroundings.ts";
import { createSystem } from "../upkeep/system.ts";

/** The mailbox of the person at the command line, and the surroundings for the answers. */
export interface UserMailbox {
  readonly mailbox: Mailbox;
  readonly around: Surroundings;
  readonly system: System;
}

/**
 * Opens the mailbox of the person at the command line, runs `work` with it, and closes it again.
 */
export async function withUserMailbox<T>(
  config: Config,
  work: (user: UserMailbox) => Promise<T>,
): Promise<T> {
  const system = createSystem(config);
  const name = nameFromEnvironment(config.sessionId, config.log) ?? loginName();
  const since = endOfOrder(system.files, system.clock, config);
  const owner = {
    name,
    names: [name],
    notes: { since, folder: config.folder },
    inherits: () => true,
    check: () => {},
  };
  const inbox = new Inbox({ folder: config }, system);
  const mailbox = new Mailbox(config, system, inbox, new Heartbeats(config, system), owner);
  const around: Surroundings = {
    mailbox,
    maxBytes: Number.POSITIVE_INFINITY,
    statusOf: (entry) => statusOf(entry, config.claudeDir, system),
    unlisted: (online) => sessionsWithoutServer(config.claudeDir, online, system),
    now: () => system.clock.now(),
  };
  try {
    return await work({ mailbox, around, system });
  } finally {
    await mailbox.close();
  }
}

function loginName(): Name {
  try {
    return toName(userInfo().username);
  } catch {
    // In a container the user id may have no name.
    return toName(`user-${process.getuid?.()}`);
  }
}
