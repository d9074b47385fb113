import { homedir } from "node:os";
import { join, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Log } from "./core/log.ts";

/** Ways to wake a session that `IPC_PUSH` can choose. */
const PUSH_MODES = ["auto", "channel", "socket", "hook", "none"] as const;
type PushMode = (typeof PUSH_MODES)[number];

export type Config = Readonly<ReturnType<typeof readConfig>>;

/** The installed package: the folder above `dist/` and `src/`. */
export const PACKAGE_ROOT = resolve(fileURLToPath(import.meta.url), "../..");
/** The program that clients start. */
export const SERVER = join(PACKAGE_ROOT, "dist", "server.js");

/** Reads the environment once. A value that cannot be used is logged and ignored. */
export function readConfig(env: NodeJS.ProcessEnv, cwd: string, log: Log = logToStderr) {
  const home = (process.platform === "win32" ? env.USERPROFILE : env.HOME) || userHome();
  const absolute = (path: string): string =>
    resolve(
      cwd,
      path.replace(/^~(?=$|[\\/])/, () => home),
    );
  const dir = env.IPC_DIR ? absolute(env.IPC_DIR) : defaultDir(home);
  return {
    dir,
    inbox: join(dir, "inbox"),
    archive: join(dir, "archive"),
    read: join(dir, "read"),
    heartbeats: join(dir, "heartbeats.json"),
    conversations: join(dir, "conversations.json"),
    /** Where the plugin's hook may have set up its file: it does not know the server's IPC_DIR. */
    wakeFolders: [wakeFolder(dir), wakeFolder(defaultDir(home))] as const,
    /** The SQLite cache file. */
    db: env.IPC_DB_PATH ? absolute(env.IPC_DB_PATH) : join(dir, "cache.db"),
    /** The name asked for. */
    sessionId: env.IPC_SESSION_ID || undefined,
    isDisabled: /^(1|true|yes)$/i.test(env.IPC_DISABLED ?? ""),
    push: readPushMode(env.IPC_PUSH, log),
    /** Scan interval in ms for folders without change events; undefined: watch for events. */
    poll: readPollInterval(env.IPC_POLL, log),
    telegram: readTelegram(env),
    /** The project's folder. */
    folder: env.CLAUDE_PROJECT_DIR || cwd,
    /** The folder in which Claude Code keeps the user's settings and its sessions. */
    claudeDir: absolute(env.CLAUDE_CONFIG_DIR || "~/.claude"),
    /** The file in which Claude Code keeps its MCP servers. */
    claudeJson: join(absolute(env.CLAUDE_CONFIG_DIR || "~"), ".claude.json"),
    /** The folder in which Codex keeps the user's settings. */
    codexDir: absolute(env.CODEX_HOME || "~/.codex"),
    /** The environment of the programs that we start, and the user's home folder in it. */
    env,
    home,
    /** Set by Claude Code for its servers, and inherited by other clients that it starts. */
    claude: {
      conversation: env.CLAUDE_CODE_SESSION_ID || undefined,
      socketPath: env.CLAUDE_CODE_MESSAGING_SOCKET || undefined,
      socketToken: env.CLAUDE_CODE_MESSAGING_TOKEN || undefined,
      isPlugin: Boolean(env.CLAUDE_PLUGIN_ROOT),
      /** Bedrock, Vertex and Foundry have no channels, whatever the command line says. */
      hasChannels: !(
        env.CLAUDE_CODE_USE_BEDROCK ||
        env.CLAUDE_CODE_USE_VERTEX ||
        env.CLAUDE_CODE_USE_FOUNDRY
      ),
      /** Above this many tokens Claude Code cuts an answer. */
      maxOutputTokens: readNumber(env.MAX_MCP_OUTPUT_TOKENS),
    },
    log,
  };
}

/** The shell's word for it if the folder was deleted, which `process.cwd` does not forgive. */
export function workingFolder(): string {
  try {
    return process.cwd();
  } catch {
    return process.env.PWD || userHome();
  }
}

/**
 * The root for a user whom the system does not know, as in a container that runs under any user id.
 * Docker says the same. That user can hardly write there, so all that needs a home is then missing.
 */
function userHome(): string {
  try {
    return homedir();
  } catch {
    return parse(PACKAGE_ROOT).root;
  }
}

/** In a checkout the data lies in it; if installed by npm or as a plugin, in the home folder. */
function defaultDir(home: string): string {
  const isInstalled = /(^|[\\/])(node_modules|\.claude[\\/]plugins)([\\/]|$)/.test(PACKAGE_ROOT);
  return isInstalled ? join(home, ".t9-ipc") : join(PACKAGE_ROOT, "data", "ipc");
}

const wakeFolder = (dir: string): string => join(dir, "wake");

function readPushMode(value: string | undefined, log: Log): PushMode {
  const mode = PUSH_MODES.find((known) => known === value);
  if (value && !mode) log(`IPC_PUSH=${value} is not one of ${PUSH_MODES.join(", ")}: using auto`);
  return mode ?? "auto";
}

function readPollInterval(value: string | undefined, log: Log): number | undefined {
  const ms = Number(value);
  if (Number.isInteger(ms) && ms >= 50 && ms <= 60_000) return ms;
  if (value) {
    log(
      `IPC_POLL=${value} is not a whole number of milliseconds from 50 to 60000: watching for events instead`,
    );
  }
  return undefined;
}

function readTelegram(env: NodeJS.ProcessEnv) {
  const { IPC_TG_TOKEN: token, IPC_TG_CHAT: chat, IPC_TG_API } = env;
  const api = (IPC_TG_API || "https://api.telegram.org").replace(/\/+$/, "");
  return token && chat ? { token, chat, api } : undefined;
}

function readNumber(value: string | undefined): number | undefined {
  const number = Number(value);
  return value && Number.isFinite(number) && number > 0 ? number : undefined;
}

const REPEAT_MS = 60_000;
const lastLogged = new Map<string, number>();

/** Writes one line to stderr, the same line at most once a minute: stdout belongs to JSON-RPC. */
function logToStderr(line: string): void {
  const now = performance.now();
  if (now - (lastLogged.get(line) ?? Number.NEGATIVE_INFINITY) < REPEAT_MS) return;
  if (lastLogged.size > 100) lastLogged.clear();
  lastLogged.set(line, now);
  process.stderr.write(`t9-ipc: ${line.replace(/[\p{Cc}\u2028\u2029]+/gu, " ")}\n`);
}
