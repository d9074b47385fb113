import type { Config } from "../../config.ts";
import { readJsonFile } from "./json-file.ts";

/** An MCP server as Claude Code keeps it. */
export interface McpEntry {
  readonly command?: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Servers {
  readonly mcpServers?: Readonly<Record<string, McpEntry>>;
}

interface Project extends Servers {
  /** Servers that the user switched off with `/mcp disable`. */
  readonly disabledMcpServers?: readonly string[];
}

/** Claude Code's own file: servers for all projects, and for each. */
export interface ClaudeJson extends Servers {
  readonly projects: Readonly<Record<string, Project>>;
}

/** Throws if the file is not JSON. */
export function readClaudeJson({ claudeJson }: Pick<Config, "claudeJson">) {
  return readJsonFile<ClaudeJson>(claudeJson);
}

/** An entry of ours, and the project that it holds for; undefined for all. */
export interface Registration {
  readonly entry: McpEntry;
  readonly project?: string;
}

/** Every t9-ipc entry in the file, whatever installation it starts. */
export function findRegistrations(json: Partial<ClaudeJson>): Registration[] {
  const forAll = json.mcpServers?.["t9-ipc"];
  const forProjects = Object.entries(json.projects ?? {}).flatMap(([project, { mcpServers }]) => {
    const entry = mcpServers?.["t9-ipc"];
    return entry ? { entry, project } : [];
  });
  return forAll ? [{ entry: forAll }, ...forProjects] : forProjects;
}
