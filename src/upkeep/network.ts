import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { dirname } from "node:path";
import { errorCode } from "../core/errors.ts";
import type { Files } from "../core/files.ts";
import type { DataFolder } from "../core/system.ts";

/**
 * Files on a network mount, for `IPC_POLL`. When the mount goes, an empty local folder lies in its
 * place, and what is written there is out of sight once the mount is back. So a data folder that
 * this process has seen and that is missing or on another device by now is unreachable, and it is
 * never created again. (A bind mount within one device is not told from its surroundings.)
 */
export function networkFiles(files: Files, folder: DataFolder): Files {
  const checkMounted = createMountCheck(folder.dir);

  const checked =
    <Arguments extends unknown[], Result>(call: (...args: Arguments) => Result) =>
    (...args: Arguments): Result => {
      checkMounted();
      return call(...args);
    };

  return {
    list: checked(files.list),
    stat: checked((path) => statFresh(files, folder, path)),
    read: checked((path, maxBytes) => readWhole(files, folder, path, maxBytes)),
    create: checked(files.create),
    append: checked(files.append),
    overwrite: checked(files.overwrite),
    rename: checked(files.rename),
    remove: checked(files.remove),
    touch: checked(files.touch),
    makeFolder: checked(files.makeFolder),
  };
}

/**
 * A mount's cache may answer with the version of the file before. So heartbeats.json never has the
 * same version twice: it is read at each look, above all before it is written.
 */
function statFresh(files: Files, { heartbeats }: DataFolder, path: string) {
  const stat = files.stat(path);
  return stat && path === heartbeats ? { ...stat, version: randomUUID() } : stat;
}

/**
 * A mount's cache may cut a file that another machine has rewritten at the length of the file
 * before. A touch makes the mount ask for the length.
 */
function readWhole(files: Files, { heartbeats }: DataFolder, path: string, maxBytes: number) {
  const first = files.read(path, maxBytes);
  if (path !== heartbeats || isJson(first.text)) return first;
  files.touch(path, Date.now());
  return files.read(path, maxBytes);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The returned function throws ENODEV if the folder is not on the device it was first seen on. */
function createMountCheck(dir: string): () => void {
  let mounted: { device: number; point: string | undefined } | undefined;
  return () => {
    const device = deviceOf(dir);
    // A mount that answers with errors says so to whoever uses it.
    if (device === undefined || device === mounted?.device) return;
    const point = mounted?.point;
    if (point !== undefined && deviceOf(point) === deviceOf(dirname(point))) {
      const error = new Error(`nothing is mounted on ${point} any more`);
      throw Object.assign(error, { code: "ENODEV" });
    }
    mounted = { device, point: mountPoint(dir) };
  };
}

/** The folder that the file system of `dir` is mounted on; undefined for the root's. */
export function mountPoint(dir: string): string | undefined {
  let path = dir;
  while (path !== dirname(path) && deviceOf(path) === deviceOf(dirname(path))) {
    path = dirname(path);
  }
  if (path === dirname(path)) return undefined;
  try {
    // A link into another file system looks like a mount.
    const real = fs.realpathSync(path);
    return real === path ? path : mountPoint(real);
  } catch {
    return path; // mounted, and it does not answer
  }
}

/** The device of a path, or of the nearest folder above that exists; undefined if it fails. */
function deviceOf(path: string): number | undefined {
  try {
    return fs.statSync(path).dev;
  } catch (error) {
    const isAbsent = ["ENOENT", "ENOTDIR", "EACCES"].includes(errorCode(error) ?? "");
    return isAbsent && path !== dirname(path) ? deviceOf(dirname(path)) : undefined;
  }
}
