import { join } from "node:path";
import { isMissing, isTransient } from "./errors.ts";
import { type Files, listIfThere, tryRemove } from "./files.ts";
import type { Clock, DataFolder } from "./system.ts";

declare const isChecked: unique symbol;

/**
 * A place in the order of sending: `YYYYMMDDTHHMMSSffffff`, which sorts as text. It starts as the
 * sender's local time, but it is not a time: it is never below the last one in the folder, whatever
 * the senders' clocks and zones say.
 */
export type Timestamp = string & { readonly [isChecked]: true };

/** The folder with `.order`, and the inbox, whose file names replace that file if it is lost. */
type OrderFolder = Pick<DataFolder, "dir" | "inbox">;

const LENGTH = 21;
/** Local time is at most 14 hours ahead of UTC, and a clock may be wrong by a day. */
const MAX_AHEAD_MS = (14 + 24) * 3600 * 1000;
const MAX_BYTES = 1024;

/** Local time in microseconds since 1970, as if the local zone were UTC. */
const localMicros = (clock: Clock, ms: number): number => (ms + clock.zoneOffset(ms)) * 1000;

function toTimestamp(micros: number): Timestamp {
  const ms = Math.floor(micros / 1000);
  const rest = String(Math.floor(micros - ms * 1000)).padStart(3, "0");
  return (new Date(ms).toISOString().replace(/[-:.Z]/g, "") + rest) as Timestamp;
}

/** Undefined if the text is not a timestamp. */
function toMicros(text: string): number | undefined {
  const pattern = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})(\d{3})$/;
  const [, year, month, day, hour, minute, second, ms, micros] = pattern.exec(text) ?? [];
  const instant = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
  return Number.isNaN(instant) ? undefined : instant * 1000 + Number(micros);
}

export const isTimestamp = (text: string): text is Timestamp => toMicros(text) !== undefined;

/** The timestamp that a message's file name starts with. */
export const timestampOf = (file: string): Timestamp => file.slice(0, LENGTH) as Timestamp;

/** Local time as a timestamp, without a place in the order. */
export const timestampNow = (clock: Clock): Timestamp =>
  toTimestamp(localMicros(clock, clock.now()));

/** True if no clock can have said this: somebody made the name up, and the order ignores it. */
export const isImplausible = (timestamp: Timestamp, clock: Clock): boolean =>
  timestamp > toTimestamp((clock.now() + MAX_AHEAD_MS) * 1000);

/** `YYYY-MM-DD HH:MM:SS` in local time: `created` in a message, `timestamp` in a heartbeat. */
export const localTime = (clock: Clock, ms = clock.now()): string =>
  new Date(localMicros(clock, ms) / 1000).toISOString().slice(0, 19).replace("T", " ");

/**
 * Reverses `localTime`, with or without fractions of a second. Returns ms since 1970, or undefined
 * if the text is not such a time.
 */
export function parseLocalTime(clock: Clock, text: string): number | undefined {
  const ms = Date.parse(`${text.replace(" ", "T")}Z`);
  return Number.isNaN(ms) ? undefined : ms - clock.zoneOffset(ms);
}

/**
 * Issues the next `count` timestamps of a data folder; the file `.order` holds the last one. Call
 * it under the inbox lock: without, another process may issue the same ones. Throws if `.order`
 * cannot be read just now. The data folder must exist.
 */
export function nextTimestamps(
  files: Files,
  clock: Clock,
  folder: OrderFolder,
  count: number,
): readonly Timestamp[] {
  const last = readLast(files, clock, folder);
  const now = localMicros(clock, clock.now());
  const first = last === undefined ? now : Math.max(now, last + 1);
  const issued = Array.from({ length: count }, (_, index) => toTimestamp(first + index));
  try {
    // In place: some file systems flush a renamed file to the disk, which takes milliseconds.
    files.overwrite(orderPath(folder), issued.at(-1) ?? "");
  } catch {
    // An older timestamp that stayed in the file would decide about the next one.
    tryRemove(files, orderPath(folder));
  }
  return issued;
}

/**
 * A place in the order that is before all messages to come, and after those that were sent. Throws
 * if it cannot be known just now.
 */
export function endOfOrder(files: Files, clock: Clock, folder: OrderFolder): Timestamp {
  // In a new folder the first message may come from any clock.
  return toTimestamp(readLast(files, clock, folder) ?? 0);
}

const orderPath = ({ dir }: OrderFolder): string => join(dir, ".order");

/** The last timestamp in microseconds; undefined in a new folder. */
function readLast(files: Files, clock: Clock, folder: OrderFolder): number | undefined {
  const path = orderPath(folder);
  try {
    const last = plausibleMicros(files.read(path, MAX_BYTES).text, clock);
    if (last !== undefined) return last;
  } catch (error) {
    if (isTransient(error)) throw error;
    // Something that is not our file lies in its place. A link is removed and not followed.
    if (!isMissing(error)) tryRemove(files, path);
  }
  // It was deleted, or it is damaged.
  const inInbox = listIfThere(files, folder.inbox).map((file) => plausibleMicros(file, clock));
  return inInbox.reduce((newest, each) => ((each ?? 0) > (newest ?? 0) ? each : newest), undefined);
}

function plausibleMicros(text: string, clock: Clock): number | undefined {
  const timestamp = timestampOf(text);
  return isImplausible(timestamp, clock) ? undefined : toMicros(timestamp);
}
