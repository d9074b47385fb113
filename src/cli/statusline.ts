import { spawn } from "node:child_process";
import { text as readAll } from "node:stream/consumers";
import { readSessionMail, type SessionMail } from "../agents/claude/session-mail.ts";
import type { Config } from "../config.ts";
import { isMissing, messageOf } from "../core/errors.ts";
import type { Name } from "../core/names.ts";
import { plural } from "../core/text.ts";
import { printText } from "./print.ts";

/** More names than these are counted. */
const MAX_NAMES = 3;

/**
 * Prints one line for Claude Code's status line: the session's name, its unread mail, and who else
 * is online. With a command, that one's output comes first. Claude Code shows what was printed
 * whatever happens, so nothing here fails.
 */
export async function statusLine(config: Config, command: readonly string[]): Promise<void> {
  const input = process.stdin.isTTY ? "" : await readAll(process.stdin);
  const theirs = command.length > 0 ? runOther(command, input, config.env) : "";
  const ours = tryDescribe(config, input);

  const before = (await theirs).replace(/\n+$/, "");
  if (before) console.log(before);
  if (ours) printText(ours);
}

/**
 * The shell for a user's command: `true` is the system's. On Windows, Claude Code runs such
 * commands with Git Bash and names it in SHELL; cmd.exe does not understand them.
 */
export const shellFor = (env: NodeJS.ProcessEnv, platform: string): string | true =>
  (platform === "win32" && env.SHELL) || true;

/** A single argument is a whole command, which may have pipes in it: the shell runs it. */
async function runOther(
  [program = "", ...args]: readonly string[],
  input: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const child = spawn(program, args, {
    env,
    shell: args.length === 0 && shellFor(env, process.platform),
    stdio: ["pipe", "pipe", "inherit"],
    windowsHide: true,
  });
  child.on("error", (error) => console.error(`t9-ipc: ${program}: ${messageOf(error)}`));
  child.stdin.on("error", () => {}); // it may end without reading its input
  child.stdin.end(input);
  return readAll(child.stdout);
}

function tryDescribe(config: Config, input: string): string | undefined {
  try {
    return describe(config, conversationIn(input));
  } catch (error) {
    if (!isMissing(error)) console.error(`t9-ipc: ${messageOf(error)}`);
    return undefined; // without a data folder there is nothing to say
  }
}

function conversationIn(input: string): string | undefined {
  try {
    const { session_id } = JSON.parse(input);
    return typeof session_id === "string" ? session_id : undefined;
  } catch {
    return undefined; // started by hand
  }
}

function describe(config: Config, conversation: string | undefined): string {
  const { own, online } = readSessionMail(config, conversation);
  const others = online.map(({ name }) => name).filter((name) => name !== own?.name);
  return [...ownParts(own), `online: ${listed(others)}`].join(" · ");
}

function ownParts(own: SessionMail | undefined): string[] {
  if (!own) return ["t9-ipc is not connected"];
  const { name, isOnline, unread } = own;
  const mail = unread === 0 ? "no mail" : `${plural(unread, "message")} unread`;
  return isOnline ? [name, mail] : [name, "t9-ipc is not connected", mail];
}

function listed(names: readonly Name[]): string {
  if (names.length === 0) return "nobody else";
  const more = names.length - MAX_NAMES;
  const shown = names.slice(0, MAX_NAMES).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}
