// The same rules hold for the lock of the system, also between processes, and for that of the
// tests.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { diskFiles } from "../../src/core/files.ts";
import { createLock } from "../../src/core/lock.ts";
import type { WithLock } from "../../src/core/system.ts";
import { childEnv } from "../support/environment.ts";
import { FakeLock } from "../support/fake-system.ts";
import { MemoryDisk } from "../support/memory-files.ts";

interface Setup {
  readonly withLock: WithLock;
  readonly path: string;
  hold(): void;
  isFolderThere(): boolean;
  close(): void;
}

function ofTheSystem(): Setup {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-lock-"));
  const path = join(dir, "ipc/heartbeats.json");
  return {
    withLock: createLock(diskFiles, () => {}).withLock,
    path,
    hold: () => void mkdirSync(`${path}.lock`, { recursive: true }),
    isFolderThere: () => diskFiles.stat(join(dir, "ipc"))?.isFolder ?? false,
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
}

const sourceUrl = (file: string): string =>
  pathToFileURL(resolve(import.meta.dirname, "../../src/core", file)).href;

function ofTheTests(): Setup {
  const disk = new MemoryDisk();
  const lock = new FakeLock(disk);
  return {
    withLock: lock.withLock,
    path: "/ipc/heartbeats.json",
    hold: () => void lock.held.add("/ipc/heartbeats.json"),
    isFolderThere: () => disk.stat("/ipc")?.isFolder ?? false,
    close() {},
  };
}

for (const [where, create] of [
  ["of the system", ofTheSystem],
  ["of the tests", ofTheTests],
] as const) {
  describe(`the lock ${where}`, () => {
    let setup: Setup;
    beforeEach(() => {
      setup = create();
    });
    afterEach(() => setup.close());

    test("is held while the work runs, in a folder that is created", async () => {
      const result = await setup.withLock(setup.path, (isLocked) => [
        isLocked,
        setup.isFolderThere(),
      ]);
      assert.deepEqual(result, [true, true]);
    });

    test("passes on what the work throws, and is free afterwards", async () => {
      const broken = setup.withLock(setup.path, () => {
        throw new Error("broken");
      });
      await assert.rejects(broken, /broken/);
      assert.equal(await setup.withLock(setup.path, (isLocked) => isLocked), true);
    });

    test("lets callers of one process work one after another", async () => {
      const order: number[] = [];
      await Promise.all(
        [1, 2, 3].map((n) => setup.withLock(setup.path, (isLocked) => isLocked && order.push(n))),
      );
      assert.deepEqual(order, [1, 2, 3]);
    });

    test("that somebody else holds is not waited for forever: the work runs without it", async () => {
      setup.hold();
      assert.equal(await setup.withLock(setup.path, (isLocked) => isLocked), false);
    });
  });
}

describe("the lock of the system", () => {
  let setup: Setup;
  beforeEach(() => {
    setup = ofTheSystem();
  });
  afterEach(() => setup.close());

  test("that was left behind over five seconds ago is taken over", async () => {
    setup.hold();
    utimesSync(`${setup.path}.lock`, 0, Date.now() / 1000 - 6);
    assert.equal(await setup.withLock(setup.path, (isLocked) => isLocked), true);
  });

  test("that was left behind by a clock that ran ahead is removed after one failure", async () => {
    setup.hold();
    utimesSync(`${setup.path}.lock`, 0, Date.now() / 1000 + 3600);
    assert.equal(await setup.withLock(setup.path, (isLocked) => isLocked), false);
    assert.equal(await setup.withLock(setup.path, (isLocked) => isLocked), true);
  });

  test("that others hold and touch is waited for over a second, and left in place", async () => {
    setup.hold();
    const before = performance.now();
    await setup.withLock(setup.path, () => {});
    assert.ok(performance.now() - before > 1000);
    assert.ok(statSync(`${setup.path}.lock`).isDirectory());
  });

  test("is idle when all work is done", async () => {
    const { withLock, whenIdle } = createLock(diskFiles, () => {});
    for (const count of [1, 2]) {
      let done = 0;
      for (let n = 0; n < count; n++) void withLock(setup.path, () => done++);
      await whenIdle();
      assert.deepEqual([done, existsSync(`${setup.path}.lock`)], [count, false]);
    }
  });

  test("keeps processes apart that count in one file", async () => {
    const count = join(setup.path, "../count");
    const script = `
      const { createLock } = await import(${JSON.stringify(sourceUrl("lock.ts"))});
      const { diskFiles } = await import(${JSON.stringify(sourceUrl("files.ts"))});
      const { readFileSync, writeFileSync, existsSync } = await import("node:fs");
      const { withLock } = createLock(diskFiles, console.error);
      for (let n = 0; n < 20; n++) await withLock(${JSON.stringify(setup.path)}, (isLocked) => {
        if (!isLocked) return;
        const path = ${JSON.stringify(count)};
        const before = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
        writeFileSync(path, String(before + 1));
      });`;
    const args = ["--import", "tsx", "--input-type=module", "-e", script];
    const env = childEnv();
    await Promise.all([1, 2].map(() => promisify(execFile)(process.execPath, args, { env })));
    assert.equal(diskFiles.read(count, 100).text, "40");
  });
});
