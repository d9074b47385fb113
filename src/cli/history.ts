import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { Print } from "../agents/report.ts";
import type { Config } from "../config.ts";
import { clean } from "../delivery/pointer.ts";
import { statOf } from "../files.ts";
import { Inbox, type Message, readMessage } from "../mail/inbox.ts";
import { inOrder, isStamped } from "../mail/message.ts";
import { Watcher } from "../mail/watcher.ts";
import { isForAll, sameName } from "../sessions/names.ts";
import { type Stamp, stampIn, stampOf, wallClock, wallOf } from "../stamp.ts";
import type { Options } from "./print.ts";

const COLOURS = ["cyan", "green", "magenta", "blue", "yellow", "red"] as const;
const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Time zones differ from UTC by quarters of an hour, and by so much at most. */
const QUARTER_MS = 15 * 60_000;
const MAX_ZONE_MS = 14 * 3_600_000;

/** Prints past mail, newest last; what answers another message is indented below it. */
export async function log(
  config: Config,
  options: Options,
  text: string,
  print: Print,
): Promise<number> {
  const { with: name = "", since } = options as Record<string, string>;
  const first = since === undefined ? "" : sinceStamp(config, since);
  const isWanted = ({ header, body }: Message): boolean =>
    (!name || sameName(header.from, name) || sameName(header.to, name)) &&
    `${header.subject}\n${body}`.toLowerCase().includes(text.toLowerCase());
  const found = past(config, first, filesIn(config.inbox)).filter(isWanted);
  const files = new Set(found.map(({ header }) => header.file));
  const show = (answered: string, indent: string): void => {
    for (const message of found) {
      const { file, reply_to } = message.header;
      if ((files.has(reply_to) && reply_to < file ? reply_to : "") !== answered) continue;
      printMessage(message, options, print, indent);
      show(file, `${indent}    `);
    }
  };
  show("", "");
  return 0;
}

/** Prints all mail as it comes, with --since 10m first what came in that time; ends with the process, by Ctrl-C. */
export async function watch(config: Config, options: Options, print: Print): Promise<never> {
  const { from = "", to = "", since } = options as Record<string, string>;
  const isWanted = ({ header }: Message): boolean =>
    (!from || sameName(header.from, from)) &&
    (!to || sameName(header.to, to) || (isForAll(header.to) && isForAll(to)));
  const show = (messages: Message[]): void => {
    for (const message of messages.filter(isWanted)) printMessage(message, options, print);
  };
  const first = since === undefined ? "9" : sinceStamp(config, since);
  const inbox = new Inbox(config);
  await inbox.reconcile();
  show(past(config, first, [...inbox.files]));
  const came = new Set<string>();
  inbox.onMessage = (file) => {
    if (came.add(file).size > 1) return;
    // What came together is put in order.
    setImmediate(() => {
      show([...came].sort().flatMap((each) => inbox.read(each) ?? []));
      came.clear();
    });
  };
  new Watcher(config, inbox, () => {});
  setInterval(() => {}, 2 ** 30); // the watcher alone does not keep the process
  return new Promise(() => {});
}

/** The messages in the archive and in these files of the inbox, in order, from the stamp `first` on. */
function past({ archive, inbox }: Config, first: string, files: readonly string[]): Message[] {
  const paths = [
    ...filesIn(archive).map((file) => join(archive, file)),
    ...files.map((file) => join(inbox, file)),
  ];
  const messages = paths
    .filter((path) => basename(path) >= first)
    .flatMap((path) => {
      try {
        return readMessage(path, basename(path));
      } catch {
        return []; // no message
      }
    });
  return messages.sort((a, b) => inOrder(a.header, b.header));
}

const filesIn = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).filter(isStamped) : [];

/**
 * The stamp from which on messages are within a time like 10m, 2h or 1d. Stamps are in their senders' time zones, so
 * the newest message tells the hour: how far its stamp is from the time of its file. Throws RangeError.
 */
function sinceStamp(config: Config, since: string): Stamp {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(since) ?? [];
  if (!count) throw new RangeError("--since takes a number and s, m, h or d: 10m, 2h, 1d");
  const age = Number(count) * (UNITS[unit] ?? 0);
  const newest = [config.inbox, config.archive].flatMap((folder) =>
    filesIn(folder).map((file) => join(folder, file)),
  );
  const path = newest.sort((a, b) => (basename(a) < basename(b) ? -1 : 1)).at(-1) ?? "";
  const ahead = wallOf(stampIn(basename(path))) / 1000 - (statOf(path)?.mtimeMs ?? 0);
  const zone = Math.round(ahead / QUARTER_MS) * QUARTER_MS;
  const now = path && Math.abs(zone) <= MAX_ZONE_MS ? (Date.now() + zone) * 1000 : wallClock();
  return stampOf(now - age * 1000);
}

function printMessage(
  { header, body }: Message,
  { json }: Options,
  print: Print,
  indent = "",
): void {
  const { from, to, subject, priority, type, created, file } = header;
  if (json) return void print({ ...header, body });
  const colour =
    COLOURS[[...from].reduce((sum, char) => sum + (char.codePointAt(0) ?? 0), 0) % COLOURS.length];
  const marks = [priority, type]
    .filter((mark) => /^(low|high|critical|escalation)$/.test(mark))
    .join(", ");
  const head = `${from} → ${isForAll(to) ? "EVERYBODY" : to}: ${subject}${marks && ` [${marks}]`}`;
  print(indent + clean(head), colour);
  print(`${indent}${created}  ${file}\n${body}\n`.replace(/\n(?=.)/g, `\n${indent}`));
}
