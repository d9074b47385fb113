import { readFileSync, readlinkSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The ways beside the channel notification to tell a session about its mail; route.ts chooses. */
export const PUSH_MODES = ["auto", "channel", "socket", "hook", "none"] as const;

export type Log = (line: string) => void;
export type Config = Readonly<ReturnType<typeof readConfig>>;

/** The installed package: the folder above `dist/` (and above `src/`). */
export const PACKAGE_ROOT = resolve(fileURLToPath(import.meta.url), "../..");
/** The program that Claude Code starts: the built server. */
export const SERVER = join(PACKAGE_ROOT, "dist", "server.js");

/** Reads the environment, once. A value that cannot be used is named on the log and left out. */
export function readConfig(env: NodeJS.ProcessEnv, cwd: string, log: Log = logToStderr) {
  const home = (process.platform === "win32" ? env.USERPROFILE : env.HOME) || homedir();
  const absolute = (path: string): string =>
    resolve(
      cwd,
      path.replace(/^~(?=$|[\\/])/, () => home),
    );
  const dir = env.IPC_DIR ? absolute(env.IPC_DIR) : defaultDir(home);
  const { CLAUDE_CODE_MESSAGING_SOCKET: path, CLAUDE_CODE_MESSAGING_TOKEN: token } = env;
  const { IPC_TG_TOKEN: botToken, IPC_TG_CHAT: chat } = env;
  const api = (env.IPC_TG_API || "https://api.telegram.org").replace(/\/+$/, "");
  const underClaude = env.CLAUDECODE || env.CLAUDE_CODE_SESSION_ID;
  return {
    /** Data folder, absolute, and what lies in it. */
    dir,
    inbox: join(dir, "inbox"),
    archive: join(dir, "archive"),
    read: join(dir, "read"),
    heartbeats: join(dir, "heartbeats.json"),
    db: env.IPC_DB_PATH ? absolute(env.IPC_DB_PATH) : join(dir, "cache.db"),
    /** The name asked for. */
    sessionId: env.IPC_SESSION_ID || undefined,
    /** The project's folder, absolute. */
    folder: env.CLAUDE_PROJECT_DIR || cwd,
    /** The environment of the programs that we start, and the user's home folder in it. */
    env,
    home,
    /** The folder in which Claude Code keeps the user's settings and its sessions. */
    claudeDir: absolute(env.CLAUDE_CONFIG_DIR || "~/.claude"),
    /** The file in which Claude Code keeps its MCP servers. */
    claudeJson: join(absolute(env.CLAUDE_CONFIG_DIR || "~"), ".claude.json"),
    /** The folder in which Codex keeps the user's settings. */
    codexDir: absolute(env.CODEX_HOME || "~/.codex"),
    /** What Claude Code tells its servers about the session; undefined under other clients. */
    claudeSession: env.CLAUDE_CODE_SESSION_ID || undefined,
    socket: path && token ? { path, token } : undefined,
    /** The full name a Claude Code session knows our tools by starts with this; empty under other clients. */
    toolPrefix: env.CLAUDE_PLUGIN_ROOT
      ? "mcp__plugin_t9-ipc_t9-ipc__"
      : underClaude
        ? "mcp__t9-ipc__"
        : "",
    push: pushMode(env.IPC_PUSH, log),
    /** Bedrock, Vertex and Foundry have no channels, whatever the command line says. */
    hasChannels: !(
      env.CLAUDE_CODE_USE_BEDROCK ||
      env.CLAUDE_CODE_USE_VERTEX ||
      env.CLAUDE_CODE_USE_FOUNDRY
    ),
    /** Polling interval in ms for folders without change events; undefined: events. */
    poll: pollInterval(env.IPC_POLL, log),
    telegram: botToken && chat ? { token: botToken, chat, api } : undefined,
    /** This machine, as long as it runs; and its name for people. */
    host: hostIdentity(),
    hostName: hostname(),
    log,
  };
}

/** In a checkout the data lies in it; under npx, a global install or a plugin's cache, in the home folder. */
function defaultDir(home: string): string {
  const installed = /(^|[\\/])(node_modules|\.claude[\\/]plugins)([\\/]|$)/.test(PACKAGE_ROOT);
  return installed ? join(home, ".t9-ipc") : join(PACKAGE_ROOT, "data", "ipc");
}

function pushMode(value: string | undefined, log: Log): (typeof PUSH_MODES)[number] {
  const mode = PUSH_MODES.find((known) => known === value);
  if (value && !mode) log(`IPC_PUSH=${value} is not one of ${PUSH_MODES.join(", ")}: using auto`);
  return mode ?? "auto";
}

function pollInterval(value: string | undefined, log: Log): number | undefined {
  const ms = Number(value);
  if (Number.isInteger(ms) && ms >= 50 && ms <= 60_000) return ms;
  if (value)
    log(
      `IPC_POLL=${value} is not a whole number of milliseconds from 50 to 60000: watching for events instead`,
    );
  return undefined;
}

/**
 * What must be equal for a PID to mean the same process: machine, boot and, on Linux, PID namespace. The host's name is
 * not among them where there is anything better, since it changes with the network a laptop is in.
 */
function hostIdentity(): string {
  if (process.platform === "win32") return hostname();
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
    return `${boot}/${readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")}`;
  } catch {
    // macOS knows the first, FreeBSD the second; one that is unknown costs nothing.
    const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    const { spawnSync } = process.getBuiltinModule("node:child_process"); // every start would pay for an import
    const told = spawnSync("sysctl", ["-n", "kern.bootsessionuuid", "kern.hostuuid"], {
      env,
      encoding: "utf8",
    });
    return /^[\da-f-]{36}$/im.exec(told.stdout ?? "")?.[0] ?? hostname();
  }
}

const lastLogged = new Map<string, number>();

/** Writes one line to stderr (stdout belongs to JSON-RPC); the same line at most once a minute. */
export function logToStderr(line: string): void {
  const now = performance.now();
  if (now - (lastLogged.get(line) ?? -Infinity) < 60_000) return;
  if (lastLogged.size > 100) lastLogged.clear();
  lastLogged.set(line, now);
  process.stderr.write(`t9-ipc: ${line.replace(/[\p{Cc}\u2028\u2029]+/gu, " ")}\n`);
}
