import { readdirSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "./config.ts";
import { isTemporary, reasonOf } from "./files.ts";
import type { Inbox } from "./inbox.ts";
import { type Header, idOf } from "./message.ts";
import { isForAll, isName } from "./names.ts";
import { knownNames, ReadMarks } from "./reads.ts";
import { namesOf, type Session } from "./sessions.ts";
import { wallClock, wallOf } from "./stamp.ts";

const HOUR_WALL = 3600 * 1e6;
const DAY_WALL = 24 * HOUR_WALL;
const WEEK_WALL = 7 * DAY_WALL;

/**
 * Keeps the inbox short: what every addressee online has read and is over a day old, and anything over seven
 * days, moves to the archive; whoever had not read it is left a note. Removes temporaries of killed
 * writers, and the names that came and went a week ago without reading anything.
 * Any server may do this at any time, several at once as well.
 */
export function sweep(config: Config, inbox: Inbox, online: readonly Session[]): void {
  removeTemporaries(config);
  const marks = new Map<string, ReadMarks>();
  const names = knownNames(config);
  for (const name of names.keys()) marks.set(name, new ReadMarks(config, name));
  for (const header of [...inbox.headers.values()]) {
    const age = wallClock() - (wallOf(header.at) ?? 0);
    const done = age > WEEK_WALL || (age > DAY_WALL && isReadByAll(header, online, marks));
    if (done) archive(header, inbox, marks, config);
  }
  for (const [name, each] of marks) {
    try {
      each.save();
      if (Date.now() - (names.get(name) ?? 0) > WEEK_WALL / 1000 && each.isBlank()) unlinkSync(join(config.read, name));
    } catch (error) {
      config.log(`read/${name} not written: ${reasonOf(error)}`);
    }
  }
}

function isReadByAll(header: Header, online: readonly Session[], marks: ReadonlyMap<string, ReadMarks>): boolean {
  const hasRead = (name: string): boolean => marks.get(name)?.ids.has(idOf(header)) ?? false;
  if (!isForAll(header.to)) return hasRead(header.to);
  const addressees = online.filter((session) => {
    const names = namesOf(session);
    return !names.includes(header.from) && names.some((name) => marks.get(name)?.covers(name, header.to, header.at));
  });
  return addressees.length > 0 && addressees.every((session) => namesOf(session).some(hasRead));
}

function archive(header: Header, inbox: Inbox, marks: Map<string, ReadMarks>, config: Config): void {
  try {
    const file = inbox.archive(header);
    if (file === undefined) return; // another server was faster, and leaves the notes
    if (isName(header.to) && !marks.has(header.to)) marks.set(header.to, new ReadMarks(config, header.to));
    for (const [name, each] of marks) {
      const missed = each.covers(name, header.to, header.at) && name !== header.from && !each.ids.has(idOf(header));
      if (missed) each.mark([`# archived ${file}`]);
    }
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
        if (Date.now() - statSync(path).mtimeMs > HOUR_WALL / 1000) unlinkSync(path);
      }
    } catch (error) {
      log(`temporaries in ${folder} not removed: ${reasonOf(error)}`);
    }
  }
}
