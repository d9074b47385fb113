import { connect } from "node:net";
import type { Clock } from "../../core/system.ts";
import type { RouteProblem } from "../../notify/routes.ts";
import type { ToolCall, Waker } from "../../notify/waker.ts";
import { NoticeTracker } from "./notice-tracker.ts";
import type { RegisteredSession } from "./registry.ts";

const TIMEOUT_MS = 1000;
/** How long the other side may keep the connection when all is written; a reset comes sooner. */
const CLOSE_MS = 100;

export interface InboxSocketOptions {
  readonly path: string;
  readonly token: string;
  readonly clock: Clock;
  readonly registered: () => RegisteredSession | undefined;
  /** True if the user's settings keep notices from the session. */
  readonly isHeld: () => boolean;
}

/** Posts notices to the session's own inbox socket, on Windows a named pipe. */
export class InboxSocket implements Waker {
  readonly route = "socket";
  readonly #tracker: NoticeTracker;
  #isSilent = false;

  constructor(private readonly options: InboxSocketOptions) {
    this.#tracker = new NoticeTracker(options.clock, options.registered);
  }

  problem(): RouteProblem | undefined {
    if (this.options.isHeld()) return "held";
    if (this.#isSilent) return "silent";
    return this.#tracker.isIgnored() ? "ignored" : undefined;
  }

  isPending(): boolean {
    return this.#tracker.isPending();
  }

  async wake(notice: string): Promise<void> {
    const { path, token } = this.options;
    try {
      await this.#tracker.track(() => post(path, token, notice));
    } catch (error) {
      this.#isSilent = true;
      throw error;
    }
  }

  onToolCall(call: ToolCall): void {
    this.#isSilent = false; // worth another try
    this.#tracker.onToolCall(call);
  }
}

/**
 * Posts a text to an inbox socket: a line with the token, then a line with the text (not
 * documented; measured with 2.1.330). No answer comes, so this resolves when the system has taken
 * all of it and the other side has not reset the connection. Rejects in every other case.
 */
export function post(path: string, token: string, text: string): Promise<void> {
  const lines = [
    { type: "auth", token },
    { type: "user", message: { role: "user", content: text } },
  ].map((line) => `${JSON.stringify(line)}\n`);
  return new Promise((resolve, reject) => {
    const connection = connect(path);
    connection.setTimeout(TIMEOUT_MS, () => connection.destroy());
    connection.on("error", reject);
    connection.on("close", () => {
      if (connection.writableFinished) resolve();
      else reject(new Error("the inbox socket does not answer"));
    });
    connection.end(lines.join(""), () => connection.setTimeout(CLOSE_MS)).resume();
  });
}
