import { spawnSync } from "node:child_process";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { errorCode } from "./errors.ts";
import type { ProcessTable } from "./system.ts";

/** `ps` takes 5 to 10 ms: its answer about a PID that is still running is used for this long. */
const PS_CACHE_MS = 60_000;

/** Linux: /proc; macOS and BSD: `ps`; Windows shows no start times. */
export function createProcessTable(platform: string = process.platform): ProcessTable {
  const fromPs = new Map<number, { started: string | undefined; at: number }>();

  function startFromPs(pid: number): string | undefined {
    if (!isRunning(pid)) return undefined;
    const known = fromPs.get(pid);
    if (known && performance.now() - known.at < PS_CACHE_MS) return known.started;
    const started = askPs(pid);
    if (fromPs.size > 1000) fromPs.clear();
    fromPs.set(pid, { started, at: performance.now() });
    return started;
  }

  const ask =
    platform === "linux"
      ? startFromProc
      : platform === "win32"
        ? (): undefined => undefined
        : startFromPs;
  const ownStart = ask(process.pid);

  return {
    host: hostId(platform),
    pid: process.pid,
    startOf: (pid) => (pid === process.pid ? ownStart : ask(pid)),
    // On Linux a process that has ended answers to signals until its parent has reaped it.
    isRunning: (pid) => isRunning(pid) && !(platform === "linux" && isZombie(pid)),
  };
}

function isRunning(pid: number): boolean {
  if (pid <= 0) return false; // zero and negative numbers address groups of processes
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errorCode(error) === "EPERM"; // it runs as another user
  }
}

/** The fields of /proc/PID/stat after the command, which may contain any character. */
function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function isZombie(pid: number): boolean {
  try {
    return hasEnded(statFields(pid));
  } catch {
    return false; // /proc hides other users' processes on some systems
  }
}

const hasEnded = ([state = ""]: readonly string[]): boolean => "ZX".includes(state);

function startFromProc(pid: number): string | undefined {
  try {
    const fields = statFields(pid);
    return hasEnded(fields) ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function askPs(pid: number): string | undefined {
  // The start is compared as text, so it must not depend on this process's zone and language.
  const env = { ...process.env, LC_ALL: "C", TZ: "UTC" };
  const { stdout } = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], {
    encoding: "utf8",
    env,
  });
  return stdout?.trim() || undefined;
}

/** The host's name is the last resort, since it changes with the network a laptop is in. */
function hostId(platform: string): string {
  if (platform === "win32") return hostname();
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
    return `${boot}/${readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")}`;
  } catch {
    // macOS knows the first of these, FreeBSD the second.
    const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    const args = ["-n", "kern.bootsessionuuid", "kern.hostuuid"];
    const { stdout } = spawnSync("sysctl", args, { env, encoding: "utf8" });
    return /^[\da-f-]{36}$/im.exec(stdout ?? "")?.[0] ?? hostname();
  }
}

/** A process that a heartbeat or a registry speaks of. */
export interface ProcessId {
  readonly pid: number;
  readonly started?: string | undefined;
}

/**
 * True if the process still runs and is not another one with the same PID. Undefined if a process
 * with this PID runs and its start time is not known.
 */
export function isSameProcess(processes: ProcessTable, id: ProcessId): boolean | undefined {
  const started = processes.startOf(id.pid);
  if (started !== undefined && id.started !== undefined) return started === id.started;
  return processes.isRunning(id.pid) ? undefined : false;
}
