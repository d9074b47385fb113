import fs from "node:fs";
import { dirname, join } from "node:path";
import { broken, type Finding, ok, warning } from "../../agents/finding.ts";
import type { Config } from "../../config.ts";
import { errorCode, messageOf } from "../../core/errors.ts";
import { Inbox } from "../../core/inbox.ts";
import { isMessageFile, readMessage } from "../../core/message.ts";
import type { System } from "../../core/system.ts";
import { warnIfShared } from "../../upkeep/folder-rights.ts";
import { createSystem } from "../../upkeep/system.ts";

const MB = 2 ** 20;
/** The holder of a lock touches it every 2.5 s. An older lock has lost its holder. */
const ABANDONED_MS = 10_000;

/**
 * The data folder: rights, space, locks, and the files in the inbox. Creates it if it is missing.
 */
export async function* checkFolder(config: Config): AsyncGenerator<Finding> {
  const { dir, inbox, archive, read } = config;
  const unwritable = checkWritable([dir, inbox, archive, read]);
  if (unwritable) yield unwritable;
  // Otherwise nothing can be made there, and there may be nothing to look at.
  if (unwritable && !fs.existsSync(inbox)) return;
  const system = createSystem(config);
  const mail = new Inbox({ folder: config }, system);
  mail.scan();

  yield checkOwner(dir);
  yield* checkRights(config);
  yield checkSpace(dir);
  yield* checkLocks(config);
  yield ok(`${mail.files.size} messages in the inbox`);
  yield* checkMessages(inbox, system);
}

/** Undefined if this process may write to these folders, or to what they would be made in. */
function checkWritable(folders: readonly string[]): Finding | undefined {
  for (const path of folders) {
    const existing = nearestExisting(path);
    try {
      fs.accessSync(existing, fs.constants.W_OK);
    } catch (error) {
      return adviseUnwritable(existing, error);
    }
  }
  return undefined;
}

const nearestExisting = (path: string): string =>
  fs.existsSync(path) || path === dirname(path) ? path : nearestExisting(dirname(path));

/** The remedy depends on the cause: the mount, the owner, or the mode. */
export function adviseUnwritable(path: string, error: unknown): Finding {
  if (errorCode(error) === "EROFS") {
    const remedy = `allow this program to write to ${path} (in the sandbox's settings), mount it writable, or set IPC_DIR to a folder that is`;
    return broken(path, "it is read-only here, as in a sandbox: nothing can be sent", remedy);
  }
  if (isForeign(path)) {
    const remedy = `sudo chown -R "$(id -un)" '${path}', or set IPC_DIR to a folder of yours`;
    return broken(path, "it belongs to another user, and cannot be written", remedy);
  }
  return broken(path, `it cannot be written: ${messageOf(error)}`, `chmod u+rwx '${path}'`);
}

function checkOwner(dir: string): Finding {
  const files = ["", ...fs.readdirSync(dir, { recursive: true, encoding: "utf8" })];
  const foreign = files.find((file) => isForeign(join(dir, file)));
  if (foreign === undefined) return ok(dir);
  return broken(
    dir,
    `another user owns ${foreign || "it"}, and maybe more`,
    `sudo chown -R "$(id -un)" '${dir}'`,
  );
}

function isForeign(path: string): boolean {
  const user = process.getuid?.();
  const owner = fs.lstatSync(path, { throwIfNoEntry: false })?.uid;
  return user !== undefined && owner !== undefined && owner !== user;
}

function checkRights(config: Config): Finding[] {
  const problems: string[] = [];
  warnIfShared(config, (line) => problems.push(line));
  return problems.map((line) => warning(config.dir, line, `chmod -R go= '${config.dir}'`));
}

function checkSpace(dir: string): Finding {
  const { bavail, bsize } = fs.statfsSync(dir);
  const free = Math.floor((bavail * bsize) / MB);
  const what = `${free} MB free`;
  if (free < 1) return broken(what, "too little", "make room");
  return free < 100 ? warning(what, "too little", "make room") : ok(what);
}

function* checkLocks({ inbox, heartbeats }: Config): Generator<Finding> {
  for (const lock of [`${inbox}.lock`, `${heartbeats}.lock`]) {
    const touched = fs.lstatSync(lock, { throwIfNoEntry: false })?.mtimeMs;
    if (touched === undefined || Date.now() - touched < ABANDONED_MS) continue;
    const remedy = "the next writer acquires it; otherwise rmdir it";
    yield warning(lock, "its holder was killed", remedy);
  }
}

function* checkMessages(inbox: string, system: System): Generator<Finding> {
  for (const file of fs.readdirSync(inbox).filter(isMessageFile)) {
    try {
      readMessage(system, join(inbox, file), file);
    } catch (error) {
      const remedy = "nobody receives it: fix it, or move it away";
      yield warning(`inbox/${file}`, messageOf(error), remedy);
    }
  }
}
