import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * The arguments of a process, program first. Empty if the system does not show them, as on Windows.
 */
export function commandLine(pid: number, platform: string = process.platform): readonly string[] {
  try {
    if (platform === "linux") {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    }
    if (platform === "win32") return [];
    const args = ["-ww", "-o", "command=", "-p", String(pid)];
    return spawnSync("ps", args, { encoding: "utf8" }).stdout.trim().split(" ");
  } catch {
    return [];
  }
}
