import { linkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readClaudeJson } from "../../agents/claude/claude-json.ts";
import { run } from "../../agents/programs.ts";
import type { Report } from "../../agents/report.ts";
import { type Config, readConfig } from "../../config.ts";
import { mountPoint, reasonOf } from "../../files.ts";
import { Heartbeats } from "../../sessions/heartbeats.ts";

/** File systems that others change without an event here: over a network, or from a virtual machine's host. */
const REMOTE =
  /nfs|cifs|smb|afp|dav|9p|ceph|gluster|sshfs|rclone|s3fs|gcsfuse|gvfsd|macfuse|osxfuse|virtiofs|vboxsf|hgfs|prl_fs|fakeowner/;
/** A mount whose cache hides a change for longer is too slow for mail; we do not wait to see how slow. */
const SLOW_MS = 2500;
/** Clocks further apart make a lock that is held look abandoned (files.ts). Times may be whole seconds. */
const APART_MS = 4000;
/** A session beats every 30 s. */
const LATE_BEAT_MS = 45_000;
const NTP = "set all clocks by NTP: locks go by them";
const UNCACHED = "mount it with -o dir_cache=no,attr_timeout=0 (sshfs) or -o actimeo=1 (NFS)";

/** What `doctor` finds out about a folder that several machines share: its mount, and whether their clocks agree. */
export async function network(report: Report, config: Config): Promise<void> {
  const { env } = readClaudeJson().json.mcpServers?.["t9-ipc"] ?? {};
  const { db, poll } = readConfig({ ...process.env, ...env }, process.cwd(), () => {}); // as the server has them
  const { dir, host } = config;
  const mounts = run("mount").said;
  const { type, options } = fileSystemOf(dir, mounts);
  if (REMOTE.test(type)) {
    await writeAndRead(report, dir, type, options);
    report(
      "IPC_POLL",
      !poll && "not set, and this folder tells of no changes",
      "set IPC_POLL=500",
      "warning",
    );
    const isAway = REMOTE.test(fileSystemOf(dirname(db), mounts).type);
    const local = "set IPC_DB_PATH to a file on this machine's disk";
    report(db, isAway && "SQLite's file does not belong on a network", local, "warning");
  } else if (poll) {
    const remedy =
      "mount the other machine's folder there; where it is this machine's own, unset IPC_POLL";
    report(
      `IPC_POLL=${poll}`,
      `${dir} is on this machine (${type || "unknown file system"})`,
      remedy,
      "warning",
    );
  }
  for (const { name, entry } of new Heartbeats(config).online()) {
    if (!entry.beat || !entry.host || entry.host === host) continue;
    const age = Date.now() - entry.beat;
    const wrong =
      age < -APART_MS
        ? "its clock is ahead"
        : age > LATE_BEAT_MS && "its clock is behind, or it is down";
    report(`${name}: last beat ${(age / 1000).toFixed(1)} s ago`, wrong, NTP, "warning");
  }
}

/** The file system of a folder, by what `mount` prints. Linux: `X on /p type T (OPTIONS)`; else: `X on /p (T, OPTIONS)`. */
export function fileSystemOf(dir: string, mounts: string): { type: string; options: string } {
  const here = ` on ${mountPoint(dir) ?? "/"} `;
  // What was mounted last is what is seen.
  const line = mounts.split("\n").findLast((each) => each.includes(here)) ?? "";
  const [, , named, options = ""] =
    /^(type (\S+) )?\((.*)\)$/.exec(line.slice(line.indexOf(here) + here.length)) ?? [];
  return { type: named ?? /^\w*/.exec(options)?.[0] ?? "", options };
}

/** Writes through the folder, and looks by a second name of the same file, which a mount's cache takes for another. */
async function writeAndRead(
  report: Report,
  dir: string,
  type: string,
  options: string,
): Promise<void> {
  const path = join(dir, `.tmp-doctor-${process.pid}`);
  const second = `${path}-2`;
  try {
    writeFileSync(path, "1");
    linkSync(path, second);
    statSync(second);
    const [start, now] = [performance.now(), Date.now()];
    writeFileSync(path, "12");
    while (statSync(second).size < 2 && performance.now() - start < SLOW_MS) await sleep(20);
    const ms = Math.round(performance.now() - start);
    const apart = Math.abs(statSync(path).mtimeMs - now);
    // NFS takes the two names for one file, but says how long it trusts a listing.
    const isSlow = type.startsWith("nfs") ? !/noac|acdirmax=[0-3]\b/.test(options) : ms > 500;
    const change = `${dir} (${type}): a change is seen after ${ms} ms`;
    report(change, isSlow && "others' mail comes late", UNCACHED, "warning");
    report(
      "its server's clock",
      apart > APART_MS && `${Math.round(apart / 1000)} s from this one`,
      NTP,
      "warning",
    );
  } catch (error) {
    report(`${dir} (${type})`, reasonOf(error), "mount it anew: sessions find it by themselves");
  } finally {
    for (const each of [path, second]) rmSync(each, { force: true });
  }
}
