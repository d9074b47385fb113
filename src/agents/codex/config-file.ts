import { join } from "node:path";
import { parse, patch } from "@decimalturn/toml-patch";
import type { Config } from "../../config.ts";
import { messageOf } from "../../core/errors.ts";
import { readText, resolveLink } from "../user-file.ts";

/**
 * The environment variables that our server reads. Codex hands on only those that the entry names.
 */
export const ENV_VARS = [
  "CODEX_HOME",
  "IPC_DIR",
  "IPC_SESSION_ID",
  "IPC_DB_PATH",
  "IPC_PUSH",
  "IPC_POLL",
  "IPC_TG_TOKEN",
  "IPC_TG_CHAT",
  "IPC_TG_API",
];

/** An MCP server as Codex keeps it. */
export interface CodexEntry {
  readonly command?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly env_vars?: readonly unknown[];
  readonly default_tools_approval_mode?: string;
  readonly tools?: Readonly<Record<string, { readonly approval_mode?: string }>>;
}

interface CodexToml {
  mcp_servers?: Record<string, CodexEntry>;
  [key: string]: unknown;
}

/** Codex's file, and our entry in it. Throws if the file is not TOML. */
export function readCodexConfig({ codexDir }: Config) {
  const named = join(codexDir, "config.toml");
  try {
    const path = resolveLink(named);
    const text = readText(path);
    return { path, text, entry: entryIn(text) };
  } catch (error) {
    throw new Error(
      `${named} cannot be read (${messageOf(error)}). Nothing was changed: fix it first.`,
    );
  }
}

export function entryIn(text: string): CodexEntry | undefined {
  return (parse(text) as CodexToml).mcp_servers?.["t9-ipc"];
}

/**
 * The text with this entry instead of the one that is there, or with none. Everything else stays.
 */
export function withEntry(text: string, entry: CodexEntry | undefined): string {
  const before = entryIn(text);
  if (before && !entry) return withoutEntry(text, before);
  if (!before && entry && !hasInlineServers(text))
    return text + separator(text) + table(entry, text);

  const toml = parse(text) as CodexToml;
  return patch(text, { ...toml, mcp_servers: { ...toml.mcp_servers, "t9-ipc": entry } });
}

/**
 * Our table is cut out as we wrote it: toml-patch would remove the comments between our table and
 * the next one too. Only a table that somebody has laid out anew is left to toml-patch.
 */
function withoutEntry(text: string, entry: CodexEntry): string {
  const written = table(entry, text);
  const position = text.indexOf(written);
  if (position >= 0) {
    const head = text.slice(0, position);
    return head.replace(/(\r?\n)\r?\n$/, "$1") + text.slice(position + written.length);
  }

  const toml = parse(text) as CodexToml;
  const { "t9-ipc": _removed, ...others } = toml.mcp_servers ?? {};
  const { mcp_servers: _servers, ...rest } = toml;
  const isEmpty = Object.keys(others).length === 0;
  return patch(text, isEmpty ? rest : { ...rest, mcp_servers: others });
}

/** The entry as a table of its own, in the file's line ends. */
function table(entry: CodexEntry, text: string): string {
  const eol = lineEnd(text);
  return patch(`[mcp_servers.t9-ipc]${eol}`, { mcp_servers: { "t9-ipc": entry } });
}

/** A blank line before our table. */
function separator(text: string): string {
  const eol = lineEnd(text);
  if (text === "") return "";
  return text.endsWith("\n") ? eol : eol + eol;
}

const lineEnd = (text: string): string => (text.includes("\r\n") ? "\r\n" : "\n");

/** No table can follow `mcp_servers = { … }`: another server has to be added between the braces. */
const hasInlineServers = (text: string): boolean => /^[ \t]*mcp_servers[ \t]*=/m.test(text);
