import { existsSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type Config, readConfig, SERVER } from "../config.ts";
import { writeWhole } from "../files.ts";
import { type Print, type Report, run } from "./print.ts";

/** What our server reads. Codex hands on nothing that its entry does not name. */
const ENV_VARS =
  "CODEX_HOME IPC_DIR IPC_SESSION_ID IPC_DB_PATH IPC_PUSH IPC_POLL IPC_TG_TOKEN IPC_TG_CHAT IPC_TG_API";
/** A table of our entry, with the lines up to its last key. What follows (blank lines, comments) belongs to the next. */
const TABLES =
  /^[ \t]*\[[ \t]*mcp_servers[ \t]*\.[ \t]*(["']?)t9-ipc\1[ \t]*(\..*)?\].*(?:(?:\r?\n[ \t]*(?:#.*)?)*\r?\n[ \t]*[^\s#[].*)*/gm;

const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

/** Codex's own file, all tables of our entry in it, and the one of them with the command. */
function readCodexConfig() {
  const named = join(process.env.CODEX_HOME || join(homedir(), ".codex"), "config.toml");
  const path = existsSync(named) ? realpathSync(named) : named; // It may be a link to somebody's dotfiles.
  const text = read(path);
  const tables = [...text.matchAll(TABLES)];
  const table = tables.find(([, , subtable]) => !subtable)?.[0];
  return { path, text, table, entry: tables.map(([all]) => all).join("\n") };
}

/**
 * Registers this installation with Codex, or takes that back; gives the exit code. `codex mcp add` does not know
 * `env_vars`, so the text is edited: all else in it stays to the byte. `isAllowed`: Codex never asks before it uses
 * the tools. Otherwise its own rule stays (Codex 0.169 asks only before tools that destroy or reach the internet).
 */
export function setupCodex(
  command: string,
  isAllowed: boolean,
  undo: boolean,
  print: Print,
): number {
  const { path, text, table } = readCodexConfig();
  const backup = `${path}.t9-ipc-backup`;
  const isOurs = table?.includes(JSON.stringify(SERVER));
  if (undo) {
    if (!isOurs) return print(`${path} has no entry for ${SERVER}: nothing was changed.`);
    // Where nothing else has changed since, it is as it was to the byte.
    const [before, rest] = [read(backup), text.replace(TABLES, "")];
    const now = rest.trimEnd() === before.replace(TABLES, "").trimEnd() ? before : rest;
    if (now) writeWhole(path, now);
    else rmSync(path);
    return print(`Taken back in ${path}.`);
  }
  const handedOn =
    /^[ \t]*env_vars[ \t]*=([^\]]*)/m.exec(table ?? "")?.[1]?.match(/(?<=["'])\w+(?=["'])/g) ?? [];
  const now = withKeys(text, table, {
    command: JSON.stringify(command),
    args: JSON.stringify([SERVER]),
    env_vars: JSON.stringify([...new Set([...handedOn, ...ENV_VARS.split(" ")])]),
    ...(isAllowed && { default_tools_approval_mode: '"approve"' }),
  });
  if (now === text) return print(`${path} has the entry already: nothing was changed.`);
  if (!isOurs) writeWhole(backup, text);
  writeWhole(path, now);
  const { code, said } = run("codex", "mcp", "get", "t9-ipc");
  if (code) {
    writeWhole(path, text);
    throw new Error(`${path} is as it was, since Codex cannot read it with our entry: ${said}`);
  }
  print(`Added t9-ipc to ${path}: ${command} ${SERVER}\nAs it was: ${backup}`);
  return print("Codex sessions started from now on have it.");
}

/** The text with these values in our table, which is added where there is none. */
function withKeys(
  text: string,
  before: string | undefined,
  values: Record<string, string>,
): string {
  let table = before ?? "[mcp_servers.t9-ipc]";
  for (const [key, value] of Object.entries(values)) {
    const found = new RegExp(`(?<=^[ \\t]*${key}[ \\t]*=[ \\t]*)(\\[[^\\]]*\\]|[^\\s#].*)`, "m");
    table = found.test(table) ? table.replace(found, () => value) : `${table}\n${key} = ${value}`;
  }
  if (before !== undefined) return text.replace(before, () => table);
  return `${text}${/(^|\n)$/.test(text) ? "" : "\n"}${text && "\n"}${table}\n`;
}

/** What `doctor` says of Codex: nothing where it is not used. */
export function checkCodex(report: Report, config: Config): void {
  const { path, entry, table } = readCodexConfig();
  const version = /codex-cli (\S+)/.exec(run("codex", "--version").said)?.[1];
  if (!version && !table) return;
  const check = (what: string, problem: string | false, remedy = "run setup --codex"): void =>
    report(what, problem, remedy, "warning");
  const isDeaf =
    run("codex", "queue", "--help").code !== 0 && "it has no `queue`: its sessions are not woken";
  check(`Codex ${version ?? ""}`.trim(), version ? isDeaf : "codex is not on PATH", "codex update");
  check(path, !table && "no t9-ipc entry");
  if (!table) return;
  const script = /"([^"]+\.js)"/.exec(table)?.[1] ?? SERVER; // else it is npx or the like
  if (!existsSync(script)) report(script, "there is no such file", "run setup --codex");
  else check(script, script !== SERVER && `not this installation, ${SERVER}`);
  const lacking = ENV_VARS.split(" ").filter((name) => !table.includes(`"${name}"`));
  check("what Codex hands on", lacking.length > 0 && `env_vars lacks ${lacking.join(", ")}`);
  const mode = /approval_mode[ \t]*=[ \t]*"(prompt|writes)"/.exec(entry)?.[1];
  check(
    "tools in Codex",
    !!mode && `with approval mode "${mode}", a woken session waits for its user`,
  );
  const own = /\bIPC_DIR["']?[ \t]*=[ \t]*"([^"]*)"/.exec(entry)?.[1];
  const { dir } = readConfig(
    { ...process.env, ...(own && { IPC_DIR: own }) },
    process.cwd(),
    () => {},
  );
  check(
    `Codex's mail is in ${dir}`,
    dir !== config.dir && `not in ${config.dir}`,
    `export IPC_DIR=${dir}`,
  );
}
