import { checkClaude, checkInboxSocket } from "../agents/claude/doctor.ts";
import { checkCodex } from "../agents/codex/doctor.ts";
import type { Check, Print, Report } from "../agents/report.ts";
import type { Config } from "../config.ts";
import { Heartbeats } from "../sessions/heartbeats.ts";
import { folder } from "./checks/folder.ts";
import { installation } from "./checks/installation.ts";
import { network } from "./checks/network.ts";
import { sessions } from "./checks/sessions.ts";

const COLOURS = { ok: "green", warning: "yellow", broken: "red" } as const;

/** Looks at all that must hold for mail to arrive and prints each finding; gives 1 where something is broken. */
export async function doctor(config: Config, json: boolean, print: Print): Promise<number> {
  let code = 0;
  const report: Report = (what, problem, remedy = "", bad = "broken") => {
    const state = problem ? bad : "ok";
    if (state === "broken") code = 1;
    const text = `${state.padEnd(8)} ${what}${problem ? `: ${problem}${remedy && `\n         → ${remedy}`}` : ""}`;
    print(json ? { state, what, ...(problem && { problem, remedy }) } : text, COLOURS[state]);
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
  return code;
}

function claude(report: Report, config: Config): Promise<void> {
  const online = new Heartbeats(config).online();
  return checkClaude(
    report,
    config,
    online.map(({ entry }) => entry.tool_prefix ?? ""),
  );
}
