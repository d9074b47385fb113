// Files on a network mount: each call checks that the mount is still there. The tests mount file
// systems of their own, in a mount namespace.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/config.ts";
import { diskFiles } from "../../src/core/files.ts";
import { mountPoint, networkFiles } from "../../src/upkeep/network.ts";
import { childEnv } from "../support/environment.ts";
import { tempDir } from "../support/folder.ts";
import { works } from "../support/process.ts";

const canMount = works("unshare", "-m", "mount", "-t", "tmpfs", "x", "/mnt");
const skip = !canMount && "needs root on Linux, for a mount";

const SRC = join(import.meta.dirname, "../../src");

/**
 * Runs a script in a mount namespace of its own, with ROOT, the temporary folder. Each line is a
 * shell command, or one of these questions, whose answers are returned:
 *
 * - `point DIR`: the mount point of the folder
 * - `check DIR`: whether a file call for this data folder gets through
 * - `calls DIR`: the outcomes of all file calls, each once
 */
function ask(root: string, script: string): string[] {
  const answers = `
    import { execFileSync } from "node:child_process";
    import { readConfig } from "${SRC}/config.ts";
    import { diskFiles } from "${SRC}/core/files.ts";
    import { mountPoint, networkFiles } from "${SRC}/upkeep/network.ts";
    const known = new Map();
    const filesOf = (dir) => {
      const files = known.get(dir) ?? networkFiles(diskFiles, readConfig({ IPC_DIR: dir }, "/"));
      known.set(dir, files);
      return files;
    };
    const outcome = (call) => {
      try { call(); return "fine"; } catch (error) { return error.code + " " + error.message; }
    };
    for (const line of process.env.SCRIPT.trim().split("\\n")) {
      const [word, dir] = line.trim().split(" ");
      const path = process.env.ROOT + "/" + dir;
      if (word === "point") console.log(mountPoint(path) ?? "none");
      else if (word === "check") console.log(outcome(() => filesOf(path).stat(path + "/file")));
      else if (word === "calls") {
        const files = filesOf(path);
        const [file, other] = [path + "/file", path + "/other"];
        const calls = {
          makeFolder: () => files.makeFolder(path + "/inbox"),
          create: () => files.create(file, "text"),
          stat: () => files.stat(file),
          read: () => files.read(file, 100),
          append: () => files.append(file, "text"),
          overwrite: () => files.overwrite(file, "text"),
          touch: () => files.touch(file, Date.now()),
          list: () => files.list(path),
          rename: () => files.rename(file, other),
          remove: () => files.remove(other),
        };
        const untried = Object.keys(files).filter((name) => !(name in calls));
        if (untried.length > 0) throw new Error("untried: " + untried);
        console.log([...new Set(Object.values(calls).map(outcome))].join(", "));
      } else execFileSync("sh", ["-ec", line], { cwd: process.env.ROOT });
    }`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "--eval", answers];
  const env = { ...childEnv(root), ROOT: root, SCRIPT: script };
  const { stdout, stderr, status } = spawnSync("unshare", ["-m", ...node], {
    encoding: "utf8",
    env,
  });
  assert.equal(status, 0, stderr);
  return stdout.trim().replaceAll(root, "ROOT").split("\n");
}

test("every file call fails while the mount is gone, and creates nothing in its place", {
  skip,
}, (t) => {
  const root = dirname(tempDir(t));
  const answers = ask(
    root,
    `mkdir mnt
     mount -t tmpfs x mnt
     mkdir mnt/ipc
     calls mnt/ipc
     umount mnt
     calls mnt/ipc
     mount -t tmpfs x mnt
     mkdir mnt/ipc
     calls mnt/ipc`,
  );
  const gone = "ENODEV nothing is mounted on ROOT/mnt any more";
  assert.deepEqual(answers, ["fine", gone, "fine"]);
  assert.deepEqual(readdirSync(join(root, "mnt")), []);
});

test("a mount that goes is noticed, and so is its return", { skip }, (t) => {
  const root = dirname(tempDir(t));
  const answers = ask(
    root,
    `mkdir -p mnt
     mount -t tmpfs x mnt
     point mnt/ipc
     check mnt/ipc
     mkdir -p mnt/ipc/inbox
     check mnt/ipc
     point mnt/ipc/inbox
     umount mnt
     check mnt/ipc
     check mnt/ipc
     mkdir -p mnt/ipc/inbox
     check mnt/ipc
     mount -t tmpfs x mnt
     check mnt/ipc`,
  );
  const gone = "ENODEV nothing is mounted on ROOT/mnt any more";
  assert.deepEqual(answers, ["ROOT/mnt", "fine", "fine", "ROOT/mnt", gone, gone, gone, "fine"]);
});

test("a mount that goes is noticed if the folder it was on goes too", { skip }, (t) => {
  const answers = ask(
    dirname(tempDir(t)),
    `mkdir mnt
     mount -t tmpfs x mnt
     check mnt
     umount mnt
     rmdir mnt
     check mnt`,
  );
  assert.deepEqual(answers, ["fine", "ENODEV nothing is mounted on ROOT/mnt any more"]);
});

test("a mount that came later is noticed when it goes", { skip }, (t) => {
  const answers = ask(
    dirname(tempDir(t)),
    `mkdir mnt
     check mnt
     mount -t tmpfs x mnt
     check mnt
     umount mnt
     check mnt`,
  );
  assert.deepEqual(answers, ["fine", "fine", "ENODEV nothing is mounted on ROOT/mnt any more"]);
});

test("a mount is found through a link, and the inner one if a mount lies in another", {
  skip,
}, (t) => {
  const answers = ask(
    dirname(tempDir(t)),
    `mkdir mnt
     mount -t tmpfs x mnt
     mkdir mnt/folder mnt/inner
     ln -s mnt/folder link
     point link/ipc
     mount -t tmpfs y mnt/inner
     point mnt/inner
     check mnt/inner
     umount mnt/inner
     check mnt/inner`,
  );
  assert.deepEqual(answers, [
    "ROOT/mnt",
    "ROOT/mnt/inner",
    "fine",
    "ENODEV nothing is mounted on ROOT/mnt/inner any more",
  ]);
});

test("a folder that is bound from elsewhere counts as a mount, as in a container", {
  skip,
}, (t) => {
  const answers = ask(
    dirname(tempDir(t)),
    `mkdir host box
     mount -t tmpfs x host
     mkdir host/ipc
     mount --bind host/ipc box
     point box
     check box
     umount box
     check box`,
  );
  assert.deepEqual(answers, ["ROOT/box", "fine", "ENODEV nothing is mounted on ROOT/box any more"]);
});

test("a folder without a mount of its own is never refused, whether it exists or not", (t) => {
  const dir = tempDir(t);
  const files = networkFiles(diskFiles, readConfig({ IPC_DIR: dir }, "/"));
  assert.equal(files.stat(dir), undefined);
  mkdirSync(join(dir, "inbox"), { recursive: true });
  assert.deepEqual(files.list(dir), ["inbox"]);
  rmSync(dir, { recursive: true });
  files.makeFolder(dir);
  assert.deepEqual(files.list(dir), []);
  assert.equal(mountPoint("/"), undefined);
});
