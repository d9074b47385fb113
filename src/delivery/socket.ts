import { connect } from "node:net";
import type { Config } from "../config.ts";
import { inClaude } from "../sessions/naming.ts";
import type { Agent } from "../sessions/process.ts";
import { holdsPointers, type Waker } from "./route.ts";

const TIMEOUT_MS = 1000;
/** How long the other side may keep the connection once all is written; a refusal comes sooner. */
const CLOSE_MS = 100;
/** A pointer that is let through makes an idle session busy within a second. */
const FOLLOWED_MS = 5000;

type Socket = NonNullable<Config["socket"]>;

/** Wakes a Claude Code session with a pointer on its own inbox socket. */
export class InboxSocket implements Waker {
  readonly route = "inbox socket";
  /** When the last pointer was posted that no tool call has followed: ms since 1970; 0: there is none. */
  #postedAt = 0;
  #problem: string | undefined;

  constructor(
    private readonly config: Config,
    private readonly socket: Socket,
    private readonly agent: Agent | undefined,
  ) {}

  canWake(): boolean {
    const held = "the user's crossSessionInbound setting keeps pointers from its inbox socket";
    this.#problem = holdsPointers(this.config) ? held : undefined;
    return this.problem() === undefined;
  }

  async wake(pointer: string): Promise<void> {
    try {
      await post(this.socket, pointer);
      this.#postedAt ||= Date.now();
    } catch (error) {
      this.#problem = "its inbox socket does not answer";
      throw error;
    }
  }

  /** The session reads what it is pointed to: a tool of ours was called. */
  called(): void {
    this.#postedAt = 0;
  }

  problem(): string | undefined {
    if (!this.#postedAt) return this.#problem;
    // A pointer that was held or refused leaves no sign, except that an idle session stays idle.
    const { isIdle, since = 0 } = inClaude(this.config, this.agent) ?? {};
    const isIgnored = isIdle && since < this.#postedAt && Date.now() - this.#postedAt > FOLLOWED_MS;
    return isIgnored ? "it did not follow a pointer on its inbox socket" : this.#problem;
  }
}

/**
 * Posts a text to the session's own inbox socket: a line with the token, a line with the text, as was measured. No
 * answer comes, so this resolves when the system has taken all of it and the other side has not reset the
 * connection; it rejects in every other case.
 */
export function post(socket: Socket, text: string): Promise<void> {
  const lines = [
    { type: "auth", token: socket.token },
    { type: "user", message: { role: "user", content: text } },
  ].map((line) => `${JSON.stringify(line)}\n`);
  return new Promise((resolve, reject) => {
    const connection = connect(socket.path);
    connection.setTimeout(TIMEOUT_MS, () => connection.destroy());
    connection.on("error", reject);
    connection.on("close", () => {
      if (connection.writableFinished) resolve();
      else reject(new Error("the inbox socket does not answer"));
    });
    connection.end(lines.join(""), () => connection.setTimeout(CLOSE_MS)).resume();
  });
}
