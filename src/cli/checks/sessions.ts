import { type Finding, ok, warning } from "../../agents/finding.ts";
import type { Config } from "../../config.ts";
import { routeOf } from "../../delivery/route.ts";
import { Heartbeats } from "../../sessions/heartbeats.ts";

/** The sessions that are online: whether each can be woken. */
export function* checkSessions(config: Config): Generator<Finding> {
  for (const { name, entry } of new Heartbeats(config).online()) {
    const route = routeOf(entry);
    const what = `${name}: mail reaches it: ${route}`;
    if (!route.startsWith("on its")) yield ok(what);
    else {
      const problem = "an idle session is not woken";
      yield warning(what, problem, "install the plugin: its hook wakes it");
    }
  }
}
