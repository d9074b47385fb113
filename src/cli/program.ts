import { userInfo } from "node:os";
import { text as readAll } from "node:stream/consumers";
import { parseArgs } from "node:util";
import packageJson from "../../package.json" with { type: "json" };
import { type Config, SERVER } from "../config.ts";
import { routeOf } from "../delivery/route.ts";
import { errorCode, reasonOf } from "../files.ts";
import { Refusal } from "../mail/draft.ts";
import { Mailbox } from "../mail/mailbox.ts";
import { PRIORITIES } from "../mail/message.ts";
import { readUnread, sentText, whoText } from "../mcp/answers.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { fit } from "../sessions/names.ts";
import { askedName } from "../sessions/naming.ts";
import { takeStamp } from "../stamp.ts";
import { type Options, print } from "./print.ts";

/** An option as parseArgs takes it; `value` is how the help calls the value of one that has any. */
type Option = {
  readonly type: "string" | "boolean";
  readonly value?: string;
  readonly about: string;
};

interface Command {
  readonly about: string;
  /** What stands behind the command, in brackets what may be left out. */
  readonly takes?: readonly string[];
  readonly options?: Readonly<Record<string, Option>>;
  /** Gives the exit code. */
  run(config: Config, options: Options, args: readonly string[]): Promise<number>;
}

const AS_JSON = { json: { type: "boolean", about: "as JSON" } } as const;
const PRIORITY = {
  priority: { type: "string", value: "PRIORITY", about: PRIORITIES.join(", ") },
} as const;

/** Every command and all it takes: what a user types is read by this table, and the help is made of it. */
const COMMANDS: Readonly<Record<string, Command>> = {
  setup: {
    about: "registers the server with Claude Code for all projects, and proves it",
    options: {
      plugin: {
        type: "boolean",
        about: "installs the plugin instead, which brings hooks that wake a session as well",
      },
      codex: { type: "boolean", about: "registers it with Codex instead" },
      allow: {
        type: "boolean",
        about: "the five tools may be used without asking; on a terminal you are asked",
      },
      undo: { type: "boolean", about: "takes all of it back" },
    },
    run: async (config, options) => (await import("./setup.ts")).setup(config, options, print),
  },
  doctor: {
    about:
      "why does nothing arrive? Looks at all that must hold; exit code 1 where something is broken",
    options: AS_JSON,
    run: async (config, { json }) =>
      (await import("./doctor.ts")).doctor(config, json === true, print),
  },
  who: { about: "who is online", options: AS_JSON, run: who },
  unread: {
    about: "your own unread mail, which is read by that; with NAME, that session's, looked at only",
    takes: ["[NAME]"],
    options: AS_JSON,
    run: unread,
  },
  send: {
    about: "a message from IPC_SESSION_ID, or your login name; BODY - is read from standard input",
    takes: ["NAME", "SUBJECT", "[BODY]"],
    options: {
      ...PRIORITY,
      "allow-unknown": { type: "boolean", about: "also to a name that nobody has had yet" },
    },
    run: send,
  },
  broadcast: {
    about: "the same for every session",
    takes: ["SUBJECT", "[BODY]"],
    options: PRIORITY,
    run: (config, options, args) => send(config, options, ["all", ...args]),
  },
  watch: {
    about: "all mail as it comes, until Ctrl-C",
    options: {
      from: { type: "string", value: "NAME", about: "only what NAME sends" },
      to: { type: "string", value: "NAME", about: "only what NAME gets" },
      since: { type: "string", value: "10m", about: "first what came in that time: 10m, 2h, 1d" },
      ...AS_JSON,
    },
    run: async (config, options) => (await import("./history.ts")).watch(config, options, print),
  },
  log: {
    about: "past mail, archive included, newest last; with TEXT, only what holds that",
    takes: ["[TEXT]"],
    options: {
      with: { type: "string", value: "NAME", about: "only what NAME sent or got" },
      since: { type: "string", value: "TIME", about: "only what came in that time: 10m, 2h, 1d" },
      ...AS_JSON,
    },
    run: async (config, options, [text = ""]) =>
      (await import("./history.ts")).log(config, options, text, print),
  },
  demo: {
    about: "two servers in a temporary folder find each other and talk: what happens when",
    run: () => import("./demo.ts").then(({ demo }) => demo(print)).then(() => 0),
  },
  wait: {
    about: "for hooks: waits for mail of the Claude Code session whose hook it is, and wakes it",
    run: async (config) => (await import("../delivery/wait.ts")).wait(config),
  },
};

/** How a command is written: `send NAME SUBJECT [BODY] [--priority PRIORITY]`. */
function usageOf(name: string, { takes = [], options = {} }: Command): string {
  const flags = Object.entries(options).map(
    ([key, { value }]) => `[--${key}${value ? ` ${value}` : ""}]`,
  );
  return [name, ...takes, ...flags].join(" ");
}

