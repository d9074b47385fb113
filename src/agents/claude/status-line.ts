import { type Config, SERVER } from "../../config.ts";
import { nodeCommand } from "../node.ts";
import type { Print } from "../print.ts";
import { readClaudeJson } from "./claude-json.ts";
import { setValue } from "./json-file.ts";
import { readSettings } from "./permissions.ts";

const PLACE = ["statusLine"];
/** Seconds after which the line is refreshed, since mail may arrive while the session is idle. */
const REFRESH_S = 30;
/** Our command in the settings. After `--` comes the user's former command, as one word. */
const OURS = /^(.*) statusline(?: -- (.*))?$/s;

/**
 * Adds our line to Claude Code's status line if `isWanted` says so, which is told the command that
 * the user has there: its output stays, above ours.
 */
export async function addStatusLine(
  config: Config,
  isWanted: (theirs: string | undefined) => Promise<boolean>,
  print: Print,
): Promise<void> {
  const { path, statusLine, command, ours } = findStatusLine(config);
  const theirs = ours ? ours.theirs : command;
  const wanted = ourCommand(config, theirs);
  if (command === wanted) return;
  if (statusLine !== undefined && command === undefined) {
    print(`${path} has a "statusLine" that is not a command: it was not changed.`);
    return;
  }
  if (!ours && !(await isWanted(theirs))) return;

  if (command === undefined) {
    const line = { type: "command", command: wanted, refreshInterval: REFRESH_S };
    await setValue(path, PLACE, line);
  } else {
    await setValue(path, [...PLACE, "command"], wanted);
  }
  print(`The status line in ${path} shows t9-ipc: ${wanted}`);
}

/** Leaves the user's own status line as it was. Resolves to false if ours was not there. */
export async function removeStatusLine(config: Config, print: Print): Promise<boolean> {
  const { path, ours } = findStatusLine(config);
  if (!ours) return false;
  if (ours.theirs === undefined) await setValue(path, PLACE, undefined);
  else await setValue(path, [...PLACE, "command"], ours.theirs);
  print(`Removed the status line from ${path}.`);
  return true;
}

function findStatusLine(config: Config) {
  const { path, json } = readSettings(config);
  const { statusLine } = json;
  const command = typeof statusLine?.command === "string" ? statusLine.command : undefined;
  const [, start, theirs] = OURS.exec(command ?? "") ?? [];
  const isOurs = start?.endsWith(quoteForShell(SERVER)) ?? false;
  const ours = isOurs ? { theirs: theirs === undefined ? undefined : unquote(theirs) } : undefined;
  return { path, statusLine, command, ours };
}

/** The status line's process does not get the environment that the server's entry sets. */
function ourCommand(config: Config, theirs: string | undefined): string {
  const dir = readClaudeJson(config).json.mcpServers?.["t9-ipc"]?.env?.IPC_DIR;
  const words = [
    ...(dir === undefined ? [] : [`IPC_DIR=${quoteForShell(dir)}`]),
    quoteForShell(nodeCommand(config)),
    quoteForShell(SERVER),
    "statusline",
    ...(theirs === undefined ? [] : ["--", quoteForShell(theirs)]),
  ];
  return words.join(" ");
}

/** One word for a POSIX shell, which Claude Code uses on Windows too. */
const quoteForShell = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** The text in such a word. Anything else was written by the user, and is returned as it is. */
const unquote = (word: string): string =>
  /^'(?:[^']|'\\'')*'$/.test(word) ? word.slice(1, -1).replaceAll("'\\''", "'") : word;
