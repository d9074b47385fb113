import { type ExecFileException, execFile } from "node:child_process";
import { promisify } from "node:util";
import { reasonOf } from "../files.ts";
import type { Waker } from "./route.ts";

const run = promisify(execFile);

/** `codex queue` takes 50 ms. A machine that is busy with other things gets this long. */
const TIMEOUT_MS = 10_000;
/** A queued message that has not been seen to run may have been interrupted by the user. After this long it counts as run. */
const GIVE_UP_MS = 30 * 60_000;

/**
 * Reads `_meta` of a tool call (seen in Codex 0.169), which is all that a server learns of its session; undefined where
 * another client calls.
 */
export function codexCall(meta: Readonly<Record<string, unknown>> = {}) {
  const { threadId: thread, sessionId } = meta;
  if (typeof thread !== "string") return undefined;
  const { turn_trigger, turn_started_at_unix_ms } = Object(meta["x-codex-turn-metadata"]) as Record<
    string,
    unknown
  >;
  return {
    /** The conversation that calls. Codex starts one server for each. */
    thread,
    /** The user's conversation that this one works for: itself, or another where it is a helper (a sub-agent). */
    session: typeof sessionId === "string" ? sessionId : thread,
    /** True under `codex exec`, which ends when its turn does. */
    isExec: turn_trigger === "exec",
    /** When the turn began: ms since 1970. Undefined where Codex does not say. */
    turnBegan: typeof turn_started_at_unix_ms === "number" ? turn_started_at_unix_ms : undefined,
  };
}

/**
 * Wakes a Codex session with `codex queue`: the text becomes a user message, which begins a turn at once where the
 * session is idle, else after its turn. Every queued message is a turn of its own, so there is never more than one
 * that has not run yet: what came since is read in the turn that this one begins.
 */
export class CodexQueue implements Waker {
  readonly route = "codex queue";
  /** The session's last call, which tells whom to wake. */
  #call: ReturnType<typeof codexCall>;
  /** When the message was queued that has not run yet: ms since 1970; 0 where there is none. */
  #queuedAt = 0;
  #hasFailed = false;

  /** `program` is the Codex that started this server; it must be the same, since it shares a queue with the session. */
  constructor(private readonly program = "codex") {}

  /** False while a queued message has not run yet, and where the session cannot be woken at all. */
  canWake(): boolean {
    return this.#call !== undefined && !this.problem() && Date.now() - this.#queuedAt >= GIVE_UP_MS;
  }

  /** Queues a text for the session. Rejects with the reason where Codex did not take it. */
  async wake(text: string): Promise<void> {
    this.#queuedAt = Date.now();
    try {
      // With "=", a text that begins with "-" is no option.
      const args = ["queue", `--thread=${this.#call?.thread}`, `--message=${text}`];
      await run(this.program, args, { timeout: TIMEOUT_MS, windowsHide: true });
    } catch (error) {
      this.#queuedAt = 0;
      this.#hasFailed = true;
      throw new Error(reasonFrom(error as ExecFileException));
    }
  }

  /** The queued message has run when the session reads its mail in a turn that began after it was queued. */
  called(tool: string, meta: Readonly<Record<string, unknown>>): void {
    const call = codexCall(meta);
    if (!call) return;
    this.#call = call;
    this.#hasFailed = false;
    const { turnBegan = Number.POSITIVE_INFINITY } = call;
    if (tool === "t9_ipc_unread" && turnBegan >= this.#queuedAt) this.#queuedAt = 0;
  }

  problem(): string | undefined {
    // A message queued for `codex exec` would begin a turn that is cut off at once.
    if (this.#call?.isExec) return "codex exec ends with its turn";
    return this.#hasFailed ? "codex queue failed" : undefined;
  }
}

/** Codex warns of other things in front of the error, and explains its usage after it. */
function reasonFrom(error: ExecFileException): string {
  if (error.killed) return `codex queue did not end within ${TIMEOUT_MS / 1000} s`;
  return /^error:.*$/im.exec(error.stderr ?? "")?.[0] ?? reasonOf(error);
}
