import type { Config } from "../config.ts";
import type { Agent, ClientInfo } from "./agent.ts";
import { instructionsFor } from "./instructions.ts";

const MAX_ANSWER_BYTES = 8000;
/** Clients that are known not to show channel notifications to the model. */
const WITHOUT_CHANNELS = /opencode|copilot|gemini|qwen|codex/i;

/** Any other MCP client: a session of its own, to which mail is announced on its tool results. */
export function createOtherAgent(config: Config, client: ClientInfo): Agent {
  const showsChannels = !WITHOUT_CHANNELS.test(client.name);
  return {
    session: {
      client: client.name,
      mayJoin: () => true,
      conversation: () => undefined,
      givenName: () => undefined,
      folder: () => config.folder,
    },
    wakers: [],
    showsChannels,
    expectsChannel: showsChannels && config.push === "channel",
    toolPrefix: "",
    maxAnswerBytes: MAX_ANSWER_BYTES,
    instructions: instructionsFor({
      toolPrefix: "",
      dir: config.dir,
      arrival: 'Mail is announced by a line "t9-ipc: 2 new messages, from ...".',
    }),
    isIdle: () => undefined,
    identifyCaller: () => "session",
  };
}
