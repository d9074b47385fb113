// npm, run with an environment made from nothing. Only where packages come from is the developer's
// own setting.

import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, realpathSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { onPath } from "../clients/find.ts";

/** npm's program, a script: `npm run` names it, and it is what `npm` on PATH links to. */
const NPM = process.env.npm_execpath ?? realpathSync(onPath("npm") ?? "npm");

/** Downloads are kept here for the next run. */
export const KEPT = join(tmpdir(), `t9-ipc-install-${userInfo().username}`);

/** Why nothing can be downloaded, or false: node:test's `skip`. */
export const offline: string | false =
  process.env.npm_lifecycle_event !== "test:install" &&
  "it downloads packages: run `npm run test:install`";

const setting = (name: string): string =>
  execFileSync(process.execPath, [NPM, "config", "get", name], { encoding: "utf8" }).trim();

let sources: Record<string, string> | undefined;

/** The developer's registry, as npm's environment variables. */
function registry(): Record<string, string> {
  if (sources) return sources;
  const cafile = setting("cafile");
  sources = {
    npm_config_registry: setting("registry"),
    ...(cafile !== "null" && { npm_config_cafile: cafile }),
  };
  return sources;
}

export interface NpmOptions {
  readonly cwd: string;
  readonly home: string;
  /** The Node that runs npm, and what npm runs; default: this one. */
  readonly node?: string;
}

/** Runs `npm ARGS`; resolves to its output. Rejects if it fails. */
export async function npm(args: readonly string[], options: NpmOptions): Promise<string> {
  const { cwd, home, node = process.execPath } = options;
  if (statSync(KEPT, { throwIfNoEntry: false }) === undefined) mkdirSync(KEPT, { mode: 0o700 });
  // Whoever else could write there could have us run his programs.
  if (process.getuid && statSync(KEPT).uid !== process.getuid())
    throw new Error(`${KEPT} belongs to another user`);
  const env = {
    PATH: [dirname(node), "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter),
    HOME: home,
    USERPROFILE: home,
    npm_config_cache: join(KEPT, "cache"),
    npm_config_update_notifier: "false",
    ...registry(),
  };
  const { stdout } = await promisify(execFile)(node, [NPM, ...args], { cwd, env });
  return stdout;
}

/** Packs the package in `folder` into `target`; resolves to the file. */
export async function pack(folder: string, target: string, home: string): Promise<string> {
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", target];
  const [{ filename }] = JSON.parse(await npm(args, { cwd: folder, home }));
  return join(target, filename);
}
