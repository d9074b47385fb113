import { errorCode, isMissing, messageOf } from "../core/errors.ts";
import { tryStat } from "../core/files.ts";
import type { Inbox } from "../core/inbox.ts";
import { type Header, readMessage } from "../core/message.ts";
import type { System, Timer } from "../core/system.ts";

/** A file that a person writes is complete when it has not changed for this long. */
const QUIET_MS = 1000;
/** Servers that see a file at the same moment do not all want the lock at the same moment. */
const SPREAD_MS = 300;
/** A file whose time is further from now than this gets the present time with its new name. */
const HOUR_MS = 3600 * 1000;

/**
 * Renames files that people put into the inbox under names of their own: after a second without a
 * change, such a file gets a name with a timestamp and is a message like any other.
 */
export class HandwrittenFiles {
  /** Files that have changed lately, by the version that is to stay. */
  readonly #waiting = new Map<string, { version: string; timer: Timer }>();
  /** Files that are not messages, by their version. */
  readonly #invalid = new Map<string, string>();

  constructor(
    private readonly inbox: Inbox,
    private readonly system: System,
  ) {}

  start(): void {
    this.inbox.on("unstamped", (file) => this.#onFile(file));
  }

  close(): void {
    for (const { timer } of this.#waiting.values()) timer.cancel();
    this.#waiting.clear();
  }

  #onFile(file: string): void {
    const version = tryStat(this.system.files, this.inbox.pathOf(file))?.version;
    const waiting = this.#waiting.get(file);
    if (version === undefined || waiting?.version === version) return;
    if (this.#invalid.get(file) === version) return;
    waiting?.timer.cancel();
    const delay = QUIET_MS + Math.random() * SPREAD_MS;
    const timer = this.system.clock.after(delay, () => void this.#onQuiet(file, version));
    this.#waiting.set(file, { version, timer });
  }

  async #onQuiet(file: string, version: string): Promise<void> {
    const path = this.inbox.pathOf(file);
    let hasChanged = false;
    try {
      const moved = await this.inbox.moveIn([path], () => this.#readHeaders(file, version));
      hasChanged = moved.length === 0;
    } catch (error) {
      this.#onError(file, version, error);
    }
    if (this.#waiting.get(file)?.version !== version) return;
    this.#waiting.delete(file);
    if (hasChanged) this.#onFile(file);
  }

  /**
   * Called under the lock, since the new name of the file is made of its header. Returns no header
   * if the file has changed since `version`.
   */
  #readHeaders(file: string, version: string): Header[] {
    const { files, clock } = this.system;
    const path = this.inbox.pathOf(file);
    const stat = files.stat(path);
    if (stat?.version !== version) return [];
    const { header } = readMessage(this.system, path, file);
    if (Math.abs(clock.now() - stat.mtimeMs) < HOUR_MS) return [header];
    try {
      // The file's time is the message's age: a note from last year would be archived unread.
      files.touch(path, clock.now());
    } catch (error) {
      this.system.log(`inbox/${file} keeps its time: ${messageOf(error)}`);
    }
    return [readMessage(this.system, path, file).header]; // `created` may be the file's time
  }

  /** Only content can be wrong for good. After other errors the next scan tries again. */
  #onError(file: string, version: string, error: unknown): void {
    if (isMissing(error)) return; // another server was faster
    const isFinal = errorCode(error) === undefined;
    if (isFinal) this.#invalid.set(file, version);
    const what = isFinal ? "is not a message and stays where it is" : "could not be renamed yet";
    this.system.log(`inbox/${file} ${what}: ${messageOf(error)}`);
  }

  /** Resolves when no file waits, or after `ms`. For commands that read once and end. */
  async whenIdle(ms: number): Promise<void> {
    const deadline = this.system.clock.elapsed() + ms;
    while (this.#waiting.size > 0 && this.system.clock.elapsed() < deadline) {
      await new Promise<void>((resolve) => this.system.clock.after(20, resolve));
    }
  }
}
