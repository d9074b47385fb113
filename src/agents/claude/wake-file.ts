import { join } from "node:path";
import { tryRemove, tryStat, writeFileAtomic } from "../../core/files.ts";
import type { System } from "../../core/system.ts";
import type { ToolCall, Waker } from "../../notify/waker.ts";
import type { RegisteredSession } from "./registry.ts";
import { NoticeTracker } from "./turns.ts";

/** The file of one session, which Claude Code watches for the plugin's hook. */
export const wakeFile = (folder: string, claudePid: number): string =>
  join(folder, String(claudePid));

/** Marks a session whose hook was set up: without it, nobody watches the file. */
export const readyFile = (folder: string, claudePid: number): string =>
  join(folder, `${claudePid}.ready`);

/**
 * Wakes a session through the plugin's FileChanged hook: the notice is written into a file that
 * Claude Code watches, and the hook takes it out and prints it.
 */
export class WakeFile implements Waker {
  readonly route = "hook";
  readonly #tracker: NoticeTracker;

  constructor(
    private readonly folders: readonly string[],
    private readonly claudePid: number,
    private readonly system: System,
    registered: () => RegisteredSession | undefined,
  ) {
    this.#tracker = new NoticeTracker(system.clock, registered);
  }

  problem(): "unavailable" | undefined {
    return this.#readyFolder() === undefined ? "unavailable" : undefined;
  }

  #readyFolder(): string | undefined {
    const isReady = (folder: string): boolean =>
      tryStat(this.system.files, readyFile(folder, this.claudePid)) !== undefined;
    return this.folders.find(isReady);
  }

  isPending(): boolean {
    return this.#tracker.isPending();
  }

  async wake(notice: string): Promise<void> {
    const folder = this.#readyFolder();
    if (folder === undefined) throw new Error("the plugin's hook has not set up its file");
    writeFileAtomic(this.system.files, wakeFile(folder, this.claudePid), `${notice}\n`);
    this.#tracker.onPosted();
  }

  onToolCall(call: ToolCall): void {
    this.#tracker.onToolCall(call);
  }

  /** Leaves nothing that would wake the next session whose process gets this PID. */
  close(): void {
    for (const folder of this.folders) {
      tryRemove(this.system.files, wakeFile(folder, this.claudePid));
    }
  }
}
