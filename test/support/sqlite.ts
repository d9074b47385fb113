// better-sqlite3 for the tests that look into the read cache. It is optional: it need not be built
// for this Node.

import { createRequire } from "node:module";

type Module = typeof import("better-sqlite3");
type Database = InstanceType<Module>;

function load(): Module | undefined {
  try {
    const found = createRequire(import.meta.url)("better-sqlite3") as Module;
    new found(":memory:").close();
    return found;
  } catch {
    return undefined;
  }
}

const sqlite = load();

/** Why the cache cannot be looked into here; false where it can. */
export const noSqlite = sqlite ? false : "better-sqlite3 does not load here";

/** Opens a database. For tests that are skipped where `noSqlite` says so. */
export function openDatabase(path: string, options?: { readonly?: boolean }): Database {
  if (!sqlite) throw new Error("better-sqlite3 does not load here");
  return new sqlite(path, options);
}
