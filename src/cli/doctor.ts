import { checkClaude, checkInboxSocket } from "../agents/claude/doctor.ts";
import { checkCodex } from "../agents/codex/doctor.ts";
import type { Check, Report } from "../agents/report.ts";
import type { Config } from "../config.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { folder } from "./checks/folder.ts";
import { installation } from "./checks/installation.ts";
import { network } from "./checks/network.ts";
import { sessions } from "./checks/sessions.ts";
import { ReportedError } from "./errors.ts";
import { printJson, printText } from "./print.ts";

const COLOURS = { ok: "green", warning: "yellow", broken: "red" } as const;

/** Checks everything that mail needs to arrive. Rejects if something is broken. */
export async function doctor(config: Config, options: { readonly json?: true }): Promise<void> {
  let isBroken = false;
  const report: Report = (what, problem, remedy = "", bad = "broken") => {
    const state = problem ? bad : "ok";
    if (state === "broken") isBroken = true;
    if (options.json) {
      printJson({ state, what, ...(problem && { problem, remedy }) });
      return;
    }
    const arrow = problem && remedy ? `\n         → ${remedy}` : "";
    printText(`${state.padEnd(8)} ${what}${problem ? `: ${problem}` : ""}${arrow}`, COLOURS[state]);
  };

  const checks: Check[] = [
    installation,
    claude,
    folder,
    network,
    checkInboxSocket,
    sessions,
    checkCodex,
  ];
  for (const check of checks) {
    try {
      await check(report, config);
    } catch (error) {
      report("cannot look further", (error as Error).message, "mend that first");
    }
  }
  if (isBroken) throw new ReportedError("something is broken");
}

function claude(report: Report, config: Config): Promise<void> {
  const online = new Heartbeats(config).online();
  return checkClaude(
    report,
    config,
    online.map(({ entry }) => entry.tool_prefix ?? ""),
  );
}
