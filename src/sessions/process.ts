import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** A process as the system tells of it. */
export interface ProcessInfo {
  readonly parent: number;
  /** When it started, in the system's own words: equal for one process, different for the next with its PID. */
  readonly started: string;
  /** Its command line; read when asked for. */
  argv(): string[];
}

/**
 * What the system tells of running processes (Linux: /proc; macOS and BSD: `ps`; Windows: nothing). A PID that
 * is missing from the answer is not running, if any is in it; an ended process nobody has waited for counts as
 * not running.
 */
export function inspect(pids: readonly number[]): Map<number, ProcessInfo> {
  const found = new Map<number, ProcessInfo>();
  if (process.platform === "linux") fromProc(pids, found);
  else if (process.platform !== "win32" && pids.length > 0) fromPs(pids, found);
  return found;
}

function fromProc(pids: readonly number[], found: Map<number, ProcessInfo>): void {
  for (const pid of pids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // Fields after the command in parentheses, which may itself hold any character: state is number 3.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [state = "", parent, started] = [fields[0], fields[1], fields[19]];
      if (!started || "ZX".includes(state)) continue;
      const argv = (): string[] => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      found.set(pid, { parent: Number(parent), started, argv });
    } catch {
      // ended
    }
  }
}

function fromPs(pids: readonly number[], found: Map<number, ProcessInfo>): void {
  const args = ["-ww", "-o", "pid=,ppid=,stat=,lstart=,command=", "-p", pids.join(",")];
  let output = "";
  try {
    const env = { ...process.env, LC_ALL: "C" };
    output = execFileSync("ps", args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    // none of them runs, or there is no ps
  }
  // lstart: "Sun Nov 22 07:15:55 2026"
  const lines = output.matchAll(/^\s*(\d+)\s+(\d+)\s+([^Z\s]\S*)\s+(\w+\s+\w+\s+\d+\s+[\d:]+\s+\d+)\s+(.*)$/gm);
  for (const [, pid, parent, , started = "", command = ""] of lines) {
    found.set(Number(pid), { parent: Number(parent), started, argv: () => command.split(" ") });
  }
}

/** Does a process with this PID run? Another user's counts. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The Claude Code process is looked for this many processes up: npx and shells may stand between. */
const MAX_ANCESTORS = 8;

/** The Claude Code process that started this one, directly or through others. */
export function claudeAbove(): { pid: number; argv: readonly string[] } | undefined {
  let pid = process.ppid;
  for (let up = 0; up < MAX_ANCESTORS && pid > 1; up++) {
    const info = inspect([pid]).get(pid);
    const argv = info?.argv() ?? [];
    const [program = "", script = ""] = argv;
    const isScript = /^node(\.exe)?$/.test(basename(program)) && /[\\/]claude(-code[\\/].*)?$/.test(script);
    if (isScript || /^claude(\.exe)?$/.test(basename(program))) return { pid, argv };
    pid = info?.parent ?? 0;
  }
  return undefined;
}
