import { userInfo } from "node:os";
import { text as readAll } from "node:stream/consumers";
import { type ParseArgsConfig, parseArgs } from "node:util";
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
import { type Options, print } from "./print.ts";

/** An option as parseArgs takes it; one with a value also says what the value is called in the help. */
type Option = NonNullable<ParseArgsConfig["options"]>[string] & { readonly value?: string; readonly about: string };

interface Command {
  readonly about: string;
  /** What stands behind the command: what must, and what may. */
  readonly needs?: readonly string[];
  readonly takes?: readonly string[];
  readonly options?: Readonly<Record<string, Option>>;
  /** Gives the exit code. */
  run(config: Config, options: Options, args: readonly string[]): Promise<number>;
}

const JSON_OPTION = { json: { type: "boolean", about: "as JSON" } } as const;
const PRIORITY = { priority: { type: "string", value: "PRIORITY", about: PRIORITIES.join(", ") } } as const;
const UNKNOWN = { "allow-unknown": { type: "boolean", about: "also to a name that nobody has had yet" } } as const;

/** Every command, with all that it takes: arguments and options are read by this table, and it is the help. */
const COMMANDS: Readonly<Record<string, Command>> = {
  setup: {
    about: "registers the server with Claude Code for all projects, and proves that it works",
    options: {
      plugin: {
        type: "boolean",
        about: "installs the plugin instead, which also brings the hooks that wake a session",
      },
      allow: { type: "boolean", about: "lets Claude use the five tools without asking; on a terminal you are asked" },
      undo: { type: "boolean", about: "takes all of it back" },
    },
    run: async (config, options) => (await import("./setup.ts")).setup(config, options, print),
  },
  doctor: {
    about: "why does nothing arrive? Looks at all that must hold; exit code 1 where something is broken",
    options: JSON_OPTION,
    run: async (config, { json }) => (await import("./doctor.ts")).doctor(config, json === true, print),
  },
  who: { about: "who is online", options: JSON_OPTION, run: who },
  unread: {
    about: "your own unread mail, which is read by that; with NAME, that session's, looked at only",
    takes: ["NAME"],
    options: JSON_OPTION,
    run: unread,
  },
  send: {
    about: "a message from IPC_SESSION_ID, or your login name; BODY - is read from standard input",
    needs: ["NAME", "SUBJECT"],
    takes: ["BODY"],
    options: { ...PRIORITY, ...UNKNOWN },
    run: send,
  },
  broadcast: {
    about: "the same for every session",
    needs: ["SUBJECT"],
    takes: ["BODY"],
    options: PRIORITY,
    run: (config, options, args) => send(config, options, ["all", ...args]),
  },
  watch: {
    about: "all mail as it comes, until Ctrl-C",
    options: {
      from: { type: "string", value: "NAME", about: "only what NAME sends" },
      to: { type: "string", value: "NAME", about: "only what NAME gets" },
      since: { type: "string", value: "TIME", about: "first what came in that time: 10m, 2h, 1d" },
      ...JSON_OPTION,
    },
    run: async (config, options) => (await import("./history.ts")).watch(config, options, print),
  },
  log: {
    about: "past mail, archive included, newest last; with TEXT, only what holds that",
    takes: ["TEXT"],
    options: {
      with: { type: "string", value: "NAME", about: "only what NAME sent or got" },
      since: { type: "string", value: "TIME", about: "only what came in that time: 10m, 2h, 1d" },
      ...JSON_OPTION,
    },
    run: async (config, options, [text = ""]) => (await import("./history.ts")).log(config, options, text, print),
  },
  demo: {
    about: "two servers in a temporary folder find each other and talk: what happens when",
    run: async () => (await import("./demo.ts")).demo(print).then(() => 0),
  },
  wait: {
    about: "for hooks: waits for mail of the Claude Code session whose hook it is, and wakes it",
    run: async (config) => (await import("../delivery/wait.ts")).wait(config),
  },
};

