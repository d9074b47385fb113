import type { Config } from "../config.ts";
import { Inbox, type Message } from "../mail/inbox.ts";
import { Watcher } from "../mail/watcher.ts";
import { isForAll, sameName } from "../sessions/names.ts";
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

  const inbox = new Inbox(config);
  await inbox.reconcile();
  if (options.since !== undefined) print(pastMail(config, options.since, inbox.files));

  const arrived = new Set<string>();
  inbox.onMessage = (file) => {
    arrived.add(file);
    if (arrived.size > 1) return;
    // Messages that arrive together are printed in the order of sending.
    setImmediate(() => {
      print([...arrived].sort().flatMap((each) => inbox.read(each) ?? []));
      arrived.clear();
    });
  };
  new Watcher(config, inbox, () => {});

  // The watcher's timers do not keep the process alive.
  setInterval(() => {}, 2 ** 30);
  return new Promise(() => {});
}

function isWanted({ header }: Message, { from, to }: WatchOptions): boolean {
  const isFrom = from === undefined || sameName(header.from, from);
  const isTo = to === undefined || sameName(header.to, to) || (isForAll(header.to) && isForAll(to));
  return isFrom && isTo;
}
