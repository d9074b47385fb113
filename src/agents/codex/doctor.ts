import { existsSync } from "node:fs";
import { type Config, readConfig, SERVER } from "../../config.ts";
import { run } from "../programs.ts";
import type { Report } from "../report.ts";
import { ENV_VARS, readCodexConfig } from "./config-file.ts";

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