/** How a command is written: `send NAME SUBJECT [BODY] [--priority PRIORITY]`. */
function usageOf(name: string, { needs = [], takes = [], options = {} }: Command): string {
  const flags = Object.entries(options).map(([key, { value }]) => `[--${key}${value ? ` ${value}` : ""}]`);
  return [name, ...needs, ...takes.map((each) => `[${each}]`), ...flags].join(" ");
}

/** Two columns; what is too long for the first stands on a line of its own. */
const row = (left: string, right: string): string =>
  `  ${left.length < 23 ? left.padEnd(23) : `${left}\n${" ".repeat(25)}`} ${right}`;

function help(): string {
  const self = process.argv[1]?.endsWith("t9-ipc") ? "t9-ipc" : `node ${process.argv[1]}`; // in a clone
  return `t9-ipc ${packageJson.version}: ${packageJson.description}.
It is an MCP server, which Claude Code starts. To register it: ${self} setup, or
claude mcp add --scope user t9-ipc -- node ${SERVER}\n\n${self} COMMAND, --help after it for more:
${Object.entries(COMMANDS)
  .map(([name, command]) => row(usageOf(name, command), command.about))
  .join("\n")}`;
}

/** Runs a command; resolves to the exit code: 0, 1 where it failed or was refused, 2 for wrong usage (RangeError). */
export async function cli(config: Config, [name = "help", ...args]: readonly string[]): Promise<number> {
  process.stdout.on("error", () => process.exit(1)); // `| head` has seen enough
  if (/^(-v|(--)?version)$/.test(name)) return print(packageJson.version);
  if (/^(-h|(--)?help)$/.test(name)) return print(help());
  try {
    const command = Object.hasOwn(COMMANDS, name) && COMMANDS[name];
    if (!command) throw new RangeError(`there is no command ${name}; --help lists them`);
    const { needs = [], takes = [] } = command;
    const options = { ...command.options, help: { type: "boolean", short: "h" } } as const;
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    const flags = Object.entries(command.options ?? {}).map(([key, { about }]) => row(`  --${key}`, about));
    if (values.help) return print([row(usageOf(name, command), command.about), ...flags].join("\n"));
    const isWrong = positionals.length < needs.length || positionals.length > needs.length + takes.length;
    if (isWrong) throw new RangeError(`usage: t9-ipc ${usageOf(name, command)} (put a text in quotes)`);
    return await command.run(config, values as Options, positionals);
  } catch (error) {
    const text = error instanceof Refusal ? error.message : reasonOf(error);
    // Refusals are worded for Claude, whose tools are commands here.
    const words = text.replace(/\bt9_ipc_(?=who)/g, "t9-ipc ").replace("allow_unknown: true", "--allow-unknown");
    console.error(`t9-ipc: ${words}`);
    return error instanceof RangeError || errorCode(error)?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
  }
}

/** The mailbox of whoever is at the command line, for one piece of work. */
async function withMailbox(config: Config, work: (mailbox: Mailbox) => Promise<number>): Promise<number> {
  const login = async () => userInfo().username; // throws in containers whose user has no name
  const name = askedName(config) ?? fit(await login().catch(() => `user-${process.getuid?.()}`));
  const mailbox = new Mailbox(config, new Heartbeats(config), { name, names: [name] }, undefined);
  return work(mailbox).finally(() => mailbox.close());
}

function who(config: Config, { json }: Options): Promise<number> {
  return withMailbox(config, async (mailbox) => {
    if (!json) return print(await whoText(mailbox, config, undefined));
    return print(mailbox.online().map(({ name, entry }) => ({ name, ...entry, reached_by: routeOf(entry) })));
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
        ? shown.map(({ file }) => ({ ...mailbox.inbox.read(file)?.header, body: mailbox.inbox.read(file)?.body }))
        : text,
    );
  });
}

async function send(config: Config, options: Options, [to = "", subject = "", text = ""]: readonly string[]) {
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
