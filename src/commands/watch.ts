import { existsSync, readdirSync } from "node:fs";
import type { Config } from "../config.ts";
import { clean } from "../delivery/pointer.ts";
import { Inbox } from "../mail/inbox.ts";
import { type Header, inOrder } from "../mail/message.ts";
import { Watcher } from "../mail/watcher.ts";
import { isForAll, sameName } from "../sessions/names.ts";
import { stamp, wallClock } from "../stamp.ts";
import type { Options, Print } from "./print.ts";

const COLOURS = ["cyan", "green", "magenta", "blue", "yellow", "red"] as const;

/** Prints all mail as it comes, with --since 10m first what came in that time; ends with the process, by Ctrl-C. */
export async function watch(config: Config, options: Options, print: Print): Promise<never> {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(String(options.since ?? "0s")) ?? [];
  if (!count) throw new RangeError("--since takes a number and s, m, h or d: 10m, 2h, 1d");
  const first = stamp(wallClock(Date.now() - Number(count) * 1000 * ({ m: 60, h: 3600, d: 86_400 }[unit] ?? 1)));
  const { from = "", to = "" } = options as Record<string, string>;
  const isWanted = (header: Header): boolean =>
    header.at >= first &&
    (!from || sameName(header.from, from)) &&
    (!to || sameName(header.to, to) || (isForAll(header.to) && isForAll(to)));
  const waiting: { header: Header; body: string }[] = [];
  const show = (): void => {
    for (const { header, body } of waiting.splice(0).sort((a, b) => inOrder(a.header, b.header))) {
      const { from, subject, priority, type, created, file } = header;
      const colour = COLOURS[[...from].reduce((sum, char) => sum + (char.codePointAt(0) ?? 0), 0) % COLOURS.length];
      const marks = [priority, type].filter((mark) => /^(high|critical|escalation)$/.test(mark)).join(", ");
      const head = `${from} → ${isForAll(header.to) ? "EVERYBODY" : header.to}: ${subject}${marks && ` [${marks}]`}`;
      if (options.json) print({ ...header, body });
      else print(clean(head), colour) || print(`${created}  ${file}\n${body}\n`);
    }
  };
  const inbox = new Inbox(config);
  // What was read a day ago, or came a week ago, has left the inbox.
  const archive = new Inbox({ ...config, inbox: config.archive });
  for (const folder of [archive, inbox]) {
    folder.onMessage = (header) => {
      // What came together is put in order.
      if (isWanted(header) && waiting.push({ header, body: folder.body(header) }) === 1) setImmediate(show);
    };
  }
  const archived = existsSync(config.archive) ? readdirSync(config.archive) : [];
  for (const file of archived) if (file >= first) archive.note(file);
  new Watcher(config, inbox, () => {});
  await inbox.reconcile();
  setInterval(() => {}, 2 ** 30); // the watcher alone does not keep the process
  return new Promise(() => {});
}
