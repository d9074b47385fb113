import { createHash, randomBytes } from "node:crypto";
import { basename, join } from "node:path";
import type { Config } from "../config.ts";
import { readOwn, writeWhole } from "../files.ts";
import { type ClaudeSession, claudeSession } from "./claude.ts";
import { holderOf, type Session } from "./entry.ts";
import { fit, isName, MAX_NAME, type Name, nameProblem, sameName } from "./names.ts";
import type { Agent } from "./process.ts";

const MAX_BYTES = 8 << 20;
/** A conversation that was not open for so long has no name any more. */
const MONTH_MS = 30 * 24 * 3600 * 1000;

/** What a conversation is remembered by; `seen`: when it last took the name, ms since 1970. */
interface Remembered {
  readonly name: Name;
  readonly working_on: string;
  readonly seen: number;
}

/** A session's first name, and who gave it. The user's `/rename` is followed while nobody chose a name for us. */
export interface FirstName {
  readonly name: Name;
  readonly by: "environment" | "set_name" | "user" | "folder";
  readonly workingOn: string;
}

/**
 * The name a session starts with: IPC_SESSION_ID; else the name this conversation last took with `set_name`; else the
 * one the user gave it in Claude Code; else the project's folder and four hex digits, of the conversation where it has
 * an id. `isFresh`: not the one it took, which somebody else has by now.
 */
export function firstName(
  config: Config,
  agent: Agent | undefined,
  conversation: string | undefined,
  isFresh = false,
): FirstName {
  const asked = askedName(config);
  if (asked) return { name: asked, by: "environment", workingOn: "" };
  const remembered =
    conversation === undefined || isFresh ? undefined : conversations(config).get(conversation);
  if (remembered)
    return { name: remembered.name, by: "set_name", workingOn: remembered.working_on };
  const given = inClaude(config, agent)?.name;
  if (given) return { name: fit(given), by: "user", workingOn: "" };
  const digits = createHash("sha256").update(conversation ?? randomBytes(16));
  const name = `${fit(basename(config.folder))}-${digits.digest("hex").slice(0, 4)}` as Name;
  return { name, by: "folder", workingOn: "" };
}

/** What Claude Code says of the session that this server belongs to; undefined under other clients. */
export function inClaude(
  { claudeDir }: Config,
  agent: Agent | undefined,
): ClaudeSession | undefined {
  return agent?.kind === "claude" ? claudeSession(claudeDir, agent.pid) : undefined;
}

/** IPC_SESSION_ID, where it can be a name. */
export function askedName({ sessionId, log }: Config): Name | undefined {
  const wanted = sessionId?.normalize("NFC");
  const problem = wanted && nameProblem(wanted);
  if (problem) log(`IPC_SESSION_ID not used: ${problem}`);
  return problem ? undefined : (wanted as Name | undefined);
}

/** Keeps a conversation's name in conversations.json. To be called under the lock of heartbeats.json. */
export function remember(
  config: Config,
  conversation: string,
  name: Name,
  workingOn: string,
): void {
  const all = conversations(config);
  all.set(conversation, { name, working_on: workingOn, seen: Date.now() });
  const recent = [...all].filter(([, { seen }]) => Date.now() - seen < MONTH_MS);
  writeWhole(
    join(config.dir, "conversations.json"),
    `${JSON.stringify(Object.fromEntries(recent), null, 2)}\n`,
  );
}

/** What is missing or odd is forgotten: such a conversation starts with a name made from its folder. */
function conversations({ dir }: Config): Map<string, Remembered> {
  const isRemembered = (value: Partial<Remembered> | null): boolean =>
    isName(String(value?.name)) &&
    typeof value?.working_on === "string" &&
    typeof value.seen === "number";
  try {
    const json: object = JSON.parse(readOwn(join(dir, "conversations.json"), MAX_BYTES).text);
    return new Map(Object.entries(json).filter(([, value]) => isRemembered(value)));
  } catch {
    return new Map();
  }
}

/** The name, with the first number behind it that nobody holds where somebody holds the name. */
export function freeName(name: Name, others: readonly Session[]): Name {
  let free = name;
  for (let n = 2; holderOf(free, others); n++) {
    const suffix = `-${n}`;
    free = `${[...name].slice(0, MAX_NAME - suffix.length).join("")}${suffix}` as Name;
  }
  return free;
}

/** Why the name cannot be had, and which can; undefined where nobody holds it. */
export function whyTaken(name: Name, others: readonly Session[]): string | undefined {
  const holder = holderOf(name, others);
  if (!holder) return undefined;
  const earlier = sameName(holder.name, name) ? "" : `, an earlier name of ${holder.name}`;
  const where = holder.entry.cwd ? ` in ${holder.entry.cwd}` : "";
  return `The name ${name} belongs to a session that is online${where}${earlier}. Call again with another name, for example ${freeName(name, others)}.`;
}
