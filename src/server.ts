#!/usr/bin/env node
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import packageJson from "../package.json" with { type: "json" };
import type { ClientInfo } from "./agents/agent.ts";
import { sessionsWithoutServer, statusOf } from "./agents/claude/status.ts";
import { createAgent } from "./agents/index.ts";
import { PACKAGE_ROOT, readConfig, workingFolder } from "./config.ts";
import { type Entry, Heartbeats } from "./core/heartbeats.ts";
import { Inbox } from "./core/inbox.ts";
import { Mailbox } from "./core/mailbox.ts";
import { nameFromEnvironment } from "./core/naming.ts";
import { Presence } from "./core/presence.ts";
import { Turns } from "./core/turns.ts";
import { forwardEscalation } from "./mcp/escalations.ts";
import { createMcpServer } from "./mcp/server.ts";
import type { ToolContext } from "./mcp/session.ts";
import { createSessionNotes } from "./mcp/session-notes.ts";
import { IdleWatch } from "./notify/idle-watch.ts";
import { Notifier } from "./notify/notifier.ts";
import { warnIfShared } from "./upkeep/folder-rights.ts";
import { HandwrittenFiles } from "./upkeep/handwritten-files.ts";
import { SqliteHeaderCache } from "./upkeep/header-cache.ts";
import { Sweep } from "./upkeep/sweep.ts";
import { Sync } from "./upkeep/sync.ts";
import { createSystem } from "./upkeep/system.ts";

/** The handshake is answered when the session is on the list, or after this. */
const JOIN_MS = 500;
/** The process ends within a second of its client, whatever hangs. */
const LEAVE_MS = 900;
/** How often a worker without a task asks whether it has become a session. */
const START_CHECK_MS = 2000;
/** How often the names are noted as being in use. */
const REGISTER_MS = 60_000;

// Folders 0700, files 0600, whoever creates them (SQLite, proper-lockfile), whatever the umask.
process.umask(0o077);

const config = readConfig(process.env, workingFolder());
const args = process.argv.slice(2);
if (args.length === 0 && !isatty(0)) await serve();
else await runCommandLine();

async function runCommandLine(): Promise<void> {
  // A session's server never needs these.
  const { runCommand } = await import("./cli/program.ts");
  const { describeError, exitCodeOf } = await import("./cli/errors.ts");
  // The reader of a pipe has left, as `| head` does.
  process.stdout.on("error", () => process.exit(1));
  try {
    await runCommand(config, args);
  } catch (error) {
    const text = describeError(error);
    if (text) console.error(text);
    process.exitCode = exitCodeOf(error);
  }
}