/** Two columns; what is too long for the first stands on a line of its own. */
const row = (left: string, right: string): string =>
  `  ${left.length < 23 ? left.padEnd(23) : `${left}\n${" ".repeat(25)}`} ${right}`;

const helpOf = (name: string, command: Command): string =>
  row(usageOf(name, command), command.about);

function help(): string {
  const self = process.argv[1]?.endsWith("t9-ipc") ? "t9-ipc" : `node ${process.argv[1]}`; // in a clone
  const commands = Object.entries(COMMANDS).map(([name, command]) => helpOf(name, command));
  return `t9-ipc ${packageJson.version}: ${packageJson.description}.
It is an MCP server, which Claude Code starts. To register it: ${self} setup, or
claude mcp add --scope user t9-ipc -- node ${SERVER}\n\n${self} COMMAND (--help says more):\n${commands.join("\n")}`;
}

/** Runs a command; resolves to the exit code: 0, 1 where it failed or was refused, 2 for wrong usage (RangeError). */
export async function cli(
  config: Config,
  [name = "help", ...args]: readonly string[],
): Promise<number> {
  process.stdout.on("error", () => process.exit(1)); // `| head` has seen enough
  if (/^(-v|(--)?version)$/.test(name)) return print(packageJson.version);
  if (/^(-h|(--)?help)$/.test(name)) return print(help());
  try {
    const command = Object.hasOwn(COMMANDS, name) && COMMANDS[name];
    if (!command) throw new RangeError(`there is no command ${name}; --help lists them`);
    const { takes = [], options = {} } = command;
    const known = { ...options, help: { type: "boolean", short: "h" } } as const;
    const { values, positionals } = parseArgs({ args, options: known, allowPositionals: true });
    const about = Object.entries(options).map(([key, option]) => row(`  --${key}`, option.about));
    if (values.help) return print([helpOf(name, command), ...about].join("\n"));
    const least = takes.filter((each) => !each.startsWith("[")).length;
    const isWrong = positionals.length < least || positionals.length > takes.length;
    if (isWrong)
      throw new RangeError(`usage: t9-ipc ${usageOf(name, command)} (put a text in quotes)`);
    return await command.run(config, values as Options, positionals);
  } catch (error) {
    const text = error instanceof Refusal ? error.message : reasonOf(error);
    // Refusals are worded for Claude, whose tools are commands here.
    const words = text
      .replace(/\bt9_ipc_(?=who)/g, "t9-ipc ")
      .replace("allow_unknown: true", "--allow-unknown");
    console.error(`t9-ipc: ${words}`);
    return error instanceof RangeError || errorCode(error)?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
  }
}

/** The mailbox of whoever is at the command line, for one piece of work. */
async function withMailbox(
  config: Config,
  work: (mailbox: Mailbox) => Promise<number>,
): Promise<number> {
  const login = async () => userInfo().username; // throws in containers whose user has no name
  const name = askedName(config) ?? fit(await login().catch(() => `user-${process.getuid?.()}`));
  const mailbox = new Mailbox(
    config,
    new Heartbeats(config),
    { name, names: [name] },
    takeStamp(config.dir),
  );
  return work(mailbox).finally(() => mailbox.close());
}

function who(config: Config, { json }: Options): Promise<number> {
  return withMailbox(config, async (mailbox) => {
    if (!json) return print(await whoText(mailbox, config, undefined));
    return print(
      mailbox.online().map(({ name, entry }) => ({ name, ...entry, reached_by: routeOf(entry) })),
    );
  });
}

function unread(config: Config, { json }: Options, [name]: readonly string[]): Promise<number> {
  return withMailbox(config, async (mailbox) => {
    await mailbox.inbox.reconcile();
    await mailbox.inbox.settled(); // where no server runs, nobody else adopts what was written by hand
    const { text, shown, markRead } = await readUnread(mailbox, name, Number.POSITIVE_INFINITY);
    markRead();
    return print(
      json
        ? shown.map(({ file }) => ({
            ...mailbox.inbox.read(file)?.header,
            body: mailbox.inbox.read(file)?.body,
          }))
        : text,
    );
  });
}

async function send(
  config: Config,
  options: Options,
  [to = "", subject = "", text = ""]: readonly string[],
) {
  const priority = PRIORITIES.find((known) => known === (options.priority ?? "normal"));
  if (!priority) throw new RangeError(`--priority is one of ${PRIORITIES.join(", ")}`);
  const body = text === "-" ? (await readAll(process.stdin)).replace(/\r?\n$/, "") : text;
  const allowUnknown = options["allow-unknown"] === true;
  return withMailbox(config, async (mailbox) => {
    const sent = await mailbox.send({ to, subject, body, priority, escalate: false, allowUnknown });
    await mailbox.appear(); // so that it can be answered
    return print(sentText(sent));
  });
}
