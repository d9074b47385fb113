import packageJson from "../../package.json" with { type: "json" };
import type { Config } from "../config.ts";
import { isAtLeast, runProgram } from "./programs.ts";

/** The oldest Node that runs us. */
export const LEAST_NODE = packageJson.engines.node.replace(">=", "");

/**
 * PATH of a client that was not started from a shell, but from the Dock, a desktop menu or an
 * editor. nvm, fnm and volta are not in it. On Windows, installers add their programs to PATH for
 * everybody.
 */
export function minimalPath({ env }: Config): string {
  if (process.platform === "win32") return env.PATH ?? "";
  return "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin";
}

/**
 * The command that starts Node: its name, which outlives updates, if a shell and every other client
 * find a fitting Node by it. Otherwise the path of the Node that runs now.
 */
export function nodeCommand(config: Config, otherPath = minimalPath(config)): string {
  const paths = [config.env.PATH, otherPath];
  return paths.every((path) => hasFittingNode(config, path)) ? "node" : process.execPath;
}

/** A warning for the user if `command` is a path that an update of Node may remove. */
export function updateNote(command: string): string | undefined {
  if (command === "node") return undefined;
  return `An update of Node may remove ${command}: run setup again after it.`;
}

function hasFittingNode(config: Config, path: string | undefined): boolean {
  const { hasSucceeded, output } = runProgram({ ...config.env, PATH: path }, "node", "--version");
  return hasSucceeded && isAtLeast(output.replace(/^v/, ""), LEAST_NODE);
}
