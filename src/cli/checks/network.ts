import { linkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readClaudeJson } from "../../agents/claude/claude-json.ts";
import { broken, type Finding, ok, warning } from "../../agents/finding.ts";
import { runProgram } from "../../agents/programs.ts";
import { type Config, readConfig } from "../../config.ts";
import { messageOf } from "../../core/errors.ts";
import { Heartbeats } from "../../core/heartbeats.ts";
import { mountPoint } from "../../upkeep/network.ts";
import { createSystem } from "../../upkeep/system.ts";

/**
 * File systems that others change without an event here: on a network, or a virtual machine's host.
 */
const REMOTE = new RegExp(
  [
    "nfs|cifs|smb|afp|dav|9p|ceph|gluster|sshfs|rclone|s3fs|gcsfuse|gvfsd|macfuse|osxfuse",
    "virtiofs|vboxsf|hgfs|prl_fs|fakeowner",
  ].join("|"),
);

/** A change that is seen later than this makes mail late. */
const LATE_MS = 500;
/** No change is waited for longer than this. */
const WAIT_MS = 2500;
/**
 * With clocks further apart, a lock that is held looks abandoned. File times may be whole seconds.
 */
const MAX_CLOCK_DIFFERENCE_MS = 4000;
/** A heartbeat that is older than this is overdue: sessions write one every 30 s. */
const OVERDUE_MS = 45_000;

const SET_CLOCKS = "set all clocks by NTP: locks depend on them";
const MOUNT_UNCACHED = "mount it with -o dir_cache=no,attr_timeout=0 (sshfs) or -o actimeo=1 (NFS)";

interface FileSystem {
  /** Empty if the system does not say. */
  readonly type: string;
  readonly options: string;
}

/** A folder that several machines share: its mount, and whether their clocks agree. */
export async function* checkNetwork(config: Config): AsyncGenerator<Finding> {
  const mounts = runProgram(config.env, "mount").output;
  const fileSystem = fileSystemOf(config.dir, mounts);
  const server = serverConfig(config);

  if (REMOTE.test(fileSystem.type)) {
    yield* checkMount(config.dir, fileSystem);
    yield checkPolling(server);
    yield checkCachePath(server, mounts);
  } else if (server.poll) {
    yield warning(
      `IPC_POLL=${server.poll}`,
      `${config.dir} is on this machine (${fileSystem.type || "unknown file system"})`,
      "mount the other machine's folder there; if the folder is this machine's, unset IPC_POLL",
    );
  }
  yield* checkClocks(config);
}

/** The configuration of the servers that Claude Code starts. */
function serverConfig(config: Config): Config {
  const { json } = readClaudeJson(config);
  const env = { ...config.env, ...json.mcpServers?.["t9-ipc"]?.env };
  return readConfig(env, config.folder, () => {});
}

function checkPolling({ poll }: Config): Finding {
  if (poll) return ok("IPC_POLL");
  return warning("IPC_POLL", "not set, and this folder has no change events", "set IPC_POLL=500");
}

function checkCachePath({ db }: Config, mounts: string): Finding {
  if (!REMOTE.test(fileSystemOf(dirname(db), mounts).type)) return ok(db);
  const remedy = "set IPC_DB_PATH to a file on this machine's disk";
  return warning(db, "SQLite's file does not belong on a network", remedy);
}

function* checkClocks(config: Config): Generator<Finding> {
  const system = createSystem(config);
  for (const { name, entry } of new Heartbeats(config, system).online()) {
    if (!entry.beat || !entry.host || entry.host === system.processes.host) continue;
    const age = Date.now() - entry.beat;
    const what = `${name}: last beat ${(age / 1000).toFixed(1)} s ago`;
    if (age < -MAX_CLOCK_DIFFERENCE_MS) yield warning(what, "its clock is ahead", SET_CLOCKS);
    else if (age > OVERDUE_MS)
      yield warning(what, "its clock is behind, or it is down", SET_CLOCKS);
    else yield ok(what);
  }
}

/**
 * The file system of a folder, from what `mount` prints: `X on /p type T (OPTIONS)` on Linux, and
 * `X on /p (T, OPTIONS)` elsewhere.
 */
export function fileSystemOf(dir: string, mounts: string): FileSystem {
  const place = ` on ${mountPoint(dir) ?? "/"} `;
  // The last mount on a folder hides those before it.
  const line = mounts.split("\n").findLast((each) => each.includes(place)) ?? "";
  const description = line.slice(line.indexOf(place) + place.length);
  const [, , type, options = ""] = /^(type (\S+) )?\((.*)\)$/.exec(description) ?? [];
  return { type: type ?? /^\w*/.exec(options)?.[0] ?? "", options };
}

/** Writes a file, and reads it by a second name, which a mount's cache holds for another file. */
async function* checkMount(dir: string, { type, options }: FileSystem): AsyncGenerator<Finding> {
  const path = join(dir, `.tmp-doctor-${process.pid}`);
  const second = `${path}-2`;
  try {
    writeFileSync(path, "1");
    linkSync(path, second);
    statSync(second); // now the cache knows its size

    const start = performance.now();
    const writtenAt = Date.now();
    writeFileSync(path, "12");
    while (statSync(second).size < 2 && performance.now() - start < WAIT_MS) await sleep(20);
    const ms = Math.round(performance.now() - start);
    const difference = Math.abs(statSync(path).mtimeMs - writtenAt);

    const what = `${dir} (${type}): a change is seen after ${ms} ms`;
    if (isCacheLate(type, options, ms)) {
      yield warning(what, "others' mail comes late", MOUNT_UNCACHED);
    } else {
      yield ok(what);
    }

    const clock = "its server's clock";
    if (difference <= MAX_CLOCK_DIFFERENCE_MS) yield ok(clock);
    else yield warning(clock, `${Math.round(difference / 1000)} s from this one`, SET_CLOCKS);
  } catch (error) {
    const remedy = "mount it again: sessions find it by themselves";
    yield broken(`${dir} (${type})`, messageOf(error), remedy);
  } finally {
    for (const each of [path, second]) rmSync(each, { force: true });
  }
}

/** NFS holds the two names for one file, but its options say how long it trusts a listing. */
function isCacheLate(type: string, options: string, ms: number): boolean {
  if (type.startsWith("nfs")) return !/noac|acdirmax=[0-3]\b/.test(options);
  return ms > LATE_MS;
}
