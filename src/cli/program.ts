import { Command, type CommanderError, InvalidArgumentError, Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { type Config, SERVER } from "../config.ts";
import { PRIORITIES } from "../core/message.ts";
import { UsageError } from "./errors.ts";

/** A term that is longer than this has its description on the next line. */
const TERM_WIDTH = 22;

/**
 * Runs one command. Rejects with a UsageError if the arguments are not understood, and with
 * commander's own error, whose exit code is 0, after `--help` and `--version`.
 */
export async function runCommand(config: Config, args: readonly string[]): Promise<void> {
  const program = createProgram(config);
  await program.parseAsync(args.length > 0 ? args : ["--help"], { from: "user" });
}

function createProgram(config: Config): Command {
  const program = new Command("t9-ipc");
  program
    .version(packageJson.version, "-v, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [COMMAND]", "the same as COMMAND --help")
    .addHelpText("before", introduction())
    .configureHelp({
      commandUsage: (command) => `t9-ipc ${usageOf(command)}`,
      subcommandTerm: usageOf,
      padWidth: () => TERM_WIDTH,
      formatItem,
    })
    .configureOutput({ outputError: () => {} });

  program
    .command("setup")
    .description("register the server with Claude Code for all projects, and prove that it works")
    .option("--plugin", "install the plugin instead, which also brings hooks that wake a session")
    .option("--codex", "register it with Codex instead")
    .option("--allow", "the five tools may be used without asking; on a terminal you are asked")
    .option("--statusline", "add a line to Claude Code's status line; on a terminal you are asked")
    .option("--undo", "remove everything that setup added")
    .action(async (options) => (await import("./setup.ts")).setup(config, options));

  program
    .command("doctor")
    .description("say why mail does not arrive; exit code 1 if something is broken")
    .option("--json", "print JSON")
    .action(async (options) => (await import("./doctor.ts")).doctor(config, options));

  program
    .command("who")
    .description("list the sessions that are online")
    .option("--watch", "refresh the list every two seconds, until Ctrl-C")
    .option("--json", "print JSON")
    .action(async (options) => (await import("./who.ts")).who(config, options));

  program
    .command("unread")
    .description("print your unread mail and mark it as read; with NAME, that session's, unmarked")
    .argument("[NAME]", "another session")
    .option("--json", "print JSON")
    .action(async (name, options) => (await import("./unread.ts")).unread(config, name, options));

  program
    .command("send")
    .description("send a message as IPC_SESSION_ID, or as your login name")
    .argument("<NAME>", "a session, as `who` lists it, or all")
    .argument("<SUBJECT>", "what it is about")
    .argument("[BODY]", "the message; BODY - is read from standard input")
    .addOption(priorityOption())
    .option("--allow-unknown", "also to a name that no session has had yet")
    .action(async (to, subject, body, options) =>
      (await import("./send.ts")).send(config, { ...options, to, subject, body }),
    );

  program
    .command("broadcast")
    .description("send a message to every session")
    .argument("<SUBJECT>", "what it is about")
    .argument("[BODY]", "the message; BODY - is read from standard input")
    .addOption(priorityOption())
    .action(async (subject, body, options) =>
      (await import("./send.ts")).send(config, { ...options, to: "all", subject, body }),
    );

  program
    .command("watch")
    .description("print all mail as it arrives, until Ctrl-C")
    .option("--from <NAME>", "only mail from this session")
    .option("--to <NAME>", "only mail to this session")
    .option("--since <10m>", "also mail of the last 10m, 2h or 1d", parseDuration)
    .option("--json", "print JSON")
    .action(async (options) => (await import("./watch.ts")).watch(config, options));

  program
    .command("log")
    .description("print past mail, archive included, newest last; with TEXT, only mail that has it")
    .argument("[TEXT]", "a text in the subject or the body, in any letter case")
    .option("--with <NAME>", "only mail from or to this session")
    .option("--since <10m>", "only mail of the last 10m, 2h or 1d", parseDuration)
    .option("--thread <FILE>", "only the exchange that this message belongs to, in order")
    .option("--json", "print JSON")
    .action(async (text, options) => (await import("./log.ts")).log(config, text, options));

  program
    .command("demo")
    .description("start two servers in a temporary folder and show a message go across")
    .action(async () => (await import("./demo.ts")).demo());

  program
    .command("statusline")
    .description(
      "for Claude Code's status line: your session's name, its unread mail and who is online",
    )
    .argument("[COMMAND...]", "after --: another status line, which is printed first")
    .action(async (command) => (await import("./statusline.ts")).statusLine(config, command));

  program
    .command("hook")
    .description("for the plugin's hooks: reads what Claude Code says on standard input")
    .action(async () => (await import("./hook.ts")).hook(config));

  for (const command of [program, ...program.commands]) {
    command.exitOverride((error) => rejectUsage(error, command));
  }
  return program;
}

/** Commander calls this after help and version as well, with exit code 0. */
function rejectUsage(error: CommanderError, command: Command): never {
  if (error.exitCode === 0) throw error;

  const problem = error.message.replace(/^error: |\.$/g, "").replace(/\s+/g, " ");
  const takesText = command.registeredArguments.length > 0;
  const hint = !command.parent ? "--help lists them" : takesText ? "put a text in quotes" : "";
  throw new UsageError(`${problem}; usage: t9-ipc ${usageOf(command)}${hint && ` (${hint})`}`);
}

function introduction(): string {
  // In a clone the program is run by its path.
  const script = process.argv[1] ?? "";
  const self = script.endsWith("t9-ipc") ? "t9-ipc" : `node "${script}"`;
  return `t9-ipc ${packageJson.version}: ${packageJson.description}.
It is an MCP server, which Claude Code starts. To register it: ${self} setup, or
claude mcp add --scope user t9-ipc -- node "${SERVER}"
`;
}

/** How a command is written: `send NAME SUBJECT [BODY] [--priority PRIORITY]`. */
function usageOf(command: Command): string {
  if (command.name() === "t9-ipc") return "COMMAND";

  const args = command.registeredArguments.map((argument) =>
    argument.required ? argument.name() : `[${argument.name()}]`,
  );
  const options = command.options.map(({ flags }) => `[${flags.replace(/[<>]/g, "")}]`);
  return [command.name(), ...args, ...options].join(" ");
}

/** One item of the help in two columns. */
function formatItem(term: string, width: number, description: string): string {
  const left = term.length > width ? `${term}\n${" ".repeat(width + 2)}` : term.padEnd(width);
  return `  ${left}  ${description}`;
}

function priorityOption(): Option {
  return new Option("--priority <PRIORITY>", "low wakes nobody; high and critical are read first")
    .choices(PRIORITIES)
    .default("normal");
}

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** The milliseconds of `10m`, `2h` or `1d`. */
function parseDuration(text: string): number {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(text) ?? [];
  if (!count)
    throw new InvalidArgumentError("--since takes a number and s, m, h or d: 10m, 2h, 1d.");
  return Number(count) * (UNIT_MS[unit] ?? 0);
}
