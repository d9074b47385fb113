import type { Config } from "../config.ts";
import type { System } from "../core/system.ts";
import type { Agent, ClientInfo } from "./agent.ts";
import { createClaudeAgent } from "./claude/agent.ts";
import { createCodexAgent } from "./codex/agent.ts";
import { createOtherAgent } from "./other-agent.ts";

/** The agent, by the name that the client gives itself. To support another one, add it here. */
export function createAgent(client: ClientInfo, config: Config, system: System): Agent {
  switch (client.name) {
    case "claude-code":
      return createClaudeAgent(config, system);
    case "codex-mcp-client":
      return createCodexAgent(config);
    default:
      return createOtherAgent(config, client);
  }
}
