import packageJson from "../../../package.json" with { type: "json" };
import { type Finding, ok, warning } from "../../agents/finding.ts";
import { type Config, PACKAGE_ROOT } from "../../config.ts";
import { Heartbeats, type Session } from "../../core/heartbeats.ts";
import { isSamePath } from "../../core/paths.ts";
import { describeRoute } from "../../notify/routes.ts";
import { createSystem } from "../../upkeep/system.ts";

/** The sessions that are online: whether each can be woken, and runs this version. */
export function* checkSessions(config: Config): Generator<Finding> {
  const system = createSystem(config);
  for (const session of new Heartbeats(config, system).online()) {
    const { name, entry } = session;
    const { push, push_note } = entry;
    const what = `${name}: mail reaches it: ${describeRoute(push, push_note)}`;
    if (push !== "tool-result" && push !== "none") yield ok(what);
    else {
      const problem = "an idle session is not woken";
      yield warning(what, problem, "install the plugin: its hook wakes it");
    }

    if (entry.host === system.processes.host) yield* checkVersion(session);
  }
}

/** Servers of two versions may not agree about the files that they share. */
function* checkVersion({ name, entry: { version, server } }: Session): Generator<Finding> {
  const remedy = "type /mcp in that session and reconnect t9-ipc, or restart the session";
  if (version !== undefined && version !== packageJson.version) {
    const problem = `it runs t9-ipc ${version}, this is ${packageJson.version}`;
    yield warning(name, problem, remedy);
  } else if (server !== undefined && !isSamePath(server, PACKAGE_ROOT)) {
    yield warning(name, `it runs ${server}, this is ${PACKAGE_ROOT}`, remedy);
  }
}
