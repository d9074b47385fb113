import spawn from "cross-spawn";
import type { RouteProblem } from "../../notify/routes.ts";
import type { ToolCall, Waker } from "../../notify/waker.ts";
import { type CodexCall, parseCodexCall } from "./calls.ts";

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
  /** The session's last call, which names the conversation to wake. */
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
      await run(this.program, args.map(withoutShellCharacters));
    } catch (error) {
      this.#queuedAt = undefined;
      this.#hasFailed = true;
      throw error;
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

/**
 * On Windows npm installs Codex as `codex.cmd`, whose arguments cmd.exe reads twice. So a subject
 * in the notice must not have the characters that mean something to cmd.exe: no way to quote them
 * is safe there.
 */
function withoutShellCharacters(arg: string): string {
  return process.platform === "win32" ? arg.replace(/["%!^&|<>\r\n]/g, " ") : arg;
}

/** Rejects with the reason if the program is missing, fails, or does not end in time. */
function run(program: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // cross-spawn also finds `codex.cmd`.
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: TIMEOUT_MS,
      windowsHide: true,
    });
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else if (child.killed)
        reject(new Error(`codex queue did not end within ${TIMEOUT_MS / 1000} s`));
      else reject(new Error(reasonOf(stderr) ?? `codex queue ended with ${code}`));
    });
  });
}

/** Codex prints other warnings before the error, and its usage after it. */
const reasonOf = (stderr: string): string | undefined => /^error:.*$/im.exec(stderr)?.[0];