async function serve(): Promise<void> {
  const closers: (() => unknown)[] = [];
  let isLeaving = false;

  function leave(): void {
    if (isLeaving) return;
    isLeaving = true;
    setTimeout(() => process.exit(0), LEAVE_MS);
    void Promise.allSettled(closers.map((close) => close())).then(() => process.exit(0));
  }

  process.stdin.on("end", leave).on("close", leave).on("error", leave);
  // The SDK listens for "drain" once for each answer that waits.
  process.stdout.setMaxListeners(0).on("error", leave);
  process.stderr.on("error", () => {});
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, leave);
  // Nothing that fails beside a tool call ends a session that may have days behind it.
  process.on("unhandledRejection", (reason) => {
    config.log(`unexpected: ${(reason as Error)?.stack ?? reason}`);
  });

  const system = createSystem(config);
  const mcp = createMcpServer({
    version: packageJson.version,
    log: config.log,
    clock: system.clock,
    isDisabled: config.isDisabled,
    open: openSession,
    onClose: leave,
  });
  await mcp.connect();

  /** Wires one session: all rooms meet here and nowhere else. */
  async function openSession(client: ClientInfo): Promise<ToolContext> {
    const agent = createAgent(client, config, system);
    const heartbeats = new Heartbeats(config, system);
    const presence = new Presence(
      {
        folder: config,
        agent: agent.session,
        nameFromEnvironment: nameFromEnvironment(config.sessionId, config.log),
        details: {
          version: packageJson.version,
          server: PACKAGE_ROOT,
          tool_prefix: agent.toolPrefix,
        },
      },
      system,
      heartbeats,
    );
    const cache = new SqliteHeaderCache(config.db, config.log);
    const inbox = new Inbox({ folder: config, poll: config.poll, cache }, system);
    const mailbox = new Mailbox(config, system, inbox, heartbeats, presence);
    const { telegram } = config;
    const { wakers, toolPrefix, expectsChannel } = agent;
    const notifier = new Notifier(
      {
        sendToChannel: agent.showsChannels ? mcp.sendToChannel : undefined,
        expectsChannel,
        wakers,
        fallback: config.push === "none" ? "none" : "tool-result",
        toolPrefix,
        isIdle: () => agent.isIdle(),
      },
      system,
      mailbox,
      presence,
    );
    const statusOfEntry = (entry: Readonly<Entry>) => statusOf(entry, config.claudeDir, system);
    const idleWatch = new IdleWatch({
      presence,
      heartbeats,
      activityOf: statusOfEntry,
      hasRead: (name, file) => mailbox.hasBeenRead(name, file),
      announce: (line) => notifier.announceLine(line),
      log: config.log,
    });
    const handwritten = new HandwrittenFiles(inbox, system);
    const sync = new Sync(inbox);
    const sweep = new Sweep(config, system, inbox, heartbeats);

    /** The handshake is answered when the session is on the list. */
    function join(): Promise<void> {
      notifier.reportRoute();
      return presence.join();
    }

    let started: Promise<void> | undefined;
    /** Opens the mailbox, which the handshake does not wait for. */
    function start(): Promise<void> {
      if (!agent.session.mayJoin()) return Promise.resolve();
      started ??= join()
        .then(() => system.clock.nextTurn())
        .then(openMailbox)
        .catch((error) => {
          started = undefined; // the next call tries again
          throw error;
        });
      return started;
    }

    /** Mail for these names is accepted from now on, also while the session is away. */
    function register(): void {
      const isReplaced = presence.state === "replaced"; // then the other server does it
      if (presence.leavesNames && !isReplaced) void mailbox.register();
    }

    function openMailbox(): void {
      waiting.cancel();
      warnIfShared(config, config.log);
      inbox.on("scan", () => presence.tryCheck());
      presence.on("change", register);
      cache.start(inbox);
      sync.start();
      handwritten.start();
      sweep.start();
      system.clock.every(REGISTER_MS, register);
      inbox.start();
      register();
      notifier.start();
      idleWatch.start();
      inbox.on("scan", () => idleWatch.check());
    }

    const waiting = system.clock.every(START_CHECK_MS, () => void start());
    closers.push(async () => {
      notifier.close();
      handwritten.close();
      sweep.close();
      await Promise.all([presence.leave(), sync.close(), mailbox.close()]);
      await system.whenIdle(); // a lock that is being acquired would be left behind
      inbox.close();
      cache.close();
    });
    await Promise.race([join(), sleep(JOIN_MS)]);
    setImmediate(() => void start());

    const context: ToolContext = {
      agent,
      mailbox,
      presence,
      notifier,
      idleWatch,
      unreadTurns: new Turns(),
      around: {
        mailbox,
        maxBytes: agent.maxAnswerBytes,
        statusOf: statusOfEntry,
        unlisted: (online) => sessionsWithoutServer(config.claudeDir, online, system),
        now: () => system.clock.now(),
      },
      forward:
        telegram &&
        ((header, body) => forwardEscalation(telegram, inbox, header, body, config.log)),
      sessionNotes: createSessionNotes(mailbox, presence),
      start,
    };
    return context;
  }
}
