import type { Report } from "../../agents/report.ts";
import type { Config } from "../../config.ts";
import { routeOf } from "../../delivery/route.ts";
import { Heartbeats } from "../../sessions/heartbeats.ts";

/** Can each session that is online be woken? */
export function sessions(report: Report, config: Config): void {
  for (const { name, entry } of new Heartbeats(config).online()) {
    const sleeps = routeOf(entry).startsWith("on its") && "an idle session is not woken";
    report(
      `${name}: mail reaches it: ${routeOf(entry)}`,
      sleeps,
      "install the plugin: its hook wakes it",
      "warning",
    );
  }
}
