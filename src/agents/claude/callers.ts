import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Caller } from "../agent.ts";

const POLL_MS = 50;
/** Sub-agents that wrote nothing for this long are not running. */
const ACTIVE_MS = 10 * 60_000;
/** A call is near the end of its transcript. */
const TAIL_BYTES = 256 * 1024;

/**
 * Who made a call: its id is in the transcript of the conversation or of a sub-agent, usually
 * within a second. Without sub-agents at work it is the session, and nothing is looked up.
 *
 * @returns "session" if the id is not found within `patienceMs`
 */
export function identifyCaller(
  claudeDir: string,
  conversation: string | undefined,
  toolUseId: unknown,
  patienceMs: number,
): Caller | Promise<Caller> {
  if (conversation === undefined || typeof toolUseId !== "string") return "session";
  const folder = findTranscripts(claudeDir, conversation);
  if (!folder || !hasSubAgents(folder)) return "session";
  return lookUp(folder, toolUseId, patienceMs);
}

/** `projects/SLUG/CONVERSATION`: beside it is the conversation's own transcript. */
function findTranscripts(claudeDir: string, conversation: string): string | undefined {
  try {
    const projects = join(claudeDir, "projects");
    const folders = readdirSync(projects).map((slug) => join(projects, slug, conversation));
    return folders.find((folder) => statSync(folder, { throwIfNoEntry: false })?.isDirectory());
  } catch {
    return undefined;
  }
}

/** True if a sub-agent may be at work. Its description is there before it makes its first call. */
function hasSubAgents(folder: string): boolean {
  return changedLately(folder).length > 0;
}

/** The files of the sub-agents: descriptions and transcripts. */
function changedLately(folder: string): string[] {
  try {
    const subagents = join(folder, "subagents");
    const paths = readdirSync(subagents)
      .filter((file) => file.startsWith("agent-"))
      .map((file) => join(subagents, file));
    return paths.filter((path) => Date.now() - statSync(path).mtimeMs < ACTIVE_MS);
  } catch {
    return [];
  }
}

const transcriptsOf = (folder: string): string[] =>
  changedLately(folder).filter((path) => path.endsWith(".jsonl"));

async function lookUp(folder: string, toolUseId: string, patienceMs: number): Promise<Caller> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    if (transcriptsOf(folder).some((path) => tailOf(path).includes(toolUseId))) {
      return "sub-agent";
    }
    if (tailOf(`${folder}.jsonl`).includes(toolUseId)) return "session";
    if (performance.now() >= deadline) return "session";
    await sleep(POLL_MS, undefined, { ref: false });
  }
}

function tailOf(path: string): string {
  try {
    const fd = openSync(path, "r");
    try {
      const { size } = fstatSync(fd);
      const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
      readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString("latin1");
    } finally {
      closeSync(fd);
    }
  } catch {
    return "";
  }
}
