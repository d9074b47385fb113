import type { Config } from "../config.ts";
import { Inbox } from "../core/inbox.ts";
import type { Message } from "../core/message.ts";
import { isEveryone, isSameName, meansEveryone } from "../core/names.ts";
import { HandwrittenFiles } from "../upkeep/handwritten-files.ts";
import { createSystem } from "../upkeep/system.ts";
import { pastMail } from "./past-mail.ts";
import { printMessage } from "./print-message.ts";

interface WatchOptions {
  readonly from?: string;
  readonly to?: string;
  /** Milliseconds. */
  readonly since?: number;
  readonly json?: true;
}

/** Prints mail as it arrives, after that of the last `since` milliseconds. Never resolves. */
export async function watch(config: Config, options: WatchOptions): Promise<never> {
  const print = (messages: readonly Message[]): void => {
    for (const message of messages) {
      if (isWanted(message, options)) printMessage(message, { json: options.json });
    }
  };

  const system = createSystem(config);
  const inbox = new Inbox({ folder: config, poll: config.poll }, system);
  const handwritten = new HandwrittenFiles(config.inbox, inbox, system);
  inbox.scan();
  if (options.since !== undefined) print(pastMail(config, system, options.since, inbox.files));

  const arrived = new Set<string>();
  inbox.on("message", (file) => {
    arrived.add(file);
    if (arrived.size > 1) return;
    // Messages that arrive together are printed in the order of sending.
    setImmediate(() => {
      print([...arrived].sort().flatMap((each) => inbox.read(each) ?? []));
      arrived.clear();
    });
  });
  handwritten.start();
  inbox.start();

  // The inbox's timers do not keep the process alive.
  setInterval(() => {}, 2 ** 30);
  return new Promise(() => {});
}

function isWanted({ header }: Message, { from, to }: WatchOptions): boolean {
  const isFrom = from === undefined || isSameName(header.from, from);
  const isTo =
    to === undefined || isSameName(header.to, to) || (isEveryone(header.to) && meansEveryone(to));
  return isFrom && isTo;
}
