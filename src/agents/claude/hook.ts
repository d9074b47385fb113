import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import type { Config } from "../../config.ts";
import { isMissing, messageOf } from "../../core/errors.ts";
import { diskFiles, tryRemove, writeFileAtomic } from "../../core/files.ts";
import { createProcessTable } from "../../core/process.ts";
import type { ProcessTable } from "../../core/system.ts";
import { plural } from "../../core/text.ts";
import { readSessionMail } from "./session-mail.ts";
import { readyFile, wakeFile } from "./wake-file.ts";

const MAX_NOTICE_BYTES = 64 * 1024;

/** The result of a hook of the plugin. */
export interface HookResult {
  /** For standard output, which Claude Code reads. */
  readonly output?: string;
  /** For standard error with exit code 2, which wakes the session. */
  readonly notice?: string;
}

/**
 * Runs one of the plugin's hooks. At SessionStart, it names the file that Claude Code is to watch.
 * When that file changes, the hook takes the notice out of it. A hook that always exited with 2
 * would wake the session forever, so every failure is an empty result.
 */
export async function runHook(config: Config): Promise<HookResult> {
  try {
    const event = JSON.parse(await readAll(process.stdin));
    const pid = Number(config.env.CLAUDE_PID);
    if (!Number.isSafeInteger(pid) || pid <= 0) return {};
    if (config.isDisabled) return {};
    const files = { dir: config.wakeFolders[0], pid, processes: createProcessTable() };
    if (event.hook_event_name === "SessionStart") {
      return startWatch(files, waitingMailText(config, event.session_id));
    }
    if (event.hook_event_name === "FileChanged") return takeNotice(files);
    return {};
  } catch (error) {
    config.log(`hook: ${messageOf(error)}`);
    return {};
  }
}

/** Identifies the wake file of one session. */
interface WakeFiles {
  readonly dir: string;
  /** Claude Code's process. */
  readonly pid: number;
  readonly processes: ProcessTable;
}

/** @param systemMessage Claude Code shows it to the user and not to the model */
function startWatch(
  { dir, pid, processes }: WakeFiles,
  systemMessage: string | undefined,
): HookResult {
  writeFileAtomic(diskFiles, readyFile(dir, processes, pid), "");
  const watchPaths = [wakeFile(dir, processes, pid)];
  const hookSpecificOutput = { hookEventName: "SessionStart", watchPaths };
  return { output: JSON.stringify({ systemMessage, hookSpecificOutput }) };
}

/** Undefined if no mail waits, or if it cannot be counted: the watch is more important. */
function waitingMailText(config: Config, conversation: string | undefined): string | undefined {
  try {
    const { name, unread } = readSessionMail(config, conversation).own ?? {};
    if (!unread) return undefined;
    return `t9-ipc: ${plural(unread, "message")} ${unread === 1 ? "waits" : "wait"} for ${name}`;
  } catch (error) {
    if (!isMissing(error)) config.log(`hook: ${messageOf(error)}`);
    return undefined;
  }
}

/** The rename is atomic, so each notice wakes once. Files of other plugins call this too. */
function takeNotice({ dir, pid, processes }: WakeFiles): HookResult {
  const taken = join(dir, `.tmp-${pid}-${randomUUID()}`);
  try {
    diskFiles.rename(wakeFile(dir, processes, pid), taken);
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
