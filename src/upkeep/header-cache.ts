import { accessSync, constants, lstatSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type Database from "better-sqlite3";
import { errorCode, messageOf } from "../core/errors.ts";
import { diskFiles } from "../core/files.ts";
import type { HeaderCache, Inbox } from "../core/inbox.ts";
import type { Log } from "../core/log.ts";
import type { Header } from "../core/message.ts";

/** How long a statement waits for another server's write. It blocks the process, so: briefly. */
const BUSY_MS = 100;
/** One transaction writes at most this many rows. The next scan writes the rest. */
const MAX_ROWS = 500;
/** Other tables in the same file are not ours. The number changes with the columns. */
const TABLE = "t9_headers_2";
const COLUMNS = ["file", "from", "to", "type", "subject", "priority", "created", "reply_to"];

type Row = Record<string, unknown>;

interface Statements {
  readonly db: Database.Database;
  readonly select: Database.Statement;
  readonly files: Database.Statement;
  readonly write: Database.Transaction<(changes: [string, Header | undefined][]) => void>;
  /** Tells the file from one that takes its place after it was deleted. */
  readonly inode: number | undefined;
}

/**
 * Headers in SQLite, so that a long inbox need not be parsed again after each start. It is never
 * trusted over the files, and never needed: whatever fails is logged and the files are read.
 */
export class SqliteHeaderCache implements HeaderCache {
  /** Not written yet; undefined for files that are gone. */
  readonly #changes = new Map<string, Header | undefined>();
  #open: Statements | undefined;
  /** False if the file cannot be used, for a reason that does not pass. */
  #isUsable = true;
  #hasCheckedMissing = false;

  constructor(
    private readonly path: string,
    private readonly log: Log,
  ) {}

  /** Opens the file, and writes changes after each scan. */
  start(inbox: Inbox): void {
    this.#reopen();
    inbox.on("scan", () => {
      if (this.#isUsable && !this.#isInPlace()) this.#reopen();
      if (!this.#isUsable) return this.#changes.clear();
      this.#forgetMissing(inbox.files);
      this.#flush();
    });
  }

  close(): void {
    this.#flush();
    this.#open?.db.close();
    this.#open = undefined;
  }

  get(file: string): Header | undefined {
    if (this.#changes.has(file)) return this.#changes.get(file);
    return this.#try((open) => {
      const row = open.select.get(file) as Row | undefined;
      return row && toHeader(row);
    });
  }

  set(header: Header): void {
    this.#changes.set(header.file, header);
  }

  delete(file: string): void {
    this.#changes.set(file, undefined);
  }

  #reopen(): void {
    try {
      this.#open?.db.close();
      this.#open = undefined;
      this.#open = openDatabase(this.path);
      this.#hasCheckedMissing = false;
    } catch (error) {
      this.#isUsable = mayPass(error);
      this.#report(error);
    }
  }

  /** Messages may have gone while no server was running. */
  #forgetMissing(present: ReadonlySet<string>): void {
    if (this.#hasCheckedMissing) return;
    this.#hasCheckedMissing = true;
    const files = this.#try((open) => open.files.all() as unknown[]) ?? [];
    for (const file of files) {
      if (typeof file === "string" && !present.has(file)) this.#changes.set(file, undefined);
    }
  }

  #flush(): void {
    const batch = [...this.#changes].slice(0, MAX_ROWS);
    if (batch.length === 0 || !this.#open) return;
    const isWritten = this.#try((open) => {
      open.write.immediate(batch);
      return true;
    });
    if (!isWritten) return;
    for (const [file, header] of batch) {
      if (this.#changes.get(file) === header) this.#changes.delete(file);
    }
  }

  #try<T>(work: (open: Statements) => T): T | undefined {
    if (!this.#open) return undefined;
    try {
      return work(this.#open);
    } catch (error) {
      if (!mayPass(error)) this.#report(error);
      return undefined;
    }
  }

  #report(error: unknown): void {
    const remedy = error instanceof NotInstalledError ? "" : "; if this stays, delete it";
    this.log(
      `cache ${this.path} not used (${messageOf(error)}): reading the files instead${remedy}`,
    );
  }

  /** False if the file is not open, was deleted, or was then created again by another server. */
  #isInPlace(): boolean {
    return this.#open !== undefined && this.#open.inode === inodeOf(this.path);
  }
}

