import { rmSync } from "node:fs";
import { SERVER } from "../../config.ts";
import { writeWhole } from "../../files.ts";
import { run } from "../programs.ts";
import type { Print } from "../report.ts";
import { ENV_VARS, read, readCodexConfig, TABLES } from "./config-file.ts";

/**
 * Registers this installation with Codex, or takes that back; gives the exit code. `codex mcp add` does not know
 * `env_vars`, so the text is edited: all else in it stays to the byte. `isAllowed`: Codex never asks before it uses
 * the tools. Otherwise its own rule stays (Codex 0.169 asks only before tools that destroy or reach the internet).
 */
export function setupCodex(command: string, isAllowed: boolean, undo: boolean, print: Print): void {
  const { path, text, table } = readCodexConfig();
  const backup = `${path}.t9-ipc-backup`;
  const isOurs = table?.includes(JSON.stringify(SERVER));
  if (undo) {
    if (!isOurs) {
      print(`${path} has no entry for ${SERVER}: nothing was changed.`);
      return;
    }
    // Where nothing else has changed since, it is as it was to the byte.
    const [before, rest] = [read(backup), text.replace(TABLES, "")];
    const now = rest.trimEnd() === before.replace(TABLES, "").trimEnd() ? before : rest;
    if (now) writeWhole(path, now);
    else rmSync(path);
    print(`Taken back in ${path}.`);
    return;
  }
  const handedOn =
    /^[ \t]*env_vars[ \t]*=([^\]]*)/m.exec(table ?? "")?.[1]?.match(/(?<=["'])\w+(?=["'])/g) ?? [];
  const now = withKeys(text, table, {
    command: JSON.stringify(command),
    args: JSON.stringify([SERVER]),
    env_vars: JSON.stringify([...new Set([...handedOn, ...ENV_VARS.split(" ")])]),
    ...(isAllowed && { default_tools_approval_mode: '"approve"' }),
  });
  if (now === text) {
    print(`${path} has the entry already: nothing was changed.`);
    return;
  }
  if (!isOurs) writeWhole(backup, text);
  writeWhole(path, now);
  const { code, said } = run("codex", "mcp", "get", "t9-ipc");
  if (code) {
    writeWhole(path, text);
    throw new Error(`${path} is as it was, since Codex cannot read it with our entry: ${said}`);
  }
  print(`Added t9-ipc to ${path}: ${command} ${SERVER}\nAs it was: ${backup}`);
  print("Codex sessions started from now on have it.");
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
