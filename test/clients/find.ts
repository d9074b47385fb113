// The real clients: where they are, or how they are had.

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";

export interface Wanted {
  readonly program: string;
  /** Names the program that is to be used. */
  readonly variable: string;
  /** On the npm registry. */
  readonly package: string;
  /** What its `--version` says, among other things. */
  readonly says: string;
  /**
   * Where in the package's scope the program may be as well, where npm skipped the install script
   * that links it.
   */
  readonly places?: readonly string[];
}

export type Found =
  | { readonly program: string; readonly reason?: undefined }
  | { readonly program?: undefined; readonly reason: string };

/**
 * The real client: what the variable names, else the program on PATH, else, with `fetch`, the
 * newest from the npm registry in a folder under the system's temporary one, kept for the next run
 * (about 300 MB each).
 */
export function find(
  wanted: Wanted,
  fetch = /^test:(clients|install)$/.test(process.env.npm_lifecycle_event ?? ""),
): Found {
  const { program, variable, package: name, places = [] } = wanted;
  const works = (path: string | undefined): path is string =>
    path !== undefined && answers(path, wanted);
  const asked = process.env[variable];
  if (asked)
    return works(asked)
      ? { program: asked }
      : { reason: `${variable} is not ${wanted.says}: ${asked}` };
  const folder = join(tmpdir(), `t9-ipc-${basename(name)}-${userInfo().username}`);
  if (existsSync(folder) && statSync(folder).uid !== userInfo().uid)
    return { reason: `${folder} is not ours` };
  const modules = join(folder, "node_modules");
  const kept = [
    join(modules, ".bin", program),
    ...places.map((place) => join(modules, dirname(name), place)),
  ];
  const found = [onPath(program), ...kept].find(works);
  if (found) return { program: found };
  if (!fetch)
    return {
      reason: `no ${program}: set ${variable}, put it on PATH, or run \`npm run test:clients\``,
    };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", `${name}@latest`];
    execFileSync("npm", args, { stdio: "pipe", timeout: 300_000 });
  } catch (error) {
    return { reason: `npm could not fetch ${name}: ${(error as Error).message.split("\n")[0]}` };
  }
  const fetched = kept.find(works);
  return fetched ? { program: fetched } : { reason: `${name} was fetched, but does not run here` };
}

function answers(path: string, { says }: Wanted): boolean {
  try {
    const env = {
      PATH: dirname(process.execPath),
      HOME: tmpdir(),
      USERPROFILE: tmpdir(),
      CODEX_HOME: join(tmpdir(), "none"),
    };
    return execFileSync(path, ["--version"], { encoding: "utf8", stdio: "pipe", env }).includes(
      says,
    );
  } catch {
    return false;
  }
}

export function onPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why an interactive session cannot be had here, or false: node:test's `skip`. */
export const noTerminal: string | false =
  !onPath("tmux") && "no tmux on PATH to run an interactive session in";
