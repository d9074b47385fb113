// The lock, by itself: its waits and its release cannot be told apart from outside a server.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, utimesSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { withLock } from "../src/files.ts";
import { tempDir } from "./support/folder.ts";
import { waitFor } from "./support/wait.ts";

const CROWD = resolve(import.meta.dirname, "bench/lock.ts");
const silent = (): void => {};

describe("the lock", () => {
  test("is held while the work is done, and given back before anything else happens", async (t) => {
    const path = join(tempDir(t), "inbox");
    const seen: boolean[] = [];
    const look = () => seen.push(existsSync(`${path}.lock`));
    const answer = await withLock(path, silent, (locked) => {
      look();
      queueMicrotask(look);
      return locked;
    });
    assert.equal(answer, true);
    assert.deepEqual(seen, [true, false]);
    const failed = withLock(path, silent, () => {
      queueMicrotask(look);
      throw new Error("no space");
    });
    await assert.rejects(failed, /no space/);
    assert.deepEqual(seen, [true, false, false]);
  });

  test("wakes who waits for a long holder as soon as it is free", {
    skip: process.platform !== "linux" && "elsewhere the release may be told late or not at all",
  }, async (t) => {
    const path = join(tempDir(t), "inbox");
    await withLock(path, silent, silent); // loads what it needs
    mkdirSync(`${path}.lock`);
    // No pause ends by itself, so that nothing but the release can end it.
    const pause = new AbortController();
    const pauses = t.mock.method(AbortSignal, "timeout", () => pause.signal);
    const waiting = withLock(path, silent, (locked) => locked);
    await waitFor(() => pauses.mock.callCount() > 0, "a look that meets the same holder again");
    rmdirSync(`${path}.lock`);
    assert.equal(await waiting, true);
    assert.equal(pauses.mock.callCount(), 1);
    pause.abort();
  });

  test("that cannot be had is waited for 2 s, and then the work is done without", async (t) => {
    const [path, ahead] = [join(tempDir(t), "inbox"), join(tempDir(t), "inbox")];
    for (const lock of [path, ahead]) mkdirSync(`${lock}.lock`, { recursive: true });
    const inAnHour = new Date(Date.now() + 3_600_000);
    utimesSync(`${ahead}.lock`, inAnHour, inAnHour);
    const lines: string[] = [];
    const began = performance.now();
    const without = (lock: string) =>
      withLock(
        lock,
        (line) => lines.push(line),
        (locked) => locked,
      );
    assert.deepEqual(await Promise.all([without(path), without(ahead)]), [false, false]);
    const took = performance.now() - began;
    assert.ok(took >= 2000 && took < 2900, `${took} ms`);
    assert.equal(lines.length, 2);
    assert.match(
      lines.join("\n"),
      /^no lock of .*inbox: another process holds it; going on without$/m,
    );
    assert.equal(existsSync(`${path}.lock`), true, "the holder's lock is not touched");
    assert.equal(await without(ahead), true, "a lock that is ahead of the clock is removed");
  });

  test("goes round in a crowd of fifty processes: nobody gives up, and never have two of them held it", async () => {
    // Several rounds, since other work on the machine may keep the holder of a lock from its processor for long.
    const args = ["--import", "tsx", CROWD, "--holds", "200", "--rounds", "3", "--json"];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const [crowd] = JSON.parse(stdout);
    assert.equal(crowd.processes, 50);
    assert.equal(crowd["without the lock, least"], 0, stdout);
    assert.equal(crowd["held by two, all runs"], 0, stdout);
  });
});
