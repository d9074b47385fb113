import { spawnSync } from "node:child_process";

/** Runs a program to its end, 30 s at most; `code` is null where there is no such program. */
export function run(program: string, ...args: string[]): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    timeout: 30_000,
  });
  return { code: status, said: `${stdout ?? ""}${stderr ?? ""}`.trim() };
}

/** Where `node` is this version, its name outlives the next upgrade; a path of nvm or Homebrew does not. */
export const nodeProgram = (): string =>
  run("node", "--version").said === process.version ? "node" : process.execPath;

export const isFrom = (version: string, least: string): boolean =>
  version.localeCompare(least, "en", { numeric: true }) >= 0;
