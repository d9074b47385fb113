import fs from "node:fs";
import { join } from "node:path";
import { makeFolder } from "./files.ts";

declare const isStamp: unique symbol;

/**
 * A place in the order of sending: `YYYYMMDDTHHMMSSffffff`, which sorts as text. It looks like a time and starts as
 * the sender's local one, but only the order counts: a stamp is never given below the last one, whatever the
 * clocks and time zones of the senders say.
 */
export type Stamp = string & { readonly [isStamp]: true };

const STAMP_LENGTH = 21;
/**
 * Clocks reach 14 hours ahead of UTC, and may be wrong by a day. A stamp beyond that is somebody's file name and
 * no clock: the order does not follow it.
 */
const FURTHEST_MS = (14 + 24) * 3600 * 1000;

/** Local wall-clock time in microseconds since 1970, as if the local zone were UTC. `ms`: since 1970. */
export function wallClock(ms = Date.now()): number {
  return (ms - new Date(ms).getTimezoneOffset() * 60_000) * 1000;
}

/** The stamp of a wall-clock time in microseconds. */
export function stampOf(wall: number): Stamp {
  const ms = Math.floor(wall / 1000);
  const micros = String(Math.floor(wall - ms * 1000)).padStart(3, "0");
  return (new Date(ms).toISOString().replace(/[-:.Z]/g, "") + micros) as Stamp;
}

/** The wall-clock time in microseconds that a stamp stands for; 0 where the text is none. */
export function wallOf(text: string): number {
  const [, y, m, d, hours, minutes, seconds, ms, micros] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})(\d{3})$/.exec(text) ?? [];
  const instant = Date.parse(`${y}-${m}-${d}T${hours}:${minutes}:${seconds}.${ms}Z`);
  return Number.isNaN(instant) ? 0 : instant * 1000 + Number(micros);
}

/** `YYYY-MM-DD HH:MM:SS`, local: the `created` of a message and the `timestamp` of a heartbeat. `ms`: since 1970. */
export function localTime(ms = Date.now()): string {
  return new Date(wallClock(ms) / 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** The stamp that a message file's name starts with. */
export const stampIn = (file: string): Stamp => file.slice(0, STAMP_LENGTH) as Stamp;

/** Is this stamp so far ahead of every clock that the order must not follow it? */
export const isAhead = (stamp: Stamp): boolean =>
  stamp > stampOf((Date.now() + FURTHEST_MS) * 1000);

/**
 * Takes `count` places in the order of sending, a microsecond each, after all that were taken in this data folder
 * and after `newest`; gives the first, as wall-clock time in microseconds. Two processes that do this at the same
 * time without a lock may be given the same places.
 */
export function takeStamps(dir: string, count: number, newest: Stamp | ""): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const after = (last: string): number =>
    Math.max(wallClock(), wallOf(last) + 1, wallOf(newest) + 1);
  let first = after("");
  try {
    makeFolder(dir);
    const fd = fs.openSync(join(dir, ".order"), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      const bytes = Buffer.alloc(STAMP_LENGTH);
      const last = bytes.toString("latin1", 0, fs.readSync(fd, bytes, 0, bytes.length, 0)) as Stamp;
      if (!isAhead(last)) first = after(last);
      // In place: file systems flush what is truncated or renamed over, and that takes milliseconds.
      fs.writeSync(fd, stampOf(first + count - 1), 0);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    // Without the file the order is kept among what this process knows. On a full disk the message fails as well.
  }
  return first;
}

/** A place in the order of sending for something that happens now: what is sent later has a higher stamp. */
export const takeStamp = (dir: string): Stamp => stampOf(takeStamps(dir, 1, ""));
