// What was sent, what the answers said, and who was shown it.

import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { isEveryone, nameKey } from "../../src/core/names.ts";
import { filesIn } from "../support/mail.ts";
import type { Actor } from "./actor.ts";
import type { Holder } from "./names.ts";
import type { World } from "./world.ts";

/** Names are noted once a minute, and marks that could not be written before are written then. */
const MARKED_MS = 75_000;
/** Marks are written this long after the answer. The machine is busy. */
const WRITTEN_MS = 200;
/** A message is pushed to whoever has the name by a check this long ago. */
const PUSH_MS = 2500;

const BLOCK =
  /^from: (.*)\nto: (.*)\nsubject: .*\n(?:.+\n)*?file: (.*)\n\n([\s\S]*?)\n--- end of \3 ---$/gm;
const ID = /soak (\d+) /;

interface Sent extends Holder {
  readonly id: number;
  readonly to: string;
  readonly subject: string;
  readonly body: string;
  readonly start: number;
  end: number;
  /** `doubt`: no answer came, or it said that it does not know. */
  outcome: "stored" | "refused" | "doubt";
  /** Undefined for a note that somebody wrote by hand. */
  files: readonly string[] | undefined;
}

export interface Shown extends Holder {
  readonly id: number;
  readonly file: string;
  readonly to: string;
  readonly start: number;
  readonly end: number;
}

interface Answer {
  readonly text: string;
  readonly isError: boolean;
  readonly start: number;
  readonly end: number;
}

export class Ledger {
  readonly #sent = new Map<number, Sent>();
  readonly #shown: Shown[] = [];
  readonly #pushed: Shown[] = [];
  /** By message, the conversations that were shown it. */
  readonly #readers = new Map<number, Set<string>>();
  /** How often a message was shown, by `keyOf`. */
  readonly #times = new Map<string, number>();
  /** How often a message may be shown again, since its mark was lost. */
  readonly #excuses = new Map<string, number>();
  /** When a conversation got its first answer: mail to everyone is its from then on. */
  readonly #since = new Map<string, number>();
  /** Ids of messages that the script has damaged itself. */
  readonly #destroyed = new Set<number>();
  /** Ids of messages that their senders may be shown, since the mark against that was lost. */
  readonly #unmarkedOwn = new Set<number>();
  /** How often a server said so. */
  sentWithoutLock = 0;
  /** False if names change hands: with a name goes what its holder has heard of mail to all. */
  isStrictOnBroadcasts = true;
  /** Marks may be late until then, since their lock was left behind. */
  #lateUntil = 0;

  constructor(private readonly world: World) {}

  /** A new message, of which nothing is known yet. */
  open({ conversation, folder }: Holder, to: string): Sent {
    const id = this.#sent.size + 1;
    const size = this.world.pick([0, 10, 200, 2000, 9000]);
    const sent: Sent = {
      id,
      to,
      subject: `soak ${id} `.trim(),
      body: `soak ${id} ${"x y ".repeat(size / 4)}end ${id}.`,
      conversation,
      folder,
      start: Date.now(),
      end: Number.POSITIVE_INFINITY,
      outcome: "doubt",
      files: undefined,
    };
    this.#sent.set(id, sent);
    return sent;
  }

  onSent(sent: Sent, { text, isError, end }: Answer): void {
    const isDoubtful = /^(Sent in part|It is not known)/.test(text);
    sent.outcome = !isError ? "stored" : isDoubtful ? "doubt" : "refused";
    sent.files = isError
      ? []
      : [...text.matchAll(/Stored as (\S+\.md)\./g)].map(([, f]) => f ?? "");
    sent.end = end;
    this.#noteSince(sent.conversation, end);
    this.world.count(`messages ${sent.outcome}${isEveryone(sent.to) ? ", to all" : ""}`);
    if (isError) this.#countRefusal(text);
  }

