// How much of an answer each client shows the model.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createAgent } from "../../src/agents/index.ts";
import { readConfig } from "../../src/config.ts";
import { createSystem } from "../../src/upkeep/system.ts";
import { homeOf, tempDir } from "../support/folder.ts";

const CASES: readonly [client: string, limit: string | undefined, bytes: number][] = [
  ["claude-code", undefined, 40_000],
  ["claude-code", "10000", 16_000],
  ["claude-code", "100000", 40_000],
  ["claude-code", "many", 40_000],
  ["claude-code", "0", 40_000],
  ["codex-mcp-client", "100", 8000],
  ["opencode", undefined, 8000],
];

for (const [name, limit, bytes] of CASES) {
  const set = limit === undefined ? "" : ` with MAX_MCP_OUTPUT_TOKENS=${limit}`;
  test(`an answer for ${name}${set} has at most ${bytes} bytes`, (t) => {
    const dir = tempDir(t);
    const env = { HOME: homeOf(dir), IPC_DIR: dir, ...(limit && { MAX_MCP_OUTPUT_TOKENS: limit }) };
    const config = readConfig(env, dir, () => {});
    const agent = createAgent({ name, version: "1" }, config, createSystem(config));
    assert.equal(agent.maxAnswerBytes, bytes);
  });
}
