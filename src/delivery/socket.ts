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
  /** When the last pointer was posted that no tool call has followed: ms since 1970. */
  #postedAt: number | undefined;
  #isHeld = false;
  #failure: string | undefined;

  constructor(
    private readonly config: Config,
    private readonly socket: Socket,
    private readonly agent: Agent | undefined,
  ) {}

  canWake(): boolean {
    this.#isHeld = holdsPointers(this.config);
    return !this.#isHeld && !this.#isIgnored();
  }

  async wake(pointer: string): Promise<void> {
    this.#failure = undefined;
    try {
      await post(this.socket, pointer);
      this.#postedAt ??= Date.now();
    } catch (error) {
      this.#failure = "its inbox socket does not answer";
      throw error;
    }
  }

  /** The session reads what it is pointed to: a tool of ours was called. */
  called(): void {
    this.#postedAt = undefined;
  }

  problem(): string | undefined {
    if (this.#isHeld) return "the user's crossSessionInbound setting keeps pointers from its inbox socket";
    return this.#isIgnored() ? "it did not follow a pointer on its inbox socket" : this.#failure;
  }

  /** A pointer that was held or refused leaves no sign, except that an idle session stays idle. */
  #isIgnored(): boolean {
    const { isIdle, since = 0 } = inClaude(this.config, this.agent) ?? {};
    const postedAt = this.#postedAt ?? Number.POSITIVE_INFINITY;
    return isIdle === true && since < postedAt && Date.now() - postedAt > FOLLOWED_MS;
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
