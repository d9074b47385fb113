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

  constructor(
    private readonly environment: ClaudeEnvironment,
    private readonly system: System,
  ) {
    this.pid = findProcess(environment, system);
    this.#args = commandLine(this.pid);
  }

  get details() {
    const isUnattended = this.registered()?.isUnattended ?? false;
    return { claude_dir: this.environment.claudeDir, ...(isUnattended && { unattended: true }) };
  }

  get hasChannelFlag(): boolean {
    return hasChannelFlag(this.#args);
  }

  registered(): RegisteredSession | undefined {
    return readRegistered(this.environment.claudeDir, this.pid, this.system);
  }

  mayJoin(): boolean {
    return this.registered()?.isSpare !== true;
  }

  /** The environment keeps the id from before a /clear or /resume. */
  conversation(): string | undefined {
    return this.registered()?.conversation ?? this.environment.conversation;
  }

  continues(): string | undefined {
    return this.registered()?.isBackground ? forkedConversation(this.#args) : undefined;
  }

  givenName(): string | undefined {
    return this.registered()?.name;
  }

  folder(): string {
    return this.registered()?.folder ?? this.environment.folder;
  }

  isIdle(): boolean | undefined {
    const status = this.registered()?.status;
    return status === undefined ? undefined : status === "idle";
  }
}

/**
 * The process of our session, by what Claude Code says of itself: names of programs mislead, and
 * background sessions share an ancestor. The socket is unique; a server that was started through
 * npx is not a child of the session.
 */
function findProcess(environment: ClaudeEnvironment, system: System): number {
  const { claudeDir, conversation, socketPath, parent } = environment;
  const sessions = listRegistered(claudeDir, system);
  const bySocket = sessions.filter(({ socket }) => socketPath && socket === socketPath);
  if (bySocket.length === 1 && bySocket[0]) return bySocket[0].pid;
  if (sessions.some(({ pid }) => pid === parent)) return parent;
  const byConversation = sessions.find(
    (each) => conversation && each.conversation === conversation,
  );
  return byConversation?.pid ?? parent;
}
