import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config.ts";

/** A configuration of Claude Code: `~/.claude` with `~/.claude.json`, or a CLAUDE_CONFIG_DIR. */
export type ClaudeHome = Pick<Config, "claudeDir" | "claudeJson">;

/**
 * The user's other configurations, as far as they are in the usual places. Sessions that were started
 * with another CLAUDE_CONFIG_DIR see other entries.
 */
export function otherHomes(config: Config): ClaudeHome[] {
  const { home, claudeJson } = config;
  const standard = { claudeDir: join(home, ".claude"), claudeJson: join(home, ".claude.json") };
  const folders = [
    ...claudeFoldersIn(home, ".claude"),
    ...claudeFoldersIn(join(home, ".config"), "claude"),
  ];
  const others = folders.map((dir) => ({ claudeDir: dir, claudeJson: join(dir, ".claude.json") }));
  return [standard, ...others].filter(
    (each) => each.claudeJson !== claudeJson && existsSync(each.claudeJson),
  );
}

/** Folders like `.claude-work`. */
function claudeFoldersIn(parent: string, prefix: string): string[] {
  if (!existsSync(parent)) return [];
  const names = readdirSync(parent).filter((name) => name.startsWith(prefix));
  return names.map((name) => join(parent, name));
}
