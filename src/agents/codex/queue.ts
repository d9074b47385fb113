import { type ExecFileException, execFile } from "node:child_process";
import { promisify } from "node:util";
import { messageOf } from "../../core/errors.ts";
import type { RouteProblem } from "../../notify/routes.ts";
import type { ToolCall, Waker } from "../../notify/waker.ts";
import { type CodexCall, parseCodexCall } from "./calls.ts";

const run = promisify(execFile);

/** `codex queue` takes 50 ms. A busy machine gets this long. */
const TIMEOUT_MS = 10_000;
/** A queued message that was not seen to run may have been interrupted by the user. */
const GIVE_UP_MS = 30 * 60_000;

/**
 * Wakes a Codex session with `codex queue`: the text becomes a user message, which starts a turn at
 * once if the session is idle, otherwise after its turn. Every queued message is a turn of its own,
 * so there is never more than one that has not run yet.
 */
export class CodexQueue implements Waker {
  readonly route = "codex";
  /** The session's last call, which tells whom to wake. */
  #call: CodexCall | undefined;
  /** When the message was queued that has not run yet, in ms since 1970. */
  #queuedAt: number | undefined;
  #hasFailed = false;

  /** @param program the Codex that started this server, since it shares a queue with the session */
  constructor(private readonly program: string) {}

  problem(): RouteProblem | "unavailable" | undefined {
    if (!this.#call) return "unavailable";
    // A message that is queued for `codex exec` would start a turn that is cut off at once.
    if (this.#call.isExec) return "codex-exec";
    return this.#hasFailed ? "codex-failed" : undefined;
  }

  isPending(): boolean {
    return this.#queuedAt !== undefined && Date.now() - this.#queuedAt < GIVE_UP_MS;
  }

  async wake(notice: string): Promise<void> {
    this.#queuedAt = Date.now();
    try {
      // With "=", a text that starts with "-" is not an option.
      const args = ["queue", `--thread=${this.#call?.session}`, `--message=${notice}`];
      await run(this.program, args, { timeout: TIMEOUT_MS, windowsHide: true });
    } catch (error) {
      this.#queuedAt = undefined;
      this.#hasFailed = true;
      throw new Error(reasonOf(error as ExecFileException));
    }
  }

  /** The queued message has run if mail is read in a turn that began after it was queued. */
  onToolCall({ tool, meta }: ToolCall): void {
    const call = parseCodexCall(meta);
    if (!call) return;
    this.#call = call;
    this.#hasFailed = false;
    const began = call.turnBegan ?? Number.POSITIVE_INFINITY;
    if (tool === "t9_ipc_unread" && began >= (this.#queuedAt ?? 0)) this.#queuedAt = undefined;
  }
}

/** Codex prints other warnings before the error, and its usage after it. */
function reasonOf(error: ExecFileException): string {
  if (error.killed) return `codex queue did not end within ${TIMEOUT_MS / 1000} s`;
  return /^error:.*$/im.exec(error.stderr ?? "")?.[0] ?? messageOf(error);
}
