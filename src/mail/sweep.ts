import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Config } from "../config.ts";
import { isTemporary, reasonOf, statOf, writeWhole } from "../files.ts";
import { isForAll, isName } from "../sessions/names.ts";
import { stampIn, stampOf, wallClock } from "../stamp.ts";
import type { Inbox } from "./inbox.ts";
import { type Header, mayBeToAll } from "./message.ts";
import { knownNames, ReadMarks } from "./read-marks.ts";

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
const MONTH_MS = 30 * DAY_MS;
/** After so long, other work is let through. */
const SLICE_MS = 4;

/** Has nobody swept this folder within the hour? Then the caller does, and the other servers need not. */
export function isSweepDue({ dir }: Config): boolean {
  const mark = join(dir, ".swept");
  const isDue = Math.abs(Date.now() - (statOf(mark)?.mtimeMs ?? 0)) > HOUR_MS;
  if (isDue) writeWhole(mark, "");
  return isDue;
}

/**
 * Keeps the folder short. To the archive move: messages over a day old that all their addressees have read,
 * broadcasts over seven days old, and direct mail over 30 days old. Read marks of what has left the inbox are dropped,
 * and names that were last online 30 days ago and have no mail waiting are forgotten. Temporaries that killed
 * writers left behind are removed. Any server may do this at any time, several at once as well.
 */
export async function sweep(config: Config, inbox: Inbox): Promise<void> {
  const breathe = slices();
  removeTemporaries(config);
  const marks = new Map<string, ReadMarks>();
  for (const name of knownNames(config)) {
    marks.set(name, new ReadMarks(config, name));
    await breathe();
  }
  await archiveOld(config, inbox, marks, breathe);
  await dropMarks(config, inbox, marks, breathe);
  await forgetNames(config, inbox, marks, breathe);
}

type AllMarks = ReadonlyMap<string, ReadMarks>;

async function archiveOld(
  config: Config,
  inbox: Inbox,
  marks: AllMarks,
  breathe: () => Promise<void>,
) {
  const before = (ms: number) => stampOf(wallClock(Date.now() - ms));
  const [dayAgo, weekAgo, monthAgo] = [before(DAY_MS), before(WEEK_MS), before(MONTH_MS)];
  for (const file of [...inbox.files].filter((each) => stampIn(each) < dayAgo)) {
    await breathe();
    const header = inbox.header(file);
    if (!header) continue;
    const isOld = stampIn(file) < (isForAll(header.to) ? weekAgo : monthAgo);
    try {
      if (isOld || isReadByAll(header, marks)) inbox.archive(file);
    } catch (error) {
      config.log(`inbox/${file} not archived: ${reasonOf(error)}`);
    }
  }
}

/** Has every name that this is mail for read it, the names of those who are offline included? */
function isReadByAll(header: Header, marks: AllMarks): boolean {
  if (!isForAll(header.to)) return marks.get(header.to)?.files.has(header.file) ?? false;
  const all = [...marks.values()];
  return all.every((each) => !each.lacks(header)) && all.some((each) => each.covers(header));
}

async function dropMarks(
  config: Config,
  inbox: Inbox,
  marks: AllMarks,
  breathe: () => Promise<void>,
) {
  for (const each of marks.values()) {
    const gone = new Set<string>();
    for (const file of each.files) {
      await breathe();
      // What came after the inbox was listed is not gone.
      if (!inbox.files.has(file) && !existsSync(join(config.inbox, file))) gone.add(file);
    }
    if (gone.size > 0) await each.drop(gone);
  }
}

async function forgetNames(
  config: Config,
  inbox: Inbox,
  marks: AllMarks,
  breathe: () => Promise<void>,
) {
  const isOld = (name: string) =>
    Date.now() - (statOf(join(config.read, name))?.mtimeMs ?? Date.now()) > MONTH_MS;
  const old = [...marks.keys()].filter(isOld);
  if (old.length === 0) return;
  const awaited = new Set<string>();
  for (const file of inbox.files) {
    await breathe();
    const header = mayBeToAll(file) ? undefined : inbox.header(file);
    if (header && isName(header.to) && !marks.get(header.to)?.files.has(file))
      awaited.add(header.to);
  }
  for (const name of old) if (!awaited.has(name)) rmSync(join(config.read, name), { force: true });
}

/** Gives a function that lets other work through once a slice of time is used up. */
function slices(): () => Promise<void> {
  let end = performance.now() + SLICE_MS;
  return async () => {
    if (performance.now() < end) return;
    await nextTurn();
    end = performance.now() + SLICE_MS;
  };
}

/** A temporary lives for milliseconds; one an hour old was left by a killed writer. */
function removeTemporaries({ inbox, dir, read, log }: Config): void {
  for (const folder of [dir, inbox, read].filter(existsSync)) {
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
