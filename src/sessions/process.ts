import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { errorCode } from "../files.ts";

/** `ps` takes 5 to 10 ms, and all waits for it: what it said of a PID that still runs counts for this long. */
const PS_AGAIN_MS = 60_000;
/** The agent is looked for this many processes up: npx and shells may stand between. */
const MAX_ANCESTORS = 8;

/** A process as the system tells of it. */
export interface ProcessInfo {
  readonly parent: number;
  /** When it started, in the system's own words: equal for one process, different for the next with its PID. */
  readonly started: string;
  /** Its command line; read when asked for. */
  argv(): readonly string[];
}

type Found = ReadonlyMap<number, ProcessInfo>;
/** What /proc says of this process. It does not change, and is asked for at each send. */
let own: ProcessInfo | undefined;
/** What `ps` said, and when (ms). */
const psSaid = new Map<number, ProcessInfo & { at: number }>();

/**
 * What the system tells of running processes (Linux: /proc; macOS and BSD: `ps`; Windows: nothing). An ended
 * process that nobody has waited for counts as not running.
 */
export function inspect(pids: readonly number[], platform: string = process.platform): Found {
  return platform === "linux" ? fromProc(pids) : platform === "win32" ? new Map() : fromPs(pids);
}

function fromProc(pids: readonly number[]): Found {
  const found = new Map(own && [[process.pid, own]]);
  for (const pid of pids) {
    if (found.has(pid)) continue;
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
  own ??= found.get(process.pid);
  return found;
}

function fromPs(pids: readonly number[]): Found {
  const at = performance.now();
  for (const [pid, said] of psSaid)
    if (at - said.at > PS_AGAIN_MS || !isRunning(pid)) psSaid.delete(pid);
  const asked = pids.filter((pid) => !psSaid.has(pid) && isRunning(pid));
  if (asked.length === 0) return psSaid;
  const args = ["-ww", "-o", "pid=,ppid=,stat=,lstart=,command=", "-p", asked.join(",")];
  // The start is compared as text: it must read the same whatever time zone and language this process has.
  const env = { ...process.env, LC_ALL: "C", TZ: "UTC" };
  const { spawnSync } = process.getBuiltinModule("node:child_process"); // every start would pay for an import
  const output = spawnSync("ps", args, { encoding: "utf8", env }).stdout ?? ""; // where there is no ps
  // lstart: "Sun Nov 22 07:15:55 2026"
  const lines = output.matchAll(
    /^\s*(\d+)\s+(\d+)\s+([^Z\s]\S*)\s+(\w+\s+\w+\s+\d+\s+[\d:]+\s+\d+)\s+(.*)$/gm,
  );
  for (const [, pid, parent, , started = "", command = ""] of lines) {
    psSaid.set(Number(pid), {
      parent: Number(parent),
      started,
      argv: () => command.split(" "),
      at,
    });
  }
  return psSaid;
}

/** Does a process with this PID run? Another user's counts. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0) && pid > 0; // zero and below are groups of processes
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

/**
 * Is this still the same process, and not another that has its PID by now? Where the system tells no start, the PID
 * decides. For many at once, `found` is what `inspect` told of them and of this process.
 */
export function isSame(
  it: { pid: number; started?: string | undefined },
  found = inspect([it.pid, process.pid]),
) {
  const info = found.get(it.pid);
  if (!isRunning(it.pid)) return false;
  return info ? (it.started ?? info.started) === info.started : !found.has(process.pid);
}

export interface Agent {
  readonly kind: "claude" | "codex";
  readonly pid: number;
  readonly argv: readonly string[];
}

/** The Claude Code or Codex process that started this one, directly or through others; the nearest of them. */
export function agentAbove(): Agent | undefined {
  let pid = process.ppid;
  for (let up = 0; up < MAX_ANCESTORS && pid > 1; up++) {
    const info = inspect([pid]).get(pid);
    const argv = info?.argv() ?? [];
    const program = basename(argv[0] ?? "").replace(/\.exe$/, "");
    const isScript = program === "node" && /[\\/]claude(-code[\\/].*)?$/.test(argv[1] ?? "");
    const kind = isScript ? "claude" : program;
    if (kind === "claude" || kind === "codex") return { kind, pid, argv };
    pid = info?.parent ?? 0;
  }
  return undefined;
}
