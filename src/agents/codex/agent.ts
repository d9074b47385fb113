import type { Config } from "../../config.ts";
import type { AgentSession } from "../../core/agent.ts";
import type { Agent } from "../agent.ts";
import { commandLine } from "../command-line.ts";
import { instructionsFor } from "../instructions.ts";
import { type CodexCall, parseCodexCall } from "./calls.ts";
import { CodexQueue } from "./queue.ts";

/** An answer of this size gets through, unless the user has set a lower limit. */
export const MAX_ANSWER_BYTES = 8000;

/** A Codex session is known from its first tool call on: only a call names the conversation. */
class CodexSession implements AgentSession {
  readonly client = "Codex";
  #call: CodexCall | undefined;

  constructor(private readonly projectFolder: string) {}

  onCall(call: CodexCall): void {
    this.#call = call;
  }

  mayJoin(): boolean {
    return this.#call !== undefined;
  }

  /** A sub-agent acts for the user's conversation. */
  conversation(): string | undefined {
    return this.#call?.session;
  }

  givenName(): undefined {
    return undefined;
  }

  folder(): string {
    return this.projectFolder;
  }
}

export function createCodexAgent(config: Config): Agent {
  const session = new CodexSession(config.folder);
  const [program = "codex"] = commandLine(process.ppid);
  return {
    session,
    wakers: config.push === "auto" ? [new CodexQueue(program)] : [],
    showsChannels: false,
    expectsChannel: false,
    toolPrefix: "",
    maxAnswerBytes: MAX_ANSWER_BYTES,
    instructions: instructionsFor({
      toolPrefix: "",
      dir: config.dir,
      arrival: 'Mail is announced by a line "t9-ipc: 2 new messages, from ...".',
      toolSearch: "If you do not see its tools, find them with tool_search. ",
    }),
    isIdle: () => undefined,
    identifyCaller(meta) {
      const call = parseCodexCall(meta);
      if (!call) return "session";
      session.onCall(call);
      return call.thread === call.session ? "session" : "sub-agent";
    },
  };
}
