// The same rules hold for the watch of the system and for that of the tests.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { FolderWatch, WatchFolder } from "../../src/core/system.ts";
import { watchFolder } from "../../src/core/watch.ts";
import { MemoryDisk } from "../support/memory-files.ts";
import { waitFor } from "../support/wait.ts";

interface Setup {
  readonly watchFolder: WatchFolder;
  readonly dir: string;
  write(path: string): void;
  rename(from: string, to: string): void;
  erase(path: string): void;
  close(): void;
}

function ofTheSystem(): Setup {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-watch-"));
  return {
    watchFolder,
    dir,
    write: (path) => writeFileSync(path, "x"),
    rename: renameSync,
    erase: (path) => rmSync(path),
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
}

function ofTheTests(): Setup {
  const disk = new MemoryDisk();
  disk.makeFolder("/data/inbox");
  return {
    watchFolder: disk.watchFolder,
    dir: "/data/inbox",
    write: (path) => disk.put(path, "x"),
    rename: disk.rename,
    erase: (path) => disk.erase(path),
    close() {},
  };
}

for (const [where, create] of [
  ["of the system", ofTheSystem],
  ["of the tests", ofTheTests],
] as const) {
  describe(`the watch ${where}`, () => {
    let setup: Setup;
    let watch: FolderWatch;
    let changed: Set<string | undefined>;

    beforeEach(async () => {
      setup = create();
      changed = new Set();
      let isReady = false;
      watch = setup.watchFolder(setup.dir, {
        onChange: (file) => changed.add(file),
        onReady: () => {
          isReady = true;
        },
        onError: (error) => assert.fail(error as Error),
      });
      await waitFor(() => isReady, "the watch to be set up");
    });

    afterEach(() => {
      watch.close();
      setup.close();
    });

    test("reports files that are created, renamed into place, changed and removed", async () => {
      for (const act of [
        () => setup.write(join(setup.dir, "a")),
        () => setup.write(join(setup.dir, "a")),
        () => setup.rename(join(setup.dir, "a"), join(setup.dir, "b")),
        () => setup.erase(join(setup.dir, "b")),
      ]) {
        changed.clear();
        act();
        await waitFor(() => changed.has("a") || changed.has("b"), "a change to be reported");
      }
    });

    test("reports nothing once it is closed", async () => {
      watch.close();
      setup.write(join(setup.dir, "a"));
      const other = setup.watchFolder(setup.dir, {
        onChange() {},
        onReady: () => changed.add("ready"),
        onError() {},
      });
      await waitFor(() => changed.has("ready"), "another watch to be set up");
      other.close();
      assert.deepEqual([...changed], ["ready"]);
    });
  });
}

// chokidar watches each file that it has listed. One watch for the folder shows that it lists none,
// which is what the one overridden private method is for.
test("a folder of many files takes one inotify watch", {
  skip: process.platform !== "linux" && "inotify is Linux's",
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-watch-"));
  for (let n = 0; n < 50; n++) writeFileSync(join(dir, `${n}.md`), "x");
  const before = inotifyWatches();
  let isReady = false;
  const changed: (string | undefined)[] = [];
  const watch = watchFolder(dir, {
    onReady: () => {
      isReady = true;
    },
    onChange: (file) => changed.push(file),
    onError: (error) => assert.fail(String(error)),
  });
  try {
    await waitFor(() => isReady, "the watch");
    writeFileSync(join(dir, "new.md"), "x");
    await waitFor(() => changed.includes("new.md"), "the event");
    assert.equal(inotifyWatches() - before, 1);
  } finally {
    watch.close();
    rmSync(dir, { recursive: true });
  }
});

/** How many watches this process has, over all its inotify instances. */
function inotifyWatches(): number {
  const counts = readdirSync("/proc/self/fdinfo").map((fd) => {
    try {
      return readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").match(/^inotify /gm)?.length ?? 0;
    } catch {
      return 0; // the descriptor of the listing itself
    }
  });
  return counts.reduce((sum, count) => sum + count, 0);
}
