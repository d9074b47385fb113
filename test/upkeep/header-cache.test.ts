// The read cache in one process, and another program that holds its file.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Inbox } from "../../src/core/inbox.ts";
import type { Header } from "../../src/core/message.ts";
import { checkCache, SqliteHeaderCache } from "../../src/upkeep/header-cache.ts";
import { tempDir } from "../support/folder.ts";
import { noSqlite, openDatabase } from "../support/sqlite.ts";

const FILE = "20261127T080000000000-0a1b2c3d-ann-bob-x.md";
const HEADER: Header = {
  file: FILE,
  from: "ann",
  to: "bob",
  type: "ipc",
  subject: "x",
  priority: "normal",
  created: "2026-11-27 08:00:00",
};

/** An inbox with this file, and ways to open its cache. */
function setUp(t: TestContext) {
  const path = join(dirname(tempDir(t)), "cache.db");
  const log: string[] = [];
  const inbox = Object.assign(new EventEmitter(), { files: new Set([FILE]) }) as unknown as Inbox;
  const open = () => {
    const cache = new SqliteHeaderCache(path, (line) => log.push(line));
    cache.start(inbox);
    t.after(() => cache.close());
    return cache;
  };
  return { path, log, inbox, open, scan: () => inbox.emit("scan") };
}

test("headers are kept over restarts, until the file is gone", { skip: noSqlite }, (t) => {
  const { open, scan, inbox } = setUp(t);
  const first = open();
  first.set(HEADER);
  scan();
  first.close();
  assert.deepEqual(open().get(FILE), HEADER);
  (inbox.files as Set<string>).clear();
  open();
  scan();
  assert.equal(open().get(FILE), undefined);
});

test("a cache that is locked while it is opened is used after the lock is gone", {
  skip: noSqlite,
}, (t) => {
  const { path, log, open, scan } = setUp(t);
  const other = openDatabase(path);
  other.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  const cache = open();
  cache.set(HEADER);
  scan();
  assert.match(String(log), /cache.db not used \(database is locked\).+if this stays, delete it/);
  other.close();
  scan();
  assert.deepEqual(open().get(FILE), HEADER);
});

test("a cache that was deleted is written again", { skip: noSqlite }, (t) => {
  const { path, log, open, scan } = setUp(t);
  const cache = open();
  rmSync(path);
  cache.set(HEADER);
  scan();
  assert.deepEqual(open().get(FILE), HEADER);
  assert.deepEqual(log, []);
});

test("a file that is no database is left alone, and nothing is kept for it", {
  skip: noSqlite,
}, (t) => {
  const { path, log, open, scan } = setUp(t);
  writeFileSync(path, "no database ".repeat(100));
  const cache = open();
  cache.set(HEADER);
  scan();
  assert.equal(cache.get(FILE), undefined);
  assert.match(String(log), /cache.db not used \(file is not a database\)/);
  assert.match(checkCache(path)?.remedy ?? "", /delete the file$/);
});

test("a cache in a folder that cannot be written has no advice of its own", {
  skip: noSqlite,
}, (t) => {
  const { path } = setUp(t);
  writeFileSync(path, "a file in the place of a folder");
  const { problem, remedy } = checkCache(join(path, "folder/cache.db")) ?? assert.fail();
  assert.match(problem, /cache.db cannot be used as a cache: E/);
  assert.equal(remedy, "");
});
