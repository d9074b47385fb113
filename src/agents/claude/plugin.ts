import { type Config, PACKAGE_ROOT } from "../../config.ts";
import { run } from "../programs.ts";
import type { Print } from "../report.ts";
import { keepBackup } from "./json-file.ts";
import { readSettings } from "./permissions.ts";

const PLUGIN = "t9-ipc@t9-ipc";

/** The user's settings, whether our marketplace in them is this installation, and whether its plugin is on. */
function findPlugin(config: Config) {
  const { path, json } = readSettings(config);
  const isOurs = json.extraKnownMarketplaces?.["t9-ipc"]?.source?.path === PACKAGE_ROOT;
  return { path, isOurs, isOn: json.enabledPlugins?.[PLUGIN] };
}

export function addPlugin(config: Config, print: Print): void {
  const { path, isOurs, isOn } = findPlugin(config);
  if (isOurs && isOn) {
    print(`${path} has the plugin already: nothing was changed.`);
    return;
  }
  keepBackup(path);
  claudePlugin(print, "marketplace", "add", PACKAGE_ROOT);
  claudePlugin(print, "install", PLUGIN);
}

export function removePlugin(config: Config, print: Print): boolean {
  const { isOurs, isOn } = findPlugin(config);
  if (isOurs && isOn !== undefined) claudePlugin(print, "uninstall", PLUGIN);
  if (isOurs) claudePlugin(print, "marketplace", "remove", "t9-ipc");
  return isOurs;
}

function claudePlugin(print: Print, ...args: string[]): void {
  const { code, said } = run("claude", "plugin", ...args);
  if (code !== 0)
    throw new Error(
      `claude plugin ${args.join(" ")}: ${code === null ? "claude is not on PATH" : said}`,
    );
  print(said);
}
