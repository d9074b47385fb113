import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config.ts";
import { isSamePath } from "../../core/paths.ts";
import { readClaudeJson } from "./claude-json.ts";
import { tryList } from "./settings.ts";

/** A configuration of Claude Code: `~/.claude` with `~/.claude.json`, or a CLAUDE_CONFIG_DIR. */
export interface ClaudeHome extends Pick<Config, "claudeDir" | "claudeJson"> {
  /** How to run `setup` for a configuration that is not the current one. */
  readonly setup?: string;
}

/**
 * The user's other configurations, as far as they are in the usual places. Sessions that were
 * started with another CLAUDE_CONFIG_DIR see other entries.
 */
export function otherHomes({ home, claudeJson }: Config): ClaudeHome[] {
  const standard = {
    claudeDir: join(home, ".claude"),
    claudeJson: join(home, ".claude.json"),
    setup: "run setup without CLAUDE_CONFIG_DIR",
  };
  const folders = [...foldersIn(home, ".claude"), ...foldersIn(join(home, ".config"), "claude")];
  const others = folders.map((dir) => ({
    claudeDir: dir,
    claudeJson: join(dir, ".claude.json"),
    setup: `run setup with CLAUDE_CONFIG_DIR=${dir}`,
  }));
  return [standard, ...others].filter(
    (each) => !isSamePath(each.claudeJson, claudeJson) && isReadable(each),
  );
}

/** Folders like `.claude-work`. */
function foldersIn(parent: string, prefix: string): string[] {
  const names = tryList(parent).filter((name) => name.startsWith(prefix));
  return names.map((name) => join(parent, name));
}

function isReadable(home: ClaudeHome): boolean {
  try {
    return existsSync(home.claudeJson) && Boolean(readClaudeJson(home));
  } catch {
    return false;
  }
}