/** True if another server is writing, or the file was deleted: the next scan tries again. */
function mayPass(error: unknown): boolean {
  const code = errorCode(error) ?? "";
  return code.startsWith("SQLITE_BUSY") || code === "SQLITE_READONLY_DBMOVED";
}

/** better-sqlite3 is not installed, or not built for this Node. */
class NotInstalledError extends Error {}

/** Throws NotInstalledError. */
function loadSqlite(): typeof Database {
  try {
    const Sqlite = createRequire(import.meta.url)("better-sqlite3") as typeof Database;
    new Sqlite(":memory:").close(); // only this loads the part that is built for one Node
    return Sqlite;
  } catch (cause) {
    throw new NotInstalledError(`better-sqlite3 does not load: ${messageOf(cause)}`, { cause });
  }
}

/**
 * Why the cache cannot be used, and how to repair it if that is not said elsewhere. Undefined if
 * it can be used. For `doctor`.
 */
export function checkCache(path: string): { problem: string; remedy: string } | undefined {
  try {
    openDatabase(path).db.close();
    return undefined;
  } catch (error) {
    const problem = `${path} cannot be used as a cache: ${messageOf(error)}`;
    const isMissing = error instanceof NotInstalledError;
    const step = isMissing ? "install or npm rebuild it" : "if this stays, delete the file";
    // For a folder that is read-only, the data folder's own line has the advice.
    const isAdvised = isMissing || isWritable(dirname(path));
    return { problem, remedy: isAdvised ? `only large inboxes need it: ${step}` : "" };
  }
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function inodeOf(path: string): number | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.ino;
  } catch {
    return undefined;
  }
}

/** Throws if better-sqlite3 does not load, or if the file is not a database. */
function openDatabase(path: string): Statements {
  const Sqlite = loadSqlite();
  diskFiles.makeFolder(dirname(path));
  // SQLite would follow a link and write into its target.
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats && !stats.isFile()) throw new Error("it is not a regular file");
  const db = new Sqlite(path, { timeout: BUSY_MS });
  try {
    return prepare(db, path);
  } catch (error) {
    db.close();
    throw error;
  }
}

function prepare(db: Database.Database, path: string): Statements {
  db.pragma("synchronous = OFF"); // headers lost in a power cut are parsed again
  const names = COLUMNS.map((column) => `"${column}"`).join(", ");
  db.exec(`CREATE TABLE IF NOT EXISTS ${TABLE} (${names}, PRIMARY KEY (file)) WITHOUT ROWID`);
  const values = COLUMNS.map((column) => `@${column}`).join(", ");
  const insert = db.prepare(`INSERT OR REPLACE INTO ${TABLE} (${names}) VALUES (${values})`);
  const remove = db.prepare(`DELETE FROM ${TABLE} WHERE file = ?`);
  return {
    db,
    inode: inodeOf(path),
    select: db.prepare(`SELECT ${names} FROM ${TABLE} WHERE file = ?`),
    files: db.prepare(`SELECT file FROM ${TABLE}`).pluck(),
    write: db.transaction((changes: [string, Header | undefined][]) => {
      for (const [file, header] of changes) {
        if (header) insert.run({ ...header, reply_to: header.reply_to ?? "" });
        else remove.run(file);
      }
    }),
  };
}

/** Undefined for a row of a damaged file, whose missing values are read as NULL. */
function toHeader(row: Row): Header | undefined {
  if (!Object.values(row).every((value) => typeof value === "string")) return undefined;
  const { reply_to, ...fields } = row as Record<string, string>;
  return { ...(fields as unknown as Header), ...(reply_to && { reply_to }) };
}
