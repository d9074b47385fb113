import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type Database from "better-sqlite3";
import type { Log } from "./config.ts";
import { makeFolder, reasonOf } from "./files.ts";
import type { Header } from "./message.ts";

/** How long a statement waits for another server's write; it blocks the whole process, so: briefly. */
const BUSY_MS = 100;
const TABLE = "t9_headers_1";

/**
 * Parsed headers on disk, so that a start need not parse every file. Never trusted over the files: rows are
 * looked up by the names that the folder lists. In the file system's place it has nothing to say.
 */
export interface Cache {
  /** All rows, by file name. */
  load(): Map<string, Header>;
  /** Brings the rows up to date, in one transaction; false: not now, another server is writing. */
  save(added: readonly Header[], gone: readonly string[]): boolean;
  close(): void;
}

/** Opens or creates the cache. Undefined, with one line on the log, where SQLite cannot serve: it is not needed. */
export function openCache(path: string, log: Log): Cache | undefined {
  let db: Database.Database | undefined;
  try {
    const Sqlite = createRequire(import.meta.url)("better-sqlite3") as typeof Database;
    makeFolder(dirname(path));
    closeSync(openSync(path, "a", 0o600));
    db = new Sqlite(path, { timeout: BUSY_MS });
    db.pragma("journal_mode = WAL");
    // What a power cut takes away is parsed again.
    db.pragma("synchronous = OFF");
    db.exec(
      `CREATE TABLE IF NOT EXISTS ${TABLE} (file TEXT PRIMARY KEY, "from" TEXT, "to" TEXT, type TEXT, subject TEXT, priority TEXT, created TEXT, at TEXT, mtime INTEGER) WITHOUT ROWID`,
    );
    return withStatements(db, log);
  } catch (error) {
    db?.close();
    log(`cache ${path} not used (${reasonOf(error)}): reading the files instead; if it stays, delete it`);
    return undefined;
  }
}

function withStatements(db: Database.Database, log: Log): Cache {
  const select = db.prepare(`SELECT file, "from", "to", type, subject, priority, created, at, mtime FROM ${TABLE}`);
  const insert = db.prepare(`INSERT OR REPLACE INTO ${TABLE} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const remove = db.prepare(`DELETE FROM ${TABLE} WHERE file = ?`);
  const write = db.transaction((added: readonly Header[], gone: readonly string[]) => {
    for (const file of gone) remove.run(file);
    for (const h of added) {
      insert.run(h.file, h.from, h.to, h.type, h.subject, h.priority, h.created, h.at, h.mtime ?? null);
    }
  });
  let failed = false;
  return {
    load() {
      const rows = new Map<string, Header>();
      try {
        for (const row of select.iterate() as Iterable<Header>) {
          rows.set(row.file, { ...row, mtime: row.mtime ?? undefined });
        }
      } catch (error) {
        log(`cache not read (${reasonOf(error)}): reading the files instead`);
        rows.clear();
      }
      return rows;
    },
    save(added, gone) {
      try {
        write.immediate(added, gone);
        return true;
      } catch (error) {
        if (String((error as { code?: string }).code).startsWith("SQLITE_BUSY")) return false;
        if (!failed) log(`cache not written (${reasonOf(error)}): the files are what counts`);
        failed = true;
        return true;
      }
    },
    close: () => db.close(),
  };
}
