import type { AgentSession } from "../../core/agent.ts";
import type { System } from "../../core/system.ts";
import { commandLine } from "../command-line.ts";
import { forkedConversation, hasChannelFlag } from "./flags.ts";
import { listRegistered, type RegisteredSession, readRegistered } from "./registry.ts";

export interface ClaudeEnvironment {
  /** Claude Code's folder for settings and sessions. */
  readonly claudeDir: string;
  /** The conversation at the time when this server was started. */
  readonly conversation: string | undefined;
  readonly socketPath: string | undefined;
  readonly folder: string;
  /** The process that started this server. */
  readonly parent: number;
}

/** The Claude Code session that this server belongs to, as its registry describes it. */
export class ClaudeSession implements AgentSession {
  readonly client = undefined;
  readonly pid: number;
  readonly #args: readonly string[];
  /** The last entry: the file cannot be read while Claude Code rewrites it. */
  #lastRegistered: RegisteredSession | undefined;

  constructor(
    private readonly environment: ClaudeEnvironment,
    private readonly system: System,
  ) {
    this.pid = findProcess(environment, system);
    this.#args = commandLine(this.pid);
  }

  get details() {
    const isUnattended = this.#known()?.isUnattended ?? false;
    return { claude_dir: this.environment.claudeDir, ...(isUnattended && { unattended: true }) };
  }

  get hasChannelFlag(): boolean {
    return hasChannelFlag(this.#args);
  }

  /** Undefined if Claude Code does not say, or cannot be read just now. */
  registered(): RegisteredSession | undefined {
    const registered = readRegistered(this.environment.claudeDir, this.pid, this.system);
    this.#lastRegistered = registered ?? this.#lastRegistered;
    return registered;
  }

  /** The facts that do not change by themselves. A status does, so an old one is not kept. */
  #known(): RegisteredSession | undefined {
    return this.registered() ?? this.#lastRegistered;
  }

  mayJoin(): boolean {
    return this.#known()?.isSpare !== true;
  }

  /** The environment keeps the id from before a /clear or /resume. */
  conversation(): string | undefined {
    return this.#known()?.conversation ?? this.environment.conversation;
  }

  continues(): string | undefined {
    return this.#known()?.isBackground ? forkedConversation(this.#args) : undefined;
  }

  givenName(): string | undefined {
    return this.#known()?.name;
  }

  folder(): string {
    return this.#known()?.folder ?? this.environment.folder;
  }

  isIdle(): boolean | undefined {
    const status = this.registered()?.status;
    return status === undefined ? undefined : status === "idle";
  }
}

/**
 * The process of our session, by what Claude Code says of itself: names of programs mislead, and
 * background sessions share an ancestor. A server that was started through npx is not a child of
 * the session, and is known by its socket. Our parent comes first, since a Claude Code without a
 * socket hands on the one of the session in whose shell it was started.
 */
function findProcess(environment: ClaudeEnvironment, system: System): number {
  const { claudeDir, conversation, socketPath, parent } = environment;
  const sessions = listRegistered(claudeDir, system);
  if (sessions.some(({ pid }) => pid === parent)) return parent;
  const bySocket = sessions.filter(({ socket }) => socketPath && socket === socketPath);
  if (bySocket.length === 1 && bySocket[0]) return bySocket[0].pid;
  const byConversation = sessions.find(
    (each) => conversation && each.conversation === conversation,
  );
  return byConversation?.pid ?? parent;
}
