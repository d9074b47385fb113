/** Temporary data folders: what lies in each before a measure, and the server that works in it. */

import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { launch, Session } from "./session.ts";

/**
 * What is on disk: `count` messages in `folder`; each of the ten OWNERS has `mine` of them to read.
 */
export interface Filling {
  title: string;
  folder: "inbox" | "archive";
  count: number;
  mine: number;
}

export interface Server {
  label: "t9-ipc" | "original";
  data: string;
  /** Starts a session; the flags are for Node, where the server runs on it. */
  open(name: string, flags?: string[]): Session;
  /** The same server with its data in another folder; only ours can have it there. */
  elsewhere?(dir: string): Server;
}

export const OWNERS = 10;
const HOUR = 3_600_000;
const BODY =
  "The parser keeps header values as strings now; pull main before touching the cache.\n".repeat(3);

export const sessionName = (n: number): string => `bench-${String(n).padStart(2, "0")}`;

export function fillings(sizes: number[]): Filling[] {
  const short = (n: number) => (n % 1000 ? String(n) : `${n / 1000}k`);
  const at = (folder: Filling["folder"]) =>
    sizes
      .filter(Boolean)
      .map((count) => ({ title: `${folder} ${short(count)}`, folder, count, mine: 0 }));
  const all = [...at("archive"), ...at("inbox")];
  if (sizes.includes(0)) all.unshift({ title: "empty", folder: "inbox", count: 0, mine: 0 });
  if (sizes.includes(10_000))
    all.push({ title: "10k, 1k mine", folder: "inbox", count: 10_000, mine: 1000 });
  return all;
}

export const BUILT = resolve(import.meta.dirname, "../../dist/server.js");

export function ours(dir: string, entry = BUILT): Server {
  const data = join(dir, "ipc");
  const env = (name: string) => ({ IPC_DIR: data, IPC_SESSION_ID: name });
  const open = (name: string, flags: string[] = []) =>
    new Session(name, launch(process.execPath, [...flags, entry], dir, env(name)));
  return { label: "t9-ipc", data, open, elsewhere: (other) => ours(other, entry) };
}

/** The Python original, in a copy of its checkout: its data folder lies inside. */
export function original(dir: string, checkout: string): Server {
  const copy = join(dir, "original");
  const wanted = (path: string) => ![".git", "data", "__pycache__"].includes(basename(path));
  cpSync(checkout, copy, { recursive: true, filter: wanted });
  const open = (name: string) =>
    new Session(name, launch("python3", ["mcp/server.py"], copy, { IPC_SESSION_ID: name }));
  return { label: "original", data: join(copy, "data/ipc"), open };
}

/**
 * Inbox messages are from the last twelve hours, so that no sweep takes them; archived ones a month
 * old.
 */
export function fill(data: string, { folder, count, mine }: Filling): void {
  for (const name of ["inbox", "archive"])
    mkdirSync(join(data, name), { recursive: true, mode: 0o700 });
  const newest = Date.now() - (folder === "inbox" ? HOUR : 30 * 24 * HOUR);
  for (let i = 0; i < count; i++) {
    const at = new Date(newest - ((count - i) * 11 * HOUR) / count);
    const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString();
    const created = local.slice(0, 19).replace("T", " ");
    const to = i < mine * OWNERS ? sessionName(i % OWNERS) : `absent-${i % 40}`;
    const header = `from: filler\nto: ${to}\ntype: ipc\nsubject: note ${i}\npriority: normal\ncreated: ${created}`;
    const stamp = local.slice(0, 19).replace(/[-:]/g, "") + String(i).padStart(6, "0");
    const name = `${stamp}-${i.toString(16).padStart(8, "0")}-filler-${to}-note_${i}.md`;
    writeFileSync(join(data, folder, name), `---\n${header}\n---\n\n${BODY}`, { mode: 0o600 });
  }
}

/** Back to the filling: takes out what a measure has sent. No server may be running. */
export function reset(data: string): void {
  for (const name of readdirSync(join(data, "inbox")))
    if (name.endsWith(".md") && !name.includes("-filler-")) rmSync(join(data, "inbox", name));
}

/** Removes the read cache, which any server rebuilds. */
export function dropCache(data: string): void {
  for (const name of readdirSync(data)) if (name.startsWith("cache.db")) rmSync(join(data, name));
}
