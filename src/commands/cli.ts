import { userInfo } from "node:os";
import { text as readAll } from "node:stream/consumers";
import { parseArgs, stripVTControlCharacters, styleText } from "node:util";
import packageJson from "../../package.json" with { type: "json" };
import type { Config } from "../config.ts";
import { routeOf } from "../delivery/route.ts";
import { errorCode, reasonOf } from "../files.ts";
import { Mailbox } from "../mail/mailbox.ts";
import { PRIORITIES } from "../mail/message.ts";
import { Refusal } from "../mail/refusal.ts";
import { readUnread, sentText, whoText } from "../mcp/answers.ts";
import { Sessions } from "../sessions/heartbeats.ts";
import { fit } from "../sessions/names.ts";
import { askedName } from "../sessions/presence.ts";
import { SERVER } from "./demo.ts";

/** Also the definition: a command's arguments and options are what stands here behind its name. */
const HELP = `
  setup [--undo]          register the server with Claude Code for all projects, and prove it; --undo: take it back
  doctor [--json]         why does nothing arrive? Looks at all that must hold; exit code 1 where something is broken
  who [--json]            who is online
  unread [NAME] [--json]  your own unread mail, which is read by that; with NAME, that session's, looked at only
  send NAME SUBJECT [BODY] [--priority high] [--allow-unknown]
                          a message from IPC_SESSION_ID, or your login name; BODY - is read from standard input
  broadcast SUBJECT [BODY] [--priority high]
                          the same for every session
  watch [--from NAME] [--to NAME] [--since 10m] [--json]
                          all mail as it comes, until Ctrl-C; --since 2h, 1d: first what came in that time
  demo                    two servers in a temporary folder find each other and talk: what happens when
  wait                    for hooks: waits for mail of the Claude Code session whose hook it is, and wakes it`;

/** Prints a text, without what a message could do to a terminal, or a value as one line of JSON; gives 0. */
export type Print = (what: unknown, style?: Parameters<typeof styleText>[0]) => number;
export type Options = Readonly<Record<string, string | boolean | undefined>>;

const COMMANDS: Record<string, (config: Config, options: Options, args: string[]) => Promise<number>> = {
  setup: async (config, { undo }) => (await import("./setup.ts")).setup(config, undo === true, print),
  doctor: async (config, { json }) => (await import("./doctor.ts")).doctor(config, json === true, print),
  async who(config, { json }) {
    const online = new Sessions(config).online();
    if (!json) return print(whoText(online, undefined));
    return print(online.map(({ name, entry }) => ({ name, ...entry, reached_by: routeOf(entry) })));
  },
  unread: (config, { json }, [name]) =>
    withMailbox(config, async (mailbox) => {
      const { text, shown } = await readUnread(mailbox, config, name, Number.POSITIVE_INFINITY);
      return print(json ? shown.map((header) => ({ ...header, body: mailbox.inbox.body(header) })) : text);
    }),
  send,
  broadcast: (config, options, args) => send(config, options, ["all", ...args]),
  watch: async (config, options) => (await import("./watch.ts")).watch(config, options, print),
  demo: () => import("./demo.ts").then(({ demo }) => demo(print)).then(() => 0),
  wait: async (config) => (await import("../delivery/wait.ts")).wait(config),
};

/** Runs a command; resolves to the exit code: 0, 1 where it failed or was refused, 2 for wrong usage (RangeError). */
export async function cli(config: Config, [name = "help", ...args]: readonly string[]): Promise<number> {
  process.stdout.on("error", () => process.exit(1)); // `| head` has seen enough
  if (/^(-v|(--)?version)$/.test(name)) return print(packageJson.version);
  if (/^(-h|(--)?help)$/.test(name)) {
    const self = process.argv[1]?.endsWith("t9-ipc") ? "t9-ipc" : `node ${process.argv[1]}`; // in a clone
    return print(`t9-ipc ${packageJson.version}: ${packageJson.description}.
It is an MCP server, which Claude Code starts. To register it: ${self} setup, or
claude mcp add --scope user t9-ipc -- node ${SERVER}\n\n${self} COMMAND:${HELP}`);
  }
  try {
    const command = Object.hasOwn(COMMANDS, name) && COMMANDS[name];
    if (!command) throw new RangeError(`there is no command ${name}; --help lists them`);
    const [usage = "", takes = ""] = new RegExp(`^ +${name}((?: ?\\S+)*)(?:\n? {2,}.*)?`, "m").exec(HELP) ?? [];
    const flags = [...takes.matchAll(/\[--(\S+?)( \w+)?\]/g)];
    const known = flags.map(([, key = "", value]) => [key, { type: value ? "string" : "boolean" }] as const);
    const options = { ...Object.fromEntries(known), help: { type: "boolean", short: "h" } } as const;
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    if (values.help) return print(usage);
    const names = takes.replace(/\[--.*/, "").match(/\S+/g) ?? [];
    const least = names.filter((each) => !each.startsWith("[")).length;
    const isWrong = positionals.length < least || positionals.length > names.length;
    if (isWrong) throw new RangeError(`usage: t9-ipc ${name}${takes} (put a text in quotes)`);
    return await command(config, values, positionals);
  } catch (error) {
    const text = error instanceof Refusal ? error.message : reasonOf(error);
    // Refusals are worded for Claude, whose tools are commands here.
    const words = text.replace(/\bt9_ipc_(?=who)/g, "t9-ipc ").replace("allow_unknown: true", "--allow-unknown");
    console.error(`t9-ipc: ${words}`);
    return error instanceof RangeError || errorCode(error)?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
  }
}

const print: Print = (what, style) => {
  const clean = (text: string): string => stripVTControlCharacters(text).replace(/[^\P{Cc}\n\t]/gu, "");
  const text = typeof what === "string" ? clean(what) : JSON.stringify(what);
  console.log(style && typeof what === "string" ? styleText(style, text) : text);
  return 0;
};

/** The mailbox of whoever is at the command line, for one piece of work. */
async function withMailbox(config: Config, work: (mailbox: Mailbox) => Promise<number>): Promise<number> {
  const login = async () => userInfo().username; // throws in containers whose user has no name
  const name = askedName(config) ?? fit(await login().catch(() => `user-${process.getuid?.()}`));
  const mailbox = new Mailbox(config, new Sessions(config), { name, names: [name] }, "");
  return work(mailbox).finally(() => mailbox.close());
}

async function send(config: Config, options: Options, [to = "", subject = "", text = ""]: string[]): Promise<number> {
  const priority = PRIORITIES.find((known) => known === (options.priority ?? "normal"));
  if (!priority) throw new RangeError(`--priority is one of ${PRIORITIES.join(", ")}`);
  const body = text === "-" ? (await readAll(process.stdin)).replace(/\r?\n$/, "") : text;
  const allowUnknown = options["allow-unknown"] === true;
  return withMailbox(config, async (mailbox) => {
    await mailbox.inbox.reconcile();
    const sent = await mailbox.send({ to, subject, body, priority, escalate: false, allowUnknown });
    mailbox.appear(); // so that it can be answered
    return print(sentText(sent));
  });
}
