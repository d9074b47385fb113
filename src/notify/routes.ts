/**
 * How mail reaches a session. Files and code hold the id; only people and models are shown words.
 */
export const ROUTES = {
  channel: "channel",
  socket: "inbox socket",
  codex: "codex queue",
  hook: "hook",
  "tool-result": "on its next tool call",
  none: "on its next tool call only",
} as const;
export type Route = keyof typeof ROUTES;

/** Why a route does not work. */
export const ROUTE_PROBLEMS = {
  held: "the user's crossSessionInbound setting keeps notices from its inbox socket",
  silent: "its inbox socket does not answer",
  ignored: "it did not follow a notice on its inbox socket",
  "codex-exec": "codex exec ends with its turn",
  "codex-failed": "codex queue failed",
} as const;
export type RouteProblem = keyof typeof ROUTE_PROBLEMS;

const isRoute = (text: string): text is Route => Object.hasOwn(ROUTES, text);

const isRouteProblem = (text: string): text is RouteProblem => Object.hasOwn(ROUTE_PROBLEMS, text);

/** "inbox socket", or "on its next tool call (its inbox socket does not answer)". */
export function describeRoute(push: string | undefined, note: string | undefined): string {
  if (!push) return "its own server's channel notification";
  if (!isRoute(push)) return push;
  if (!note) return ROUTES[push];
  return `${ROUTES[push]} (${isRouteProblem(note) ? ROUTE_PROBLEMS[note] : note})`;
}
