import { statusOf } from "../agents/claude/status.ts";
import type { Config } from "../config.ts";
import { messageOf } from "../core/errors.ts";
import { Heartbeats } from "../core/heartbeats.ts";
import { Inbox } from "../core/inbox.ts";
import type { Message } from "../core/message.ts";
import { isEveryone, isSameName, meansEveryone } from "../core/names.ts";
import type { System } from "../core/system.ts";
import { HandwrittenFiles } from "../upkeep/handwritten-files.ts";
import { createSystem } from "../upkeep/system.ts";
import { eventLine, messageLine } from "./message-line.ts";
import { pastMail } from "./past-mail.ts";
import { printMessage } from "./print-message.ts";
import { SessionChanges } from "./session-changes.ts";

const DEFAULT_COLUMNS = 80;

interface WatchOptions {
  readonly from?: string;
  readonly to?: string;
  /** Milliseconds. */
  readonly since?: number;
  readonly json?: true;
}

/**
 * Prints mail as it arrives, after that of the last `since` milliseconds. On a terminal each
 * message is one line, and who comes, goes or waits for its user is printed too. Never resolves.
 */
export async function watch(config: Config, options: WatchOptions): Promise<never> {
  const isTerminal = process.stdout.isTTY && !options.json;
  const print = (message: Message): void => {
    if (!isWanted(message, options)) return;
    if (isTerminal) console.log(messageLine(message, process.stdout.columns || DEFAULT_COLUMNS));
    else printMessage(message, { json: options.json });
  };

  const system = createSystem(config);
  const inbox = new Inbox({ folder: config, poll: config.poll }, system);
  const handwritten = new HandwrittenFiles(inbox, system);
  inbox.scan();
  if (options.since !== undefined) {
    pastMail(config, system, options.since, inbox.files).forEach(print);
  }

  const arrived = new Set<string>();
  inbox.on("message", (file) => {
    arrived.add(file);
    if (arrived.size > 1) return;
    // Messages that arrive together are printed in the order of sending.
    setImmediate(() => {
      for (const each of [...arrived].sort()) tryPrint(each);
      arrived.clear();
    });
  });
  if (isTerminal) printChanges(config, system, inbox);
  handwritten.start();
  inbox.start();

  // The inbox's timers do not keep the process alive.
  setInterval(() => {}, 2 ** 30);
  return new Promise(() => {});

  function tryPrint(file: string): void {
    try {
      const message = inbox.read(file);
      if (message) print(message);
    } catch (error) {
      system.log(`inbox/${file} cannot be read just now: ${messageOf(error)}`);
    }
  }
}

/** The inbox is listed every two seconds: that is soon enough to see who is there. */
function printChanges(config: Config, system: System, inbox: Inbox): void {
  const heartbeats = new Heartbeats(config, system);
  const changes = new SessionChanges((entry) => statusOf(entry, config.claudeDir, system));
  inbox.on("scan", () => {
    try {
      for (const text of changes.update(heartbeats.online())) console.log(eventLine(text));
    } catch (error) {
      system.log(`heartbeats.json cannot be read just now: ${messageOf(error)}`);
    }
  });
}

function isWanted({ header }: Message, { from, to }: WatchOptions): boolean {
  const isFrom = from === undefined || isSameName(header.from, from);
  const isTo =
    to === undefined || isSameName(header.to, to) || (isEveryone(header.to) && meansEveryone(to));
  return isFrom && isTo;
}
