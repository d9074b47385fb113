import { createRequire } from "node:module";
import { dirname } from "node:path";
import type Database from "better-sqlite3";
import type { Log } from "../config.ts";
import { errorCode, makeFolder, reasonOf, statOf } from "../files.ts";
import type { Header } from "./message.ts";

/** How long a statement waits for another server's write; it blocks the whole process, so: briefly. */
const BUSY_MS = 100;
/** Named for what it holds: other tables in the same file are not ours. The number changes with the columns. */
const TABLE = "t9_headers_1";
const COLUMNS = ["file", "from", "to", "type", "subject", "priority", "created", "at", "came"];

/**
 * Headers on disk, so that a start need not parse every file: of those we named, which are never edited. Never
 * trusted over the files, never needed.
 */
export interface Cache {
  load(): Header[];
  /** Brings the rows up to date, in one transaction. "busy": another server is writing; "gone": the file was deleted. */
  save(changes: ReadonlyMap<string, Header | undefined>): "saved" | "busy" | "gone";
  close(): void;
}

/** Opens or creates the cache. Undefined, with one line on the log, where SQLite cannot serve. */
export function openCache(path: string, log: Log): Cache | undefined {
  const fail = (error: unknown): void =>
    log(`cache ${path} not used (${reasonOf(error)}): reading the files instead; if this stays, delete it`);
  let db: Database.Database | undefined;
  try {
    const Sqlite = createRequire(import.meta.url)("better-sqlite3") as typeof Database;
    makeFolder(dirname(path));
    if (statOf(path)?.isFile() === false) throw new Error("it is not a regular file");
    db = new Sqlite(path, { timeout: BUSY_MS });
    db.pragma("synchronous = OFF"); // what a power cut takes away is parsed again
    const names = COLUMNS.map((column) => `"${column}"`).join(", ");
    db.exec(`CREATE TABLE IF NOT EXISTS ${TABLE} (${names}, PRIMARY KEY (file)) WITHOUT ROWID`);
    const select = db.prepare(`SELECT ${names} FROM ${TABLE} ORDER BY file DESC`); // newest first: see Inbox.#accept
    const insert = db.prepare(`INSERT OR REPLACE INTO ${TABLE} (${names}) VALUES (@${COLUMNS.join(", @")})`);
    const remove = db.prepare(`DELETE FROM ${TABLE} WHERE file = ?`);
    const write = db.transaction((changes: ReadonlyMap<string, Header | undefined>) => {
      for (const [file, header] of changes) {
        if (!header) remove.run(file);
        else if (header.mtime === undefined) insert.run(header);
      }
    });
    return {
      load() {
        try {
          // SQLite reads what a torn file lacks as NULL.
          const rows = select.all() as Header[];
          return rows.filter((row) => Object.values(row).every((value) => typeof value === "string"));
        } catch (error) {
          fail(error);
          return [];
        }
      },
      save(changes) {
        try {
          write.immediate(changes);
        } catch (error) {
          const code = errorCode(error) ?? "";
          if (code.startsWith("SQLITE_BUSY")) return "busy";
          if (code === "SQLITE_READONLY_DBMOVED") return "gone";
          fail(error);
        }
        return "saved";
      },
      close: db.close.bind(db),
    };
  } catch (error) {
    db?.close();
    fail(error);
    return undefined;
  }
}
