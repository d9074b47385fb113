import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { isTemporary, reasonOf } from "../files.ts";
import { namesOf, type Session } from "../sessions/heartbeats.ts";
import { isForAll, isName } from "../sessions/names.ts";
import { stamp, wallClock } from "../stamp.ts";
import type { Inbox } from "./inbox.ts";
import { type Header, idOf } from "./message.ts";
import { isMailFor, isUnread, knownNames, ReadMarks } from "./read-marks.ts";

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;

type AllMarks = Map<string, ReadMarks>;

/**
 * Keeps the inbox short: what every addressee online has read and is over a day old, and anything over seven
 * days, moves to the archive; whoever had not read it is left a note. Removes temporaries of killed
 * writers, and the names that came and went a week ago without reading anything.
 * Any server may do this at any time, several at once as well.
 */
export function sweep(config: Config, inbox: Inbox, online: readonly Session[]): void {
  removeTemporaries(config);
  const lastOnline = knownNames(config);
  const marks: AllMarks = new Map([...lastOnline.keys()].map((name) => [name, new ReadMarks(config, name)]));
  const [dayAgo, weekAgo] = [stamp(wallClock() - DAY_MS * 1000), stamp(wallClock() - WEEK_MS * 1000)];
  for (const header of [...inbox.headers.values()]) {
    const isDone = header.at < weekAgo || (header.at < dayAgo && isReadByAll(header, online, marks));
    if (isDone) archive(header, inbox, marks, config);
  }
  for (const [name, each] of marks) {
    each.save();
    const isOld = Date.now() - (lastOnline.get(name) ?? 0) > WEEK_MS;
    try {
      if (isOld && each.ids.size + each.archived.size === 0) rmSync(join(config.read, name), { force: true });
    } catch (error) {
      config.log(`read/${name} not removed: ${reasonOf(error)}`);
    }
  }
}

function isReadByAll(header: Header, online: readonly Session[], marks: AllMarks): boolean {
  if (!isForAll(header.to)) return marks.get(header.to)?.ids.has(idOf(header)) ?? false;
  const sessions = online.map((session) => namesOf(session).flatMap((name) => marks.get(name) ?? []));
  const addressees = sessions.filter((names) => isMailFor(header, names));
  return addressees.length > 0 && !addressees.some((names) => isUnread(header, names));
}

function archive(header: Header, inbox: Inbox, marks: AllMarks, config: Config): void {
  try {
    const file = inbox.archive(header);
    if (file === undefined) return; // another server was faster, and leaves the notes
    if (isName(header.to) && !marks.has(header.to)) marks.set(header.to, new ReadMarks(config, header.to));
    for (const each of marks.values()) if (isUnread(header, [each])) each.mark([`# archived ${file}`]);
  } catch (error) {
    config.log(`inbox/${header.file} not archived: ${reasonOf(error)}`);
  }
}

/** A temporary lives for milliseconds; one an hour old was left by a killed writer. */
function removeTemporaries({ inbox, dir, log }: Config): void {
  for (const folder of [inbox, dir]) {
    try {
      for (const file of readdirSync(folder).filter(isTemporary)) {
        const path = join(folder, file);
        if (Date.now() - statSync(path).mtimeMs > HOUR_MS) rmSync(path);
      }
    } catch (error) {
      log(`temporaries in ${folder} not removed: ${reasonOf(error)}`);
    }
  }
}
