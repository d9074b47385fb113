import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import { readConfig } from "./config.ts";

/** The handshake is not answered before the session is on the list, unless that takes longer than this. */
const JOIN_MS = 500;
/** The process ends within a second of its client, whatever hangs. */
const CLOSE_MS = 900;

// Folders 0700, files 0600, whoever creates them (SQLite, proper-lockfile), whatever the user's umask.
process.umask(0o077);

const config = readConfig(process.env, process.cwd());
const args = process.argv.slice(2);
if (args.length === 0 && !isatty(0)) await serveSession();
// Hooks run at every turn of every session, so theirs goes without loading the other commands.
else if (args[0] === "wait" && args.length === 1)
  process.exit(await (await import("./delivery/wait.ts")).wait(config));
else await runCommandLine();

async function runCommandLine(): Promise<void> {
  const { runCommand } = await import("./cli/program.ts");
  const { describeError, exitCodeOf } = await import("./cli/errors.ts");
  // The reader of a pipe has left, as `| head` does.
  process.stdout.on("error", () => process.exit(1));
  try {
    await runCommand(config, args);
  } catch (error) {
    const text = describeError(error);
    if (text) console.error(`t9-ipc: ${text}`);
    process.exitCode = exitCodeOf(error);
  }
}

async function serveSession(): Promise<void> {
  const { Heartbeats } = await import("./sessions/heartbeats.ts");
  const { Presence } = await import("./sessions/presence.ts");
  const { agentAbove } = await import("./sessions/process.ts");
  const { chooseRoute } = await import("./delivery/route.ts");
  const { takeStamp } = await import("./stamp.ts");
  const heartbeats = new Heartbeats(config);
  const agent = agentAbove();
  const route = chooseRoute(config, agent);
  const presence = new Presence(config, heartbeats, agent, route, takeStamp(config.dir));
  let server: { close(): Promise<void> } | undefined;
  let leaving = false;

  function leave(): void {
    if (leaving) return;
    leaving = true;
    setTimeout(() => process.exit(0), CLOSE_MS);
    Promise.all([presence.leave(), server?.close()]).finally(() => process.exit(0));
  }

  process.stdin.on("end", leave).on("close", leave).on("error", leave);
  // The SDK listens for "drain" once for each answer that waits.
  process.stdout.setMaxListeners(0).on("error", leave);
  process.stderr.on("error", () => {});
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, leave);
  // Nothing that goes wrong beside a tool call ends a session that may have days behind it.
  process.on("unhandledRejection", (reason) =>
    config.log(`unexpected: ${(reason as Error)?.stack ?? reason}`),
  );

  // A Codex session is known only from its first tool call on.
  const joined = agent?.kind === "codex" ? undefined : presence.join();
  const { serve } = await import("./mcp/server.ts");
  await Promise.race([joined, sleep(JOIN_MS)]);
  server = await serve(config, heartbeats, presence, route, leave);
}
