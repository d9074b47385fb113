// Which mount a folder lies on, and that its absence is noticed: with file systems of our own in a mount namespace.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { checkMounted, mountPoint } from "../../src/files.ts";
import { tempDir } from "../support/folder.ts";

const canMount = spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "x", "/mnt"]).status === 0;
const skip = !canMount && "needs root on Linux, for a mount";

/**
 * Runs a shell script where mounts are nobody else's, with ROOT, the temporary folder. Each line it prints as
 * `? WORDS` is a question, which the functions answer inside: `check DIR` or `point DIR`.
 */
function ask(root: string, script: string): string[] {
  const answers = `
    import { execFileSync } from "node:child_process";
    import { checkMounted, mountPoint } from "${join(import.meta.dirname, "../../src/files.ts")}";
    for (const line of process.env.SCRIPT.trim().split("\\n")) {
      const [word, dir] = line.trim().split(" ");
      const path = process.env.ROOT + "/" + dir;
      if (word === "point") console.log(mountPoint(path)?.replace(process.env.ROOT + "/", "") ?? "none");
      else if (word === "check") {
        try { checkMounted(path); console.log("fine"); } catch (error) { console.log(error.code, error.message); }
      } else execFileSync("sh", ["-ec", line], { cwd: process.env.ROOT });
    }`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "--eval", answers];
  const env = { ...process.env, ROOT: root, SCRIPT: script };
  const { stdout, stderr, status } = spawnSync("unshare", ["-m", ...node], {
    encoding: "utf8",
    env,
  });
  assert.equal(status, 0, stderr);
  return stdout.trim().replaceAll(root, "ROOT").split("\n");
}

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
  assert.deepEqual(answers, ["mnt", "fine", "fine", "mnt", gone, gone, gone, "fine"]);
});

test("the mount point's own folder goes with the mount", { skip }, (t) => {
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

test("mounted only later: noticed when it goes then", { skip }, (t) => {
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

test("through a link, and where one mount stands on another", { skip }, (t) => {
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
    "mnt",
    "mnt/inner",
    "fine",
    "ENODEV nothing is mounted on ROOT/mnt/inner any more",
  ]);
});

test("a folder bound from elsewhere, as into a container", { skip }, (t) => {
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
  assert.deepEqual(answers, ["box", "fine", "ENODEV nothing is mounted on ROOT/box any more"]);
});

test("a folder on no mount of its own is never refused, there or not", (t) => {
  const dir = tempDir(t);
  checkMounted(dir);
  mkdirSync(join(dir, "inbox"), { recursive: true });
  checkMounted(dir);
  assert.equal(mountPoint("/"), undefined);
});
