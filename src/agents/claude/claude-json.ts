import { homedir } from "node:os";
import { join } from "node:path";
import { readJson } from "./json-file.ts";

export type McpEntry = {
  command?: string;
  args?: string[];
  cwd?: string;
  env?: Record<string, string>;
};
/** MCP servers by name, as Claude Code keeps them for all projects and for each. */
export type Servers = { mcpServers?: Record<string, McpEntry> };
export type ClaudeJson = Servers & { projects: Record<string, Servers> };

/** Claude Code's own file. Throws where it is no JSON. */
export const readClaudeJson = () =>
  readJson<ClaudeJson>(join(process.env.CLAUDE_CONFIG_DIR || homedir(), ".claude.json"));
