import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { Config } from "../config.ts";
import { clean } from "../delivery/pointer.ts";
import { statOf } from "../files.ts";
import { Inbox, type Message, readMessage } from "../mail/inbox.ts";
import { inOrder, isStamped } from "../mail/message.ts";
import { Watcher } from "../mail/watcher.ts";
import { isForAll, sameName } from "../sessions/names.ts";
import { stampOf, wallClock } from "../stamp.ts";
import type { Options, Print } from "./print.ts";

const COLOURS = ["cyan", "green", "magenta", "blue", "yellow", "red"] as const;
const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Local times around the world are at most this far apart. */
const ZONES_MS = 26 * 3_600_000;

/** Prints past mail, newest last; what answers another message is indented below it. */
export async function log(config: Config, options: Options, text: string, print: Print): Promise<number> {
  const { with: name = "", since } = options as Record<string, string>;
  const isRecent = since === undefined ? () => true : youngerThan(since);
  const isWanted = ({ header, body }: Message): boolean =>
    (!name || sameName(header.from, name) || sameName(header.to, name)) &&
    `${header.subject}\n${body}`.toLowerCase().includes(text.toLowerCase());
  const found = past(config, isRecent, filesIn(config.inbox)).filter(isWanted);
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
    (!from || sameName(header.from, from)) && (!to || sameName(header.to, to) || (isForAll(header.to) && isForAll(to)));
  const show = (messages: Message[]): void => {
    for (const message of messages.filter(isWanted)) printMessage(message, options, print);
  };
  const isRecent = since === undefined ? () => false : youngerThan(since);
  const inbox = new Inbox(config);
  await inbox.reconcile();
  show(past(config, isRecent, [...inbox.files]));
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

/** The messages in the archive and in these files of the inbox, in order, as far as `isRecent` (of a path) holds. */
function past({ archive, inbox }: Config, isRecent: (path: string) => boolean, files: readonly string[]): Message[] {
  const paths = [...filesIn(archive).map((file) => join(archive, file)), ...files.map((file) => join(inbox, file))];
  const messages = paths.filter(isRecent).flatMap((path) => {
    try {
      return readMessage(path, basename(path));
    } catch {
      return []; // no message
    }
  });
  return messages.sort((a, b) => inOrder(a.header, b.header));
}

const filesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).filter(isStamped) : []);

/**
 * Tells of a message file whether it was written within a time like 10m, 2h or 1d. The time of the file decides, since a
 * stamp is in its sender's time zone; a file with a much older stamp was copied. Throws RangeError for another time.
 */
function youngerThan(since: string): (path: string) => boolean {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(since) ?? [];
  if (!count) throw new RangeError("--since takes a number and s, m, h or d: 10m, 2h, 1d");
  const first = Date.now() - Number(count) * (UNITS[unit] ?? 0);
  const firstStamp = stampOf(wallClock(first - ZONES_MS));
  return (path) => basename(path) >= firstStamp && (statOf(path)?.mtimeMs ?? 0) >= first;
}

function printMessage({ header, body }: Message, { json }: Options, print: Print, indent = ""): void {
  const { from, to, subject, priority, type, created, file } = header;
  if (json) return void print({ ...header, body });
  const colour = COLOURS[[...from].reduce((sum, char) => sum + (char.codePointAt(0) ?? 0), 0) % COLOURS.length];
  const marks = [priority, type].filter((mark) => /^(low|high|critical|escalation)$/.test(mark)).join(", ");
  const head = `${from} → ${isForAll(to) ? "EVERYBODY" : to}: ${subject}${marks && ` [${marks}]`}`;
  print(indent + clean(head), colour);
  print(`${indent}${created}  ${file}\n${body}\n`.replace(/\n(?=.)/g, `\n${indent}`));
}