  #countRefusal(text: string): void {
    this.world.count(
      `refused: ${text.replace(/\S*[\d/]\S*|\s+/g, (each) => (each.trim() ? "…" : " ")).slice(0, 60)}`,
    );
  }

  /** A note that somebody has put into the inbox. */
  onWritten(sent: Sent): void {
    sent.outcome = "stored";
    sent.end = Date.now();
    this.world.count("notes written by hand");
  }

  #noteSince(conversation: string, at: number): void {
    if (!this.#since.has(conversation)) this.#since.set(conversation, at);
  }

  onRead(actor: Actor, holder: Holder, { text, isError, start, end }: Answer): number {
    if (isError) {
      this.#countRefusal(text);
      return 0;
    }
    this.#noteSince(holder.conversation, end);
    let count = 0;
    for (const [, from = "", to = "", file = "", body = ""] of text.matchAll(BLOCK)) {
      count++;
      const id = Number(ID.exec(body)?.[1]);
      if (this.#destroyed.has(id) || !this.#sent.has(id)) continue;
      const shown = { ...holder, id, file, to, start, end };
      this.#shown.push(shown);
      actor.unconfirmed.push(shown);
      actor.lastShown = { file, from };
      this.world.count("messages shown");
      this.world.log(`${actor.label} is shown ${file}`);
      if (body !== this.#sent.get(id)?.body) this.world.fail(`${file} was not shown whole`);
      if (Date.now() < this.#lateUntil) this.#excuse(shown, "a lock left behind");
      this.#countShown(shown);
    }
    return count;
  }

  #countShown(shown: Shown): void {
    const readers = this.#readers.get(shown.id) ?? new Set();
    this.#readers.set(shown.id, readers.add(shown.conversation));
    const key = keyOf(shown);
    const times = (this.#times.get(key) ?? 0) + 1;
    this.#times.set(key, times);
    if (times === 1) return;
    this.world.count(`messages shown again${isEveryone(shown.to) ? ", to all" : ""}`);
    if (isEveryone(shown.to) && !this.isStrictOnBroadcasts) return;
    const all = this.#shown.filter((each) => keyOf(each) === key);
    if (all.some((each) => isReadAtOnce(each, shown))) this.#excuse(shown, "read at once");
    if (times > 1 + (this.#excuses.get(key) ?? 0)) {
      this.world.fail(
        `${shown.file} to ${shown.to} was shown again: ${all.map(describe).join("; ")}`,
      );
    }
  }

  #excuse(shown: Shown, reason: string): void {
    const key = keyOf(shown);
    this.#excuses.set(key, (this.#excuses.get(key) ?? 0) + 1);
    this.world.count(`marks that may be missing: ${reason}`);
  }

  /** The server was killed: what is not marked now will be shown again. */
  onKilled(actor: Actor): void {
    for (const shown of this.excuseUnmarked(actor)) {
      const age = Date.now() - shown.end;
      if (age < MARKED_MS) continue;
      this.world.fail(`${describe(shown)}, and ${shown.file} was not marked after ${age} ms`);
    }
  }

  excuseUnmarked(actor: Actor): Shown[] {
    const marks = this.#marks();
    const missing = actor.unconfirmed.filter((shown) => !this.#isMarked(shown, marks));
    actor.unconfirmed = [];
    for (const shown of missing) this.#excuse(shown, "a kill or a pause");
    return missing;
  }

  /** Somebody has left the lock of a file with marks. */
  onMarksLocked(): void {
    const now = Date.now();
    for (const shown of this.#shown) if (shown.end > now - 3000) this.#excuse(shown, "a lock");
    this.#lateUntil = now + 8000;
  }

  /** All marks are away for a while, and mail counts as unread meanwhile. */
  onMarksAway(): void {
    for (const shown of this.#shown) this.#excuse(shown, "they were away");
    for (const id of this.#sent.keys()) this.#unmarkedOwn.add(id);
  }

  /** These marks are about to be lost. */
  onMarksDestroyed(name: string, text: string): void {
    const lines = new Set(text.split("\n"));
    for (const shown of this.#shown) {
      const isOwn = this.world.names.namesOf(shown).has(nameKey(name));
      if (isOwn && lines.has(shown.file)) this.#excuse(shown, "they were damaged");
    }
    for (const line of lines) this.#unmarkedOwn.add(idIn(line));
  }

  /** The script damages the message that this text is of. False if it cannot be known which. */
  onMessageDestroyed(text: string): boolean {
    const id = Number(ID.exec(text)?.[1]);
    if (!this.#sent.has(id)) return false;
    if (!this.#destroyed.has(id)) this.world.count("messages damaged by the script");
    this.#destroyed.add(id);
    return true;
  }

  onPush(actor: Actor, { meta }: { meta: Record<string, string> }): void {
    const { to = "", filename: file = "", subject = "" } = meta;
    const id = Number(/\d+/.exec(subject)?.[0]);
    if (!file || !this.#sent.has(id) || this.#destroyed.has(id) || isEveryone(to)) return;
    this.world.count("messages pushed");
    const { conversation, folder } = actor;
    const end = Date.now();
    this.#pushed.push({ conversation, folder, id, file, to, start: end - PUSH_MS, end });
  }

  /** All marks on the disk, by name, those that stopped counting included. */
  #marks(): Map<string, Set<string>> {
    const folder = join(this.world.dir, "read");
    const marks = new Map<string, Set<string>>();
    for (const name of tryList(folder)) {
      const key = nameKey(name);
      const lines = tryRead(join(folder, name))
        .split("\n")
        .filter((line) => line[0] !== "#");
      marks.set(key, new Set([...(marks.get(key) ?? []), ...lines]));
    }
    return marks;
  }

  #isMarked(shown: Shown, marks: ReadonlyMap<string, ReadonlySet<string>>): boolean {
    const names = this.world.names.namesOf(shown);
    return [...names].some((name) => marks.get(name)?.has(shown.file));
  }

  /** Everybody a message is addressed to. */
  addressees(): Set<string> {
    return new Set([...this.#sent.values()].map(({ to }) => to).filter((to) => !isEveryone(to)));
  }

  /** Checks all promises, once everybody has read all and has left. */
  check(): void {
    this.#checkStored();
    this.#checkOrder();
    for (const shown of this.#shown) this.#checkReader(shown, "was shown");
    for (const pushed of this.#pushed) this.#checkReader(pushed, "was announced");
    this.#checkAllRead();
    this.#checkMarks();
  }

  #checkStored(): void {
    const { world } = this;
    const found = new Map<number, string[]>();
    const folders = ["inbox", "archive"];
    for (const folder of folders) {
      for (const file of filesIn(world.dir, folder)) {
        const text = tryRead(join(world.dir, folder, file));
        const id = Number(ID.exec(text)?.[1]);
        const sent = this.#sent.get(id);
        if (!sent || this.#destroyed.has(id)) continue;
        found.set(id, [...(found.get(id) ?? []), file]);
        if (!text.endsWith(`\n\n${sent.body}\n`)) world.fail(`${folder}/${file} is not whole`);
        if (!/^\d{8}T\d{12}-/.test(file)) world.fail(`${folder}/${file} was not taken in`);
        const from = /^from: (.*)$/m.exec(text)?.[1] ?? "";
        const other = world.names.rightfulHolder(from, sent, sent.start, sent.end);
        if (other && sent.outcome === "stored" && sent.files) {
          world.fail(`${file} was sent by ${sent.folder} under the name of ${other.folder}`);
        }
      }
    }
    for (const { id, outcome, files, to } of this.#sent.values()) {
      if (outcome === "doubt") world.count("messages without a clear answer");
      const present = (found.get(id) ?? []).sort();
      if (this.#destroyed.has(id)) continue;
      const isWrong =
        (outcome === "stored" && String(present) !== String(files ?? present.slice(0, 1))) ||
        (outcome === "stored" && present.length === 0) ||
        (outcome === "refused" && present.length > 0) ||
        present.length > 1;
      const said = `${outcome}${files ? ` as [${files}]` : ""}`;
      if (isWrong) world.fail(`message ${id} to ${to} was ${said}, and there is [${present}]`);
    }
  }

  /** Only who goes on without the lock of the inbox may issue a timestamp a second time. */
  #checkOrder(): void {
    const stamps = filesIn(this.world.dir).map((file) => file.slice(0, 21));
    const repeated = stamps.length - new Set(stamps).size;
    this.world.count("timestamps issued twice", repeated);
    if (repeated <= this.sentWithoutLock) return;
    this.world.fail(`${repeated} timestamps twice, lock missed ${this.sentWithoutLock} times`);
  }

  #checkReader(shown: Shown, what: string): void {
    const { names, actors } = this.world;
    const { to, file, start, end } = shown;
    if (isEveryone(to) || this.#destroyed.has(shown.id)) return;
    const other = names.rightfulHolder(to, shown, start, end);
    if (other)
      this.world.fail(`${file} ${what} to ${describe(shown)}, but ${other.folder} is ${to}`);
    const provisional = actors.some(({ label }) => nameKey(to).startsWith(`${label}-`));
    const isOwn = names.namesOf(shown).has(nameKey(to)) || provisional;
    if (!isOwn) this.world.fail(`${file} ${what} to ${describe(shown)}, who never was ${to}`);
  }

  #checkAllRead(): void {
    const conversations = new Set(this.world.actors.map(({ conversation }) => conversation));
    for (const sent of this.#sent.values()) {
      const { id, to, outcome, end, files } = sent;
      if (outcome !== "stored" || this.#destroyed.has(id)) continue;
      const readers = this.#readers.get(id) ?? new Set();
      if (!isEveryone(to)) {
        if (readers.size === 0)
          this.world.fail(`${files ?? `note ${id}`} to ${to} was read by nobody`);
        continue;
      }
      if (!this.isStrictOnBroadcasts) continue;
      if (readers.has(sent.conversation) && !this.#unmarkedOwn.has(id)) {
        this.world.fail(`${files} was shown as mail to the one who had sent it`);
      }
      for (const conversation of conversations) {
        const since = this.#since.get(conversation) ?? Number.POSITIVE_INFINITY;
        if (conversation === sent.conversation || since > sent.start) continue;
        if (!readers.has(conversation)) {
          this.world.fail(`${files} to all (${new Date(end)}) was hidden from ${conversation}`);
        }
      }
    }
  }

  /** Nothing is marked that was not shown, and what was shown is marked. */
  #checkMarks(): void {
    const { names } = this.world;
    const marks = this.#marks();
    const readers = new Map<string, Holder[]>();
    const add = (file: string, holder: Holder) =>
      readers.set(file, [...(readers.get(file) ?? []), holder]);
    for (const shown of this.#shown) {
      add(shown.file, shown);
      if (this.#destroyed.has(shown.id) || this.#isMarked(shown, marks)) continue;
      this.world.fail(`${shown.file} is not marked, though it was shown: ${describe(shown)}`);
    }
    const bySender = new Map<number, Sent>();
    for (const sent of this.#sent.values()) if (isEveryone(sent.to)) bySender.set(sent.id, sent);
    for (const [name, files] of marks) {
      for (const file of files) {
        const id = idIn(file);
        if (!this.#sent.has(id) || this.#destroyed.has(id)) continue;
        const sender = bySender.get(id);
        const holders = [...(readers.get(file) ?? []), ...(sender ? [sender] : [])];
        if (holders.some((holder) => names.namesOf(holder).has(name))) continue;
        // Until it could enter the list, a session went by a name that no list shows.
        if (holders.some(({ folder }) => name.startsWith(`${basename(folder)}-`))) continue;
        this.world.fail(`${file} is marked as read by ${name}, which never saw it`);
      }
    }
  }
}

/** The message that a file name is of. */
const idIn = (file: string): number => Number(/-soak_(\d+)\.md$/.exec(file)?.[1]);

/** Mail to everyone is shown to each, and again to a conversation that is opened elsewhere. */
const keyOf = ({ id, to, conversation, folder }: Shown): string =>
  isEveryone(to) ? `${id} ${conversation} ${folder}` : String(id);

/**
 * Two processes have the conversation open, and one was called before the other had written its
 * marks. That is done after the answer, so both show the mail.
 */
const isReadAtOnce = (a: Shown, b: Shown): boolean =>
  a.conversation === b.conversation &&
  a.folder !== b.folder &&
  a.start <= b.end + WRITTEN_MS &&
  b.start <= a.end + WRITTEN_MS;

const describe = ({ folder, conversation, start, end }: Shown): string =>
  `${folder.split("/").at(-1)} (conversation ${conversation.slice(-4)}, ${time(start)} to ${time(end)})`;

const time = (ms: number): string => new Date(ms).toISOString().slice(11, 23);

function tryList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Empty if it is not a regular file. */
export function tryRead(path: string): string {
  try {
    return lstatSync(path).isFile() ? readFileSync(path, "utf8") : "";
  } catch {
    return "";
  }
}
