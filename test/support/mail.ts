// Message files as a person, a script or the Python original writes and reads them, with no code of
// ours.

import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Entry {
  timestamp: string;
  status: string;
  pid: number;
  working_on: string;
  [field: string]: unknown;
}

/** Names of the message files in a folder, in the order of sending. */
export function filesIn(dir: string, folder = "inbox"): string[] {
  try {
    return readdirSync(join(dir, folder))
      .filter((file) => file.endsWith(".md"))
      .sort();
  } catch {
    return [];
  }
}

export const readMail = (dir: string, file: string): string =>
  readFileSync(join(dir, "inbox", file), "utf8");

/** Writes a file into the inbox, without any care. */
export function writeMail(dir: string, file: string, text: string | Buffer): void {
  mkdirSync(join(dir, "inbox"), { recursive: true });
  writeFileSync(join(dir, "inbox", file), text);
}

/** Moves a complete message into the inbox, so that nobody reads half of it. */
export function moveMail(dir: string, file: string, text: string): void {
  const temporary = join(dir, `.tmp-${file}`);
  writeFileSync(temporary, text);
  renameSync(temporary, join(dir, "inbox", file));
}

/**
 * The same under many names: links to one file, since making thousands of files takes the system
 * seconds.
 */
export function writeMany(dir: string, files: readonly string[], text: string): void {
  const [first = "", ...others] = files;
  writeMail(dir, first, text);
  for (const file of others) linkSync(join(dir, "inbox", first), join(dir, "inbox", file));
}

/** A whole message, with the fields in the order given. */
export function mail(fields: Record<string, string>, body = ""): string {
  const lines = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`);
  return `---\n${lines.join("")}---\n\n${body}\n`;
}

/** The heartbeats as they are now; empty where there are none. */
export function heartbeats(dir: string): Record<string, Entry> {
  try {
    return JSON.parse(readFileSync(join(dir, "heartbeats.json"), "utf8"));
  } catch {
    return {};
  }
}

/** Local time, `days` ago, as a file name starts with it: `YYYYMMDDTHHMMSSffffff`. */
export function stamp(days = 0, micros = 0): string {
  const text = localTime(days).replace(" ", "T").replace(/[-:]/g, "");
  return text + String(micros).padStart(6, "0");
}

/** Local time, `days` ago: `YYYY-MM-DD HH:MM:SS`. */
export function localTime(days = 0): string {
  const then = Date.now() - days * 24 * 3600 * 1000;
  const local = new Date(then - new Date(then).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace("T", " ");
}

/**
 * Reads a message line by line, as the Python original does: no YAML, quotes stay, the first colon
 * splits.
 */
export function readByLine(text: string): { fields: Record<string, string>; body: string } {
  const lines = text.split("\n");
  const end = lines.indexOf("---", 1);
  const fields = lines.slice(1, end).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
  return { fields: Object.fromEntries(fields), body: lines.slice(end + 2, -1).join("\n") };
}
