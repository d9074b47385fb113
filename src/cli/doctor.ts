import { checkClaude } from "../agents/claude/doctor.ts";
import { checkCodex } from "../agents/codex/doctor.ts";
import { broken, type Finding } from "../agents/finding.ts";
import type { Config } from "../config.ts";
import { messageOf } from "../core/errors.ts";
import { Heartbeats, type Session } from "../core/heartbeats.ts";
import { createSystem } from "../upkeep/system.ts";
import { checkFolder } from "./checks/folder.ts";
import { checkInstallation } from "./checks/installation.ts";
import { checkNetwork } from "./checks/network.ts";
import { checkSessions } from "./checks/sessions.ts";
import { ReportedError } from "./errors.ts";
import { printJson, printText, type Style } from "./print.ts";

const COLORS = { ok: "green", warning: "yellow", broken: "red" } as const satisfies Record<
  Finding["state"],
  Style
>;

type Check = (config: Config) => AsyncIterable<Finding> | Iterable<Finding>;

/** In the order in which a user can fix what they find. */
export const CHECKS: readonly Check[] = [
  checkInstallation,
  (config) => checkClaude(config, sessionsHere(config)),
  checkCodex,
  checkFolder,
  checkNetwork,
  checkSessions,
];

/** Checks everything that mail needs to arrive. Rejects if something is broken. */
export async function doctor(config: Config, { json }: { readonly json?: true }): Promise<void> {
  let isBroken = false;
  for await (const finding of runChecks(config)) {
    if (finding.state === "broken") isBroken = true;
    if (json) printJson(finding);
    else printText(describe(finding), COLORS[finding.state]);
  }
  if (isBroken) throw new ReportedError("something is broken");
}

/** If a check throws, the others still run. */
export async function* runChecks(
  config: Config,
  checks: readonly Check[] = CHECKS,
): AsyncGenerator<Finding> {
  for (const check of checks) {
    try {
      yield* check(config);
    } catch (error) {
      yield broken("a check could not be finished", messageOf(error), "fix this first");
    }
  }
}

function describe({ state, what, problem, remedy }: Finding): string {
  const head = `${state.padEnd(8)} ${what}`;
  if (!problem) return head;
  return `${head}: ${problem}${remedy ? `\n         → ${remedy}` : ""}`;
}

/** The sessions on this machine that are online. */
function sessionsHere(config: Config): Session[] {
  const system = createSystem(config);
  const { host } = system.processes;
  return new Heartbeats(config, system).online(({ entry }) => entry.host === host);
}
