import fs from "node:fs";
import { join } from "node:path";

/** A stamp further ahead than this is somebody's file name and no clock: order does not follow it. */
const DAY_WALL = 24 * 3600 * 1e6;
const STAMP_LENGTH = 21;

/**
 * Local wall-clock time in microseconds. Not an instant: stamps are local time in the original's format, so
 * order is kept by never giving a stamp below the last one, whatever the clock does.
 */
export function wallClock(ms = Date.now()): number {
  return (ms - new Date(ms).getTimezoneOffset() * 60_000) * 1000;
}

/** `YYYYMMDDTHHMMSSffffff` of a wall-clock time in microseconds. Stamps sort as text. */
export function stamp(wall: number): string {
  const ms = Math.floor(wall / 1000);
  const micros = String(Math.floor(wall - ms * 1000)).padStart(3, "0");
  return new Date(ms).toISOString().replace(/[-:.Z]/g, "") + micros;
}

/** The wall-clock time a stamp stands for; 0: it is none. */
function wallOf(text: string): number {
  const [, y, m, d, hours, minutes, seconds, ms, micros] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})(\d{3})$/.exec(text) ?? [];
  const instant = Date.parse(`${y}-${m}-${d}T${hours}:${minutes}:${seconds}.${ms}Z`);
  return Number.isNaN(instant) ? 0 : instant * 1000 + Number(micros);
}

/** `YYYY-MM-DD HH:MM:SS`, local: the `created` of a message and the `timestamp` of a heartbeat. */
export function localTime(ms = Date.now()): string {
  return new Date(wallClock(ms) / 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** Named by us or by the original, hence renamed into place whole; other names may still be being written. */
export const isOurName = (file: string): boolean => /^\d{8}T\d{12}-[0-9a-f]{8}-/.test(file);

/** May this name be a message at all? Hides temporaries and editors' leavings. */
export const isMessageName = (file: string): boolean => file.endsWith(".md") && !file.startsWith(".");

/** Is this stamp so far ahead that order does not follow it? */
export const isAhead = (at: string): boolean => at > stamp(wallClock() + DAY_WALL);

/**
 * Takes `count` places in the order of sending, a microsecond each, after all that were taken in this data folder
 * and after `newest`; gives the first, as wall-clock time. Two who do this at once may get the same: see `Inbox`.
 */
export function takeStamps(dir: string, count: number, newest: string): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  let fd: number | undefined;
  let last = "";
  try {
    fd = fs.openSync(join(dir, ".order"), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    const bytes = Buffer.alloc(STAMP_LENGTH);
    last = bytes.toString("latin1", 0, fs.readSync(fd, bytes, 0, bytes.length, 0));
  } catch {
    // nobody knows
  }
  const first = Math.max(wallClock(), wallOf(isAhead(last) ? "" : last) + 1, wallOf(newest) + 1);
  try {
    // In place: file systems flush what is truncated or renamed over, and that takes milliseconds.
    if (fd !== undefined) fs.writeSync(fd, stamp(first + count - 1), 0);
  } catch {
    // What is written next will meet the same, and say so.
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
  return first;
}

/** A place in the order of sending for something that happens now: what is sent later has a higher stamp. */
export const takeStamp = (dir: string): string => stamp(takeStamps(dir, 1, ""));
