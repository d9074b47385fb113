// A read cache that cannot be used costs nothing but time: the files count.

import assert from "node:assert/strict";
import { chmodSync, cpSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { mail, moveMail, stamp, writeMail } from "../../support/mail.ts";
import { noPermissions, SERVE, SERVER, withoutRoot } from "../../support/process.ts";
import { startSession } from "../../support/session.ts";
import { noSqlite, openDatabase } from "../../support/sqlite.ts";
import { waitFor } from "../../support/wait.ts";

describe("the cache", { concurrency: 3 }, () => {
  /** Ways to spoil the file a session has left, and whether the next one has a reason to say so. */
  const faults: [string, (db: string, t: TestContext) => void, boolean, (readonly string[])?][] = [
    ["corrupt", (db) => writeFileSync(db, "no database ".repeat(1000)), true],
    ["torn", (db) => writeFileSync(db, readFileSync(db).subarray(0, 5000)), false],
    ["full of holes", (db) => makeHoles(db), false],
    ["of another schema", (db) => otherSchema(db), true],
    ["a directory", (db) => mkdirSync(removed(db)), true],
    ["locked", (db, t) => lockDatabase(db, t), true],
    ["read-only", (db) => chmodSync(db, 0o400), true, withoutRoot],
  ];

  function removed(path: string): string {
    unlinkSync(path);
    return path;
  }

  function tablesOf(db: ReturnType<typeof openDatabase>): unknown[] {
    const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all();
    assert.ok(tables.length > 0);
    return tables;
  }

  function otherSchema(path: string): void {
    const db = openDatabase(path);
    for (const table of tablesOf(db)) {
      db.exec(`DROP TABLE "${table}"; CREATE TABLE "${table}" (other TEXT, columns BLOB)`);
    }
    db.close();
  }

  /** SQLite reads rows without some of their columns from a page that is half gone. */
  function makeHoles(path: string): void {
    const db = openDatabase(path);
    for (const table of tablesOf(db)) {
      const columns = db.pragma(`table_info("${table}")`) as { name: string; pk: number }[];
      for (const { name, pk } of columns)
        if (!pk) db.exec(`UPDATE "${table}" SET "${name}" = NULL`);
    }
    db.close();
  }

  function lockDatabase(path: string, t: TestContext): void {
    const db = openDatabase(path);
    db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    t.after(() => db.close());
  }

  for (const [what, damage, said, drop = []] of faults) {
    const skip = noSqlite || (what === "read-only" && noPermissions);
    test(`a cache that is ${what} leaves unread right${said ? ", with one line on stderr" : ""}`, {
      skip,
    }, async (t) => {
      const dir = tempDir(t);
      const alpha = await startSession("alpha", { dir });
      for (const subject of ["one", "two"])
        await alpha.call("send", { to: "beta", subject, allow_unknown: true });
      await alpha.call("unread"); // it has looked at the folder, and with that made the cache
      await alpha.close();
      damage(join(dir, "cache.db"), t);
      await readsWithoutCache(dir, [...drop, ...SERVE], said);
    });
  }

  /** Mail is announced and read as ever, and one line on stderr names the cache. */
  async function readsWithoutCache(
    dir: string,
    command: readonly string[],
    said = true,
  ): Promise<void> {
    const beta = await startSession("beta", { dir, command });
    assert.match(
      (await beta.call("unread")).text,
      /^2 unread messages:.*subject: one.*subject: two/s,
    );
    await beta.call("send", { to: "alpha", subject: "an answer" });
    moveMail(
      dir,
      `${stamp()}-0000000d-alpha-beta-x.md`,
      mail({ from: "alpha", to: "beta", subject: "three" }),
    );
    await beta.waitForPush(({ meta }) => meta.subject === "three");
    assert.match((await beta.call("unread")).text, /^1 unread message:.*subject: three/s);
    if (said) await waitFor(() => /^t9-ipc: cache /m.test(beta.allStderr()), "the line on stderr");
    await beta.close();
    assert.match(
      beta.allStderr(),
      said ? /^t9-ipc: cache .*\n$/ : /^(t9-ipc: cache .*\n)?$/,
      "one line",
    );
  }

  for (const [what, source] of [
    ["not installed", undefined],
    [
      "not built for this Node",
      `const text = "The module 'better_sqlite3.node'\\nwas compiled against a different Node.js";
       throw Object.assign(new Error(text + " version"), { code: "ERR_DLOPEN_FAILED" });`,
    ],
  ] as const) {
    test(`a server works without a cache where better-sqlite3 is ${what}`, async (t) => {
      const dir = tempDir(t);
      const copy = join(dirname(dir), "copy");
      cpSync(dirname(SERVER), join(copy, "dist"), { recursive: true });
      cpSync(resolve(import.meta.dirname, "../../../package.json"), join(copy, "package.json"));
      if (source) {
        mkdirSync(join(copy, "node_modules/better-sqlite3"), { recursive: true });
        writeFileSync(join(copy, "node_modules/better-sqlite3/index.js"), source);
      }
      for (const n of ["one", "two"]) {
        writeMail(
          dir,
          `${stamp()}-0000000${n.length + Number(n === "two")}-a-beta-${n}.md`,
          mail({ from: "alpha", to: "beta", subject: n }),
        );
      }
      await readsWithoutCache(dir, [process.execPath, join(copy, "dist/server.js")]);
    });
  }

  for (const name of ["IPC_DB_PATH", "IPC_DIR"]) {
    test(`a server answers if ${name} is in a folder that nobody can create`, {
      skip: noSqlite || (process.platform !== "linux" && "/proc is Linux's"),
      timeout: 20_000, // Node's own recursive mkdir never returns there
    }, async (t) => {
      const env = { [name]: "/proc/nope/folder/file" };
      const alpha = await startSession("alpha", { dir: tempDir(t), env });
      assert.equal((await alpha.call("who")).isError, false);
      await waitFor(() => /^t9-ipc: cache .+ENOENT/m.test(alpha.allStderr()), "a line on stderr");
      await alpha.close();
    });
  }

  test("tools answer at once while another program holds the cache", {
    skip: noSqlite,
  }, async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await Promise.all([
      startSession("alpha", { dir }),
      startSession("beta", { dir }),
    ]);
    await alpha.call("send", { to: "beta", subject: "before" });
    await beta.waitForPush();
    const db = openDatabase(join(dir, "cache.db"));
    t.after(() => db.close());
    db.exec("BEGIN IMMEDIATE");
    // The server writes its cache every 2 s, and nothing shows from outside that it has tried.
    const end = performance.now() + 2500;
    for (let n = 0, start = performance.now(); start < end; start = performance.now(), n++) {
      await alpha.call("send", { to: "beta", subject: `n ${n}` });
      assert.match((await beta.call("unread")).text, new RegExp(`subject: n ${n}`));
      // SQLite itself would wait 5 s for the lock.
      assert.ok(performance.now() - start < 3000, "a tool waits for the cache");
    }
    assert.deepEqual([alpha.allStderr(), beta.allStderr()], ["", ""]);
  });
});
