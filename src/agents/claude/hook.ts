import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import type { Config } from "../../config.ts";
import { messageOf } from "../../core/errors.ts";
import { diskFiles, tryRemove, writeFileAtomic } from "../../core/files.ts";
import { readyFile, wakeFile } from "./wake-file.ts";

const MAX_NOTICE_BYTES = 64 * 1024;

/** What a hook of the plugin has to do. */
export interface HookResult {
  /** For standard output, which Claude Code reads. */
  readonly output?: string;
  /** For standard error with exit code 2, which wakes the session. */
  readonly notice?: string;
}

/**
 * Runs one of the plugin's hooks. At SessionStart, Claude Code is told which file to watch; when
 * that file changes, the notice is taken out of it. A hook that always exited with 2 would wake the
 * session forever, so every failure is an empty result.
 */
export async function runHook(config: Config): Promise<HookResult> {
  try {
    const event = JSON.parse(await readAll(process.stdin));
    const pid = Number(config.env.CLAUDE_PID);
    if (!Number.isSafeInteger(pid) || pid <= 0) return {};
    const folder = join(config.dir, "wake");
    if (event.hook_event_name === "SessionStart") return startWatch(folder, pid);
    if (event.hook_event_name === "FileChanged") return takeNotice(folder, pid);
    return {};
  } catch (error) {
    config.log(`hook: ${messageOf(error)}`);
    return {};
  }
}

function startWatch(folder: string, pid: number): HookResult {
  writeFileAtomic(diskFiles, readyFile(folder, pid), "");
  const hookSpecificOutput = { hookEventName: "SessionStart", watchPaths: [wakeFile(folder, pid)] };
  return { output: JSON.stringify({ hookSpecificOutput }) };
}

/** The rename is atomic, so each notice wakes once. Files of other plugins call this too. */
function takeNotice(folder: string, pid: number): HookResult {
  const taken = join(folder, `.tmp-${pid}-${randomUUID()}`);
  try {
    diskFiles.rename(wakeFile(folder, pid), taken);
  } catch {
    return {}; // it was taken before, or another file has changed
  }
  try {
    const notice = diskFiles.read(taken, MAX_NOTICE_BYTES).text.trim();
    return notice ? { notice } : {};
  } finally {
    tryRemove(diskFiles, taken);
  }
}
