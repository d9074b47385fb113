import type { Clock } from "../../core/system.ts";
import type { ToolCall } from "../../notify/waker.ts";
import type { RegisteredSession } from "./registry.ts";

/** After this long, a notice without a reaction counts as lost. */
const GIVE_UP_MS = 5 * 60_000;
/** A notice that is let through starts a turn of an idle session within a second. */
const START_MS = 5000;

/** Follows one notice: whether the session has acted on it, by its calls and its turns. */
export class NoticeTracker {
  #postedAt: number | undefined;
  #wasIdle = false;
  #wasBusySince = false;

  constructor(
    private readonly clock: Clock,
    private readonly registered: () => RegisteredSession | undefined,
  ) {}

  /** Posts the notice, which the session may act on before `post` is done. Rejects if it fails. */
  async track(post: () => void | Promise<void>): Promise<void> {
    this.#postedAt = this.clock.now();
    this.#wasIdle = this.registered()?.status === "idle";
    this.#wasBusySince = false;
    try {
      await post();
    } catch (error) {
      this.#postedAt = undefined;
      throw error;
    }
  }

  onToolCall({ tool }: ToolCall): void {
    if (tool === "t9_ipc_unread") this.#postedAt = undefined;
  }

  /** Acted on is: mail was read, or a turn began after the notice and ended, or five minutes. */
  isPending(): boolean {
    if (this.#postedAt === undefined) return false;
    const now = this.clock.now();
    const { status, since = 0 } = this.registered() ?? {};
    const hasChanged = since > this.#postedAt;
    if (hasChanged && status === "busy") this.#wasBusySince = true;
    // The notice starts a turn at the latest when the one that was running has ended.
    const hasHadTurn = this.#wasBusySince || this.#wasIdle || now - since > START_MS;
    const hasEndedTurn = hasChanged && status === "idle" && hasHadTurn;
    if (hasEndedTurn || now - this.#postedAt > GIVE_UP_MS) this.#postedAt = undefined;
    return this.#postedAt !== undefined;
  }

  /** True if an idle session stays idle although a notice was posted: it was held or dropped. */
  isIgnored(): boolean {
    if (this.#postedAt === undefined) return false;
    const { status, since = 0 } = this.registered() ?? {};
    const isOverdue = this.clock.now() - this.#postedAt > START_MS;
    return status === "idle" && since < this.#postedAt && isOverdue;
  }
}
