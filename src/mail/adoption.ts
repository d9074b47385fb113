import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { errorCode, readOwn, reasonOf, versionOf } from "../files.ts";
import { type Header, MAX_FILE_BYTES, parseMessage } from "./message.ts";

/** A file that a person writes is complete when it has not changed for so long. */
const QUIET_MS = 1000;
/** Servers that see the same file at the same moment shall not all want the lock at the same moment. */
const SPREAD_MS = 300;
const SETTLE_MS = 5000;

/**
 * Adopts files that people put into the inbox under names of their own: after a second of quiet, such a file is
 * given a stamped name, and from then on it is a message like any other. Before that it is nobody's mail.
 */
export class Adoption {
  /** Files that wait for their second of quiet, by the version they had when it began. */
  readonly #waiting = new Map<string, { version: string; timer: NodeJS.Timeout }>();
  /** Files that are no messages, by their version. */
  readonly #refused = new Map<string, string>();

  /** `place` takes the path of a message and moves it to its place in the order. */
  constructor(
    private readonly config: Config,
    private readonly place: (path: string, header: Header) => Promise<Header>,
  ) {}

  /** Takes note of a file; the second begins anew with each change. */
  look(file: string): void {
    const version = versionOf(join(this.config.inbox, file));
    const waiting = this.#waiting.get(file);
    if (version !== "" && (waiting?.version === version || this.#refused.get(file) === version))
      return;
    clearTimeout(waiting?.timer);
    this.#waiting.delete(file);
    this.#refused.delete(file);
    if (version === "") return;
    const timer = setTimeout(
      () => void this.#adopt(file, version),
      QUIET_MS + Math.random() * SPREAD_MS,
    ).unref();
    this.#waiting.set(file, { version, timer });
  }

  async #adopt(file: string, version: string): Promise<void> {
    const path = join(this.config.inbox, file);
    if (versionOf(path) !== version) return this.look(file);
    try {
      const { text, stats } = readOwn(path, MAX_FILE_BYTES);
      const { header } = parseMessage(file, text, stats.mtimeMs);
      await this.place(path, header);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") {
        this.#refused.set(file, version);
        this.config.log(`inbox/${file} is not a message and stays where it is: ${reasonOf(error)}`);
      } // else another server was faster
    }
    this.#waiting.delete(file);
  }

  /** Resolves when no file waits any more, or after some seconds. */
  async settled(): Promise<void> {
    const until = performance.now() + SETTLE_MS;
    while (this.#waiting.size > 0 && performance.now() < until) await sleep(20);
  }
}
