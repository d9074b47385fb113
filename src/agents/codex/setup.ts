import { rmSync } from "node:fs";
import { type Config, SERVER } from "../../config.ts";
import { isSamePath } from "../../core/paths.ts";
import { nodeCommand, updateNote } from "../node.ts";
import type { Print } from "../print.ts";
import { runProgram } from "../programs.ts";
import { backupNote, keepBackup, readBackup, removeBackup, replaceText } from "../user-file.ts";
import { type CodexEntry, ENV_VARS, entryIn, readCodexConfig, withEntry } from "./config-file.ts";

/**
 * Registers this installation with Codex. The file is edited, since `codex mcp add` does not know
 * `env_vars`. With `isAllowed` Codex never asks before it uses the tools; otherwise its own rule
 * holds (Codex 0.169 asks only before tools that destroy or reach the internet).
 */
export function setupCodex(config: Config, isAllowed: boolean, print: Print): void {
  const { path, text, entry } = readCodexConfig(config);
  const command = nodeCommand(config);
  const changed = withEntry(text, {
    ...entry,
    command,
    args: [SERVER],
    env_vars: [...new Set([...(entry?.env_vars ?? []), ...ENV_VARS])],
    ...(isAllowed && { default_tools_approval_mode: "approve" }),
  });
  if (changed === text) {
    print(`${path} has the entry already: nothing was changed.`);
    return;
  }

  keepBackup(path);
  replaceText(path, changed);
  const { hasSucceeded, isMissing, output } = runProgram(
    config.env,
    "codex",
    "mcp",
    "get",
    "t9-ipc",
  );
  if (!hasSucceeded && !isMissing) {
    replaceText(path, text);
    throw new Error(`${path} is as it was, since Codex cannot read it with our entry: ${output}`);
  }

  print(`Added t9-ipc to ${path}: ${command} ${SERVER}`);
  print(backupNote(path));
  const note = updateNote(command);
  if (note) print(note);
  print("Codex sessions started from now on have it.");
}

/** Removes what `setupCodex` added. An entry that was there before is put back. */
export function undoCodex(config: Config, print: Print): void {
  const { path, text, entry } = readCodexConfig(config);
  if (!isOurs(entry)) {
    print(`${path} has no entry for ${SERVER}: nothing was changed.`);
    return;
  }

  const backup = readBackup(path) ?? "";
  const restored = withEntry(text, entryIn(backup));
  if (restored.trim() === "") rmSync(path);
  else replaceText(path, restored);
  removeBackup(path);
  print(`Removed from ${path}.`);
}

const isOurs = (entry: CodexEntry | undefined): boolean =>
  entry?.args?.some((arg) => isSamePath(arg, SERVER)) === true;
