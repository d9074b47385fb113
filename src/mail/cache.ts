import { lstatSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type Database from "better-sqlite3";
import type { Log } from "../config.ts";
import { errorCode, makeFolder, reasonOf, statOf, versionOf } from "../files.ts";
import type { Header } from "./message.ts";

/** How long a statement waits for another server's write; it blocks the whole process, so: briefly. */
const BUSY_MS = 100;
/** One transaction writes no more rows than this: it blocks the process too. The rest goes with the next. */
const MAX_ROWS = 500;
/** Named for what it holds: other tables in the same file are not ours. The number changes with the columns. */
const TABLE = "t9_headers_2";
const COLUMNS = ["file", "from", "to", "type", "subject", "priority", "created", "reply_to"];

/**
 * Headers on disk, so that a long inbox need not be parsed again after each start. Never trusted over the files,
 * never needed.
 */
export interface Cache {
  get(file: string): Header | undefined;
  /** The file names that have a row. */
  files(): string[];
  /** Brings rows up to date, in one transaction, and takes them out of `changes`; those of a busy moment stay in it. */
  save(changes: Map<string, Header | undefined>): void;
  /** False where the file was deleted since it was opened, also where another server has made it anew. */
  isInPlace(): boolean;
  close(): void;
}

/** Opens or creates the cache. Undefined, with one line on the log, where SQLite cannot serve. */
export function openCache(path: string, log: Log): Cache | undefined {
  const fail = (error: unknown): void =>
    log(
      `cache ${path} not used (${reasonOf(error)}): reading the files instead; if this stays, delete it`,
    );
  let db: Database.Database | undefined;
  try {
    const Sqlite = createRequire(import.meta.url)("better-sqlite3") as typeof Database;
    makeFolder(dirname(path));
    // SQLite would follow a link and write into its target.
    if (versionOf(path) !== "" && !lstatSync(path).isFile())
      throw new Error("it is not a regular file");
    db = new Sqlite(path, { timeout: BUSY_MS });
    db.pragma("synchronous = OFF"); // what a power cut takes away is parsed again
    const names = COLUMNS.map((column) => `"${column}"`).join(", ");
    db.exec(`CREATE TABLE IF NOT EXISTS ${TABLE} (${names}, PRIMARY KEY (file)) WITHOUT ROWID`);
    const inode = statOf(path)?.ino;
    const list = db.prepare(`SELECT file FROM ${TABLE}`).pluck();
    const select = db.prepare(`SELECT ${names} FROM ${TABLE} WHERE file = ?`);
    const insert = db.prepare(
      `INSERT OR REPLACE INTO ${TABLE} (${names}) VALUES (@${COLUMNS.join(", @")})`,
    );
    const remove = db.prepare(`DELETE FROM ${TABLE} WHERE file = ?`);
    const write = db.transaction((changes: [string, Header | undefined][]) => {
      for (const [file, header] of changes) {
        if (header) insert.run(header);
        else remove.run(file);
      }
    });
    return {
      get(file) {
        try {
          // SQLite reads what a torn file lacks as NULL.
          const row = select.get(file) as Header | undefined;
          return row && Object.values(row).every((value) => typeof value === "string")
            ? row
            : undefined;
        } catch (error) {
          return void fail(error);
        }
      },
      files() {
        try {
          return (list.all() as unknown[]).filter((file) => typeof file === "string");
        } catch (error) {
          fail(error);
          return [];
        }
      },
      save(changes) {
        const batch = [...changes].slice(0, MAX_ROWS);
        try {
          write.immediate(batch);
        } catch (error) {
          const code = errorCode(error) ?? "";
          // Another server is writing, or the file was deleted: the next listing opens it anew.
          if (code.startsWith("SQLITE_BUSY") || code === "SQLITE_READONLY_DBMOVED") return;
          fail(error);
        }
        for (const [file] of batch) changes.delete(file);
      },
      isInPlace: () => statOf(path)?.ino === inode,
      close: db.close.bind(db),
    };
  } catch (error) {
    db?.close();
    fail(error);
    return undefined;
  }
}
