import { existsSync } from "node:fs";
import { parse } from "@decimalturn/toml-patch";
import { type Config, readConfig, SERVER } from "../../config.ts";
import { isSamePath } from "../../core/paths.ts";
import { broken, type Finding, ok, warning } from "../finding.ts";
import { runProgram } from "../programs.ts";
import { checkStart } from "../try-server.ts";
import { MAX_ANSWER_BYTES } from "./agent.ts";
import { type CodexEntry, ENV_VARS, readCodexConfig } from "./config-file.ts";

const SETUP = "run setup --codex";

/** Measured in 0.169: Codex lets `tool_output_token_limit` × 4 × 1.2 bytes of an answer through. */
const BYTES_PER_TOKEN = 4 * 1.2;

/** Everything that Codex needs for its sessions to get mail. Nothing if Codex is not used. */
export async function* checkCodex(config: Config): AsyncGenerator<Finding> {
  const { path, text, entry } = readCodexConfig(config);
  const version = /codex-cli (\S+)/.exec(runProgram(config.env, "codex", "--version").output)?.[1];
  if (!version && !entry) return;

  yield checkProgram(config, version);
  if (!entry) {
    yield warning(path, "no t9-ipc entry", SETUP);
    return;
  }
  yield ok(path);
  yield* checkScript(config, entry);
  yield* checkEnvironment(config, entry);
  yield checkApproval(entry);
  yield* checkOutputLimit(path, text);
}

function checkProgram({ env }: Config, version: string | undefined): Finding {
  if (!version) return warning("Codex", "codex is not on PATH", "codex update");

  const what = `Codex ${version}`;
  if (runProgram(env, "codex", "queue", "--help").hasSucceeded) return ok(what);
  return warning(what, "it has no `queue`: its sessions are not woken", "codex update");
}

async function* checkScript(
  config: Config,
  { command = "", args = [], env }: CodexEntry,
): AsyncGenerator<Finding> {
  // An entry without a script starts npx or the like.
  const script = args.find((arg) => arg.endsWith(".js")) ?? SERVER;
  if (!existsSync(script)) {
    yield broken(script, "there is no such file", SETUP);
    return;
  }
  if (isSamePath(script, SERVER)) yield ok(`Codex starts ${script}`);
  else yield warning(script, `not this installation, ${SERVER}`, SETUP);

  yield await checkStart(config, { command, args, env }, SETUP);
}

function* checkEnvironment(config: Config, { env = {}, env_vars = [] }: CodexEntry) {
  const missing = ENV_VARS.filter((name) => !env_vars.includes(name));
  const what = "environment variables that Codex hands on";
  if (missing.length === 0) yield ok(what);
  else yield warning(what, `env_vars lacks ${missing.join(", ")}`, SETUP);

  const { dir } = readConfig({ ...config.env, ...env }, config.folder, () => {});
  if (isSamePath(dir, config.dir)) yield ok(`Codex's mail is in ${dir}`);
  else yield warning(`Codex's mail is in ${dir}`, `not in ${config.dir}`, `export IPC_DIR=${dir}`);

  if (!env.IPC_SESSION_ID) return;
  yield warning(
    `IPC_SESSION_ID=${env.IPC_SESSION_ID} in Codex's entry`,
    "every Codex session asks for this name, and only one can have it",
    "remove it there",
  );
}

/** Codex cuts the middle out of longer answers, which our server counts as shown. */
function* checkOutputLimit(path: string, text: string): Generator<Finding> {
  const limit = parse(text).tool_output_token_limit;
  if (typeof limit !== "number" && typeof limit !== "bigint") return;
  const what = `tool_output_token_limit = ${limit} in ${path}`;
  const bytes = Math.floor(Number(limit) * BYTES_PER_TOKEN);
  if (bytes >= MAX_ANSWER_BYTES) {
    yield ok(what);
    return;
  }
  yield warning(
    what,
    `about ${bytes} bytes of an answer get through, and answers with mail have up to ${MAX_ANSWER_BYTES}: Codex cuts the rest out, and it counts as read`,
    `set it to ${Math.ceil(MAX_ANSWER_BYTES / BYTES_PER_TOKEN)} or more, or remove it`,
  );
}

function checkApproval({ default_tools_approval_mode, tools = {} }: CodexEntry): Finding {
  const modes = [
    default_tools_approval_mode,
    ...Object.values(tools).map((tool) => tool.approval_mode),
  ];
  const asking = modes.find((mode) => mode === "prompt" || mode === "writes");
  if (!asking) return ok("tools in Codex");
  return warning(
    "tools in Codex",
    `with approval mode "${asking}", a woken session waits for its user`,
    "setup --codex --allow",
  );
}
