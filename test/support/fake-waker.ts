import type { Route, RouteProblem } from "../../src/notify/routes.ts";
import type { Waker } from "../../src/notify/waker.ts";

/** A way to wake a session, which keeps what it was given. */
export class FakeWaker implements Waker {
  readonly notices: string[] = [];
  reason: RouteProblem | "unavailable" | undefined;
  failure: Error | undefined;
  reasonAfterFailure: RouteProblem | undefined;
  isClosed = false;
  #isPending = false;

  constructor(readonly route: Route = "socket") {}

  problem = () => this.reason;
  isPending = () => this.#isPending;

  async wake(notice: string): Promise<void> {
    if (this.failure) {
      this.reason = this.reasonAfterFailure;
      throw this.failure;
    }
    this.notices.push(notice);
    this.#isPending = true;
  }

  /** The session has acted on the notice. */
  answer(): void {
    this.#isPending = false;
  }

  onToolCall(): void {}

  close(): void {
    this.isClosed = true;
  }
}
