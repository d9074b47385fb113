import { readFileSync, readlinkSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { basename, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** The ways beside the channel notification to tell a session about its mail; `auto` chooses (push.ts). */
export const PUSH_MODES = ["auto", "channel", "socket", "hook", "none"] as const;
export type PushMode = (typeof PUSH_MODES)[number];

export type Log = (line: string) => void;

export interface Config {
  /** Data folder, absolute, and what lies in it. */
  readonly dir: string;
  readonly inbox: string;
  readonly archive: string;
  readonly read: string;
  readonly heartbeats: string;
  readonly db: string;
  /** The name asked for with IPC_SESSION_ID. */
  readonly sessionId: string | undefined;
  /** The project's folder, absolute. */
  readonly folder: string;
  /** What Claude Code tells its servers about the session; undefined under other clients. */
  readonly claudeSession: string | undefined;
  readonly socket: { readonly path: string; readonly token: string } | undefined;
  /** The full name a Claude Code session knows our tools by starts with this; empty under other clients. */
  readonly toolPrefix: string;
  readonly push: PushMode;
  /** Bedrock, Vertex and Foundry have no channels, whatever the command line says. */
  readonly hasChannels: boolean;
  /** Polling interval in ms for folders without change events; undefined: events. */
  readonly poll: number | undefined;
  readonly telegram: { readonly token: string; readonly chat: string; readonly api: string } | undefined;
  /** What must be equal for a PID to mean the same thing: machine, boot and PID namespace. */
  readonly host: string;
  readonly log: Log;
}

/** The installed package: the folder above `dist/` (and above `src/`). */
export const PACKAGE_ROOT = resolve(fileURLToPath(import.meta.url), "../..");

const lastLogged = new Map<string, number>();

/** Writes one line to stderr (stdout belongs to JSON-RPC); the same line at most once a minute. */
export function logToStderr(line: string): void {
  const now = performance.now();
  if (now - (lastLogged.get(line) ?? -Infinity) < 60_000) return;
  if (lastLogged.size > 100) lastLogged.clear();
  lastLogged.set(line, now);
  process.stderr.write(`t9-ipc: ${line.replace(/[\p{Cc}\u2028\u2029]+/gu, " ")}\n`);
}

/** Reads the environment, once. A value that cannot be used is named on the log and left out. */
export function readConfig(env: NodeJS.ProcessEnv, cwd: string, log: Log = logToStderr): Config {
  const dir = env.IPC_DIR ? absolute(env.IPC_DIR, cwd) : defaultDir();
  return {
    dir,
    inbox: join(dir, "inbox"),
    archive: join(dir, "archive"),
    read: join(dir, "read"),
    heartbeats: join(dir, "heartbeats.json"),
    db: env.IPC_DB_PATH ? absolute(env.IPC_DB_PATH, cwd) : join(dir, "cache.db"),
    sessionId: env.IPC_SESSION_ID || undefined,
    folder: env.CLAUDE_PROJECT_DIR || cwd,
    claudeSession: env.CLAUDE_CODE_SESSION_ID || undefined,
    socket:
      env.CLAUDE_CODE_MESSAGING_SOCKET && env.CLAUDE_CODE_MESSAGING_TOKEN
        ? { path: env.CLAUDE_CODE_MESSAGING_SOCKET, token: env.CLAUDE_CODE_MESSAGING_TOKEN }
        : undefined,
    toolPrefix: env.CLAUDE_PLUGIN_ROOT
      ? "mcp__plugin_t9-ipc_t9-ipc__"
      : env.CLAUDECODE || env.CLAUDE_CODE_SESSION_ID
        ? "mcp__t9-ipc__"
        : "",
    push: pushMode(env.IPC_PUSH, log),
    hasChannels: !(env.CLAUDE_CODE_USE_BEDROCK || env.CLAUDE_CODE_USE_VERTEX || env.CLAUDE_CODE_USE_FOUNDRY),
    poll: pollInterval(env.IPC_POLL, log),
    telegram:
      env.IPC_TG_TOKEN && env.IPC_TG_CHAT
        ? {
            token: env.IPC_TG_TOKEN,
            chat: env.IPC_TG_CHAT,
            api: (env.IPC_TG_API || "https://api.telegram.org").replace(/\/+$/, ""),
          }
        : undefined,
    host: hostIdentity(),
    log,
  };
}

/** In a checkout the data lies in it; under npx, a global install or a plugin's cache, in the home folder. */
function defaultDir(): string {
  const installed = /(^|[\\/])(node_modules|\.claude[\\/]plugins)([\\/]|$)/.test(PACKAGE_ROOT);
  return installed ? join(homedir(), ".t9-ipc") : join(PACKAGE_ROOT, "data", "ipc");
}

function absolute(path: string, cwd: string): string {
  const home = path === "~" || path.startsWith("~/") || path.startsWith(`~${sep}`);
  return home ? join(homedir(), path.slice(1)) : resolve(cwd, path);
}

function pushMode(value: string | undefined, log: Log): PushMode {
  const mode = PUSH_MODES.find((known) => known === value);
  if (value && !mode) log(`IPC_PUSH=${value} is not one of ${PUSH_MODES.join(", ")}: using auto`);
  return mode ?? "auto";
}

function pollInterval(value: string | undefined, log: Log): number | undefined {
  if (!value) return undefined;
  const ms = Number(value);
  if (Number.isInteger(ms) && ms >= 50 && ms <= 60_000) return ms;
  log(`IPC_POLL=${value} is not a whole number of milliseconds from 50 to 60000: watching for events instead`);
  return undefined;
}

function hostIdentity(): string {
  const parts = [hostname()];
  // Linux tells boots and PID namespaces apart; elsewhere there is one namespace a machine.
  for (const read of [
    () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().slice(0, 8),
    () => basename(readlinkSync("/proc/self/ns/pid")).replace(/\D/g, ""),
  ]) {
    try {
      parts.push(read());
    } catch {
      // not Linux
    }
  }
  return parts.join("/");
}
