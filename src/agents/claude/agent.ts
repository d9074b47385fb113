import type { Config } from "../../config.ts";
import type { System } from "../../core/system.ts";
import type { Waker } from "../../notify/waker.ts";
import type { Agent, Caller } from "../agent.ts";
import { instructionsFor } from "../instructions.ts";
import { identifyCaller } from "./callers.ts";
import { InboxSocket } from "./inbox-socket.ts";
import { ClaudeSession } from "./session.ts";
import { crossSessionInbound, settingsLayers } from "./settings.ts";
import { WakeFile } from "./wake-file.ts";

/** Claude Code cuts results near 25,000 tokens. This many bytes stay below that in any script. */
const MAX_ANSWER_BYTES = 40_000;
/** The fewest bytes that one token of our answers can have. */
const BYTES_PER_TOKEN = MAX_ANSWER_BYTES / 25_000;

const ARRIVAL =
  'A message arrives as <channel source="t9-ipc" from="NAME" subject="..." filename="...">body</channel>, or is announced by a line "t9-ipc: 2 new messages, from ...".';
const BUILT_IN = " The built-in SendMessage and ListAgents cannot reach these names.";

export function createClaudeAgent(config: Config, system: System): Agent {
  const { claude, claudeDir, folder, push } = config;
  const environment = { ...claude, claudeDir, folder, parent: process.ppid };
  const session = new ClaudeSession(environment, system);
  const expectsChannel =
    push === "channel" || (push === "auto" && claude.hasChannels && session.hasChannelFlag);
  const toolPrefix = claude.isPlugin ? "mcp__plugin_t9-ipc_t9-ipc__" : "mcp__t9-ipc__";
  const { maxOutputTokens } = claude;
  return {
    session,
    wakers: createWakers(config, session, system),
    showsChannels: true,
    expectsChannel,
    toolPrefix,
    maxAnswerBytes: Math.min(
      MAX_ANSWER_BYTES,
      Math.floor((maxOutputTokens ?? Number.POSITIVE_INFINITY) * BYTES_PER_TOKEN),
    ),
    instructions: instructionsFor({
      toolPrefix,
      dir: config.dir,
      arrival: ARRIVAL,
      builtIn: BUILT_IN,
    }),
    isIdle: () => session.isIdle(),
    identifyCaller: (meta, patienceMs): Caller | Promise<Caller> =>
      identifyCaller(claudeDir, session.conversation(), meta["claudecode/toolUseId"], patienceMs),
  };
}

/** The socket needs no flag; the hook works even if the user's settings keep notices from it. */
function createWakers(config: Config, session: ClaudeSession, system: System): Waker[] {
  const { push, claude, claudeDir, log } = config;
  const { socketPath: path, socketToken: token } = claude;
  const registered = () => session.registered();
  const wakers: Waker[] = [];
  if ((push === "auto" || push === "socket") && path && token) {
    const isHeld = () => holdsNotices(claudeDir, session.folder());
    wakers.push(new InboxSocket({ path, token, clock: system.clock, registered, isHeld }));
  }
  if (push === "socket" && wakers.length === 0) {
    log("IPC_PUSH=socket, but there is no inbox socket: mail is announced on tool results");
  }
  if (push === "auto" || push === "hook") {
    wakers.push(new WakeFile(config.wakeFolders, session.pid, system, registered));
  }
  return wakers;
}

/** True if the user's settings hold back lines that are posted to the inbox socket. */
function holdsNotices(claudeDir: string, folder: string): boolean {
  const rule = crossSessionInbound(settingsLayers(claudeDir, folder));
  return rule === "hold" || rule === "refuse";
}
