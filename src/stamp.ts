import { join } from "node:path";
import { readOwn, writeWhole } from "./files.ts";

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

/** The wall-clock time a stamp, or a file name that starts with one, stands for; undefined: it is none. */
export function wallOf(text: string): number | undefined {
  const [, y, m, d, hours, minutes, seconds, ms, micros] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})(\d{3})(?!\d)/.exec(text) ?? [];
  const instant = Date.parse(`${y}-${m}-${d}T${hours}:${minutes}:${seconds}.${ms}Z`);
  return Number.isNaN(instant) ? undefined : instant * 1000 + Number(micros);
}

/** `YYYY-MM-DD HH:MM:SS`, local: the `created` of a message and the `timestamp` of a heartbeat. */
export function localTime(ms = Date.now()): string {
  return new Date(wallClock(ms) / 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** Named by us or by the original, hence renamed into place whole; other names may still be being written. */
export const isOurName = (file: string): boolean => /^\d{8}T\d{12}-[0-9a-f]{8}-/.test(file);

/** May this name be a message at all? Hides temporaries and editors' leavings. */
export const isMessageName = (file: string): boolean => file.endsWith(".md") && !file.startsWith(".");

/** A stamp further ahead than this is somebody's file name and no clock: order does not follow it. */
const DAY_WALL = 24 * 3600 * 1e6;

let limit = { at: "", until: 0 };

/** Is this stamp so far ahead that order does not follow it? */
export function isAhead(at: string): boolean {
  const now = performance.now();
  if (now > limit.until) limit = { at: stamp(wallClock() + DAY_WALL), until: now + 60_000 };
  return at > limit.at;
}

/** The last stamp given in this data folder; "" where nobody knows. */
export function lastGiven(dir: string): string {
  try {
    const at = readOwn(join(dir, ".order"), 100).text;
    return wallOf(at) === undefined || isAhead(at) ? "" : at;
  } catch {
    return "";
  }
}

/** Records a stamp as given. A failure is let pass: what is written next will meet the same, and say so. */
export function give(dir: string, at: string): void {
  try {
    writeWhole(join(dir, ".order"), at);
  } catch {
    // order is weaker by that
  }
}

/** A place in the order of sending for something that happens now: what is sent later has a higher stamp. */
export function takeStamp(dir: string): string {
  const now = stamp(wallClock());
  const last = lastGiven(dir);
  if (now <= last) return last;
  give(dir, now);
  return now;
}
