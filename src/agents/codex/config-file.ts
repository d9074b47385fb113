import { existsSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** What our server reads. Codex hands on nothing that its entry does not name. */
export const ENV_VARS =
  "CODEX_HOME IPC_DIR IPC_SESSION_ID IPC_DB_PATH IPC_PUSH IPC_POLL IPC_TG_TOKEN IPC_TG_CHAT IPC_TG_API";
/** A table of our entry, with the lines up to its last key. What follows (blank lines, comments) belongs to the next. */
export const TABLES =
  /^[ \t]*\[[ \t]*mcp_servers[ \t]*\.[ \t]*(["']?)t9-ipc\1[ \t]*(\..*)?\].*(?:(?:\r?\n[ \t]*(?:#.*)?)*\r?\n[ \t]*[^\s#[].*)*/gm;

export const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

/** Codex's own file, all tables of our entry in it, and the one of them with the command. */
export function readCodexConfig() {
  const named = join(process.env.CODEX_HOME || join(homedir(), ".codex"), "config.toml");
  const path = existsSync(named) ? realpathSync(named) : named; // It may be a link to somebody's dotfiles.
  const text = read(path);
  const tables = [...text.matchAll(TABLES)];
  const table = tables.find(([, , subtable]) => !subtable)?.[0];
  return { path, text, table, entry: tables.map(([all]) => all).join("\n") };
}
