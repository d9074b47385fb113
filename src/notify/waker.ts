import type { Route, RouteProblem } from "./routes.ts";

export interface ToolCall {
  readonly tool: string;
  readonly meta: Readonly<Record<string, unknown>>;
}

/** A way to wake a session with one line of text. Each agent's folder brings its own. */
export interface Waker {
  readonly route: Route;
  /** Why the session cannot be woken this way at the moment; undefined if it can. */
  problem(): RouteProblem | "unavailable" | undefined;
  /** True while an earlier notice is out that the session has not acted on. */
  isPending(): boolean;
  /** Rejects if the session was not reached. */
  wake(notice: string): Promise<void>;
  onToolCall(call: ToolCall): void;
  close?(): void;
}
