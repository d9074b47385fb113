import { createHash } from "node:crypto";
import { join } from "node:path";
import { tryRemove, tryStat, writeFileAtomic } from "../../core/files.ts";
import type { ProcessTable, System } from "../../core/system.ts";
import type { ToolCall, Waker } from "../../notify/waker.ts";
import { NoticeTracker } from "./notice-tracker.ts";
import type { RegisteredSession } from "./registry.ts";

/** The file of one session, which Claude Code watches for the plugin's hook. */
export const wakeFile = (folder: string, processes: ProcessTable, claudePid: number): string =>
  join(folder, `${claudePid}-${digitsOf(processes.host)}`);

/** Marks a session whose hook was set up: without it, nobody watches the file. */
export const readyFile = (folder: string, processes: ProcessTable, claudePid: number): string =>
  `${wakeFile(folder, processes, claudePid)}.ready`;

/** Containers that share the data folder have processes with the same PID. */
const digitsOf = (host: string): string =>
  createHash("sha256").update(host).digest("hex").slice(0, 8);

/** True if the file belongs to a session on this host that has ended. */
export function isLeftBehind(file: string, processes: ProcessTable): boolean {
  const [, pid, host] = /^(\d+)-([\da-f]{8})(?:\.ready)?$/.exec(file) ?? [];
  return host === digitsOf(processes.host) && !processes.isRunning(Number(pid));
}

/**
 * Wakes a session through the plugin's FileChanged hook: the notice is written into a file that
 * Claude Code watches, and the hook removes it and prints the notice.
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
      tryStat(this.system.files, readyFile(folder, this.system.processes, this.claudePid)) !==
      undefined;
    return this.folders.find(isReady);
  }

  isPending(): boolean {
    return this.#tracker.isPending();
  }

  async wake(notice: string): Promise<void> {
    const folder = this.#readyFolder();
    if (folder === undefined) throw new Error("the plugin's hook has not set up its file");
    const { files, processes } = this.system;
    const path = wakeFile(folder, processes, this.claudePid);
    await this.#tracker.track(() => writeFileAtomic(files, path, `${notice}\n`));
  }

  onToolCall(call: ToolCall): void {
    this.#tracker.onToolCall(call);
  }

  /** Leaves nothing that would wake the next session whose process gets this PID. */
  close(): void {
    const { files, processes } = this.system;
    for (const folder of this.folders) {
      tryRemove(files, wakeFile(folder, processes, this.claudePid));
    }
  }
}
