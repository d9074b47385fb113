import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import {
  CallToolRequestSchema,
  InitializeRequestSchema,
  LATEST_PROTOCOL_VERSION,
  ListToolsRequestSchema,
  SUPPORTED_PROTOCOL_VERSIONS,
  type Tool as ToolDefinition,
} from "@modelcontextprotocol/sdk/types.js";
import * as z from "zod";
import type { ClientInfo } from "../agents/agent.ts";
import type { Log } from "../core/log.ts";
import type { Clock } from "../core/system.ts";
import type { ChannelNotification } from "../notify/channel.ts";
import { callTool } from "./calls.ts";
import type { ToolContext } from "./session.ts";
import { TOOLS, type Tool } from "./tools.ts";

/** A longer line is not a tool call. */
const MAX_LINE_BYTES = 10 << 20;
const DISABLED = {
  isError: true,
  content: [{ type: "text" as const, text: "t9-ipc is switched off here: IPC_DISABLED is set." }],
};
const CAPABILITIES = { tools: {}, experimental: { "claude/channel": {} } };

export interface ServerOptions {
  readonly version: string;
  readonly log: Log;
  readonly clock: Clock;
  /** True to offer no tools at all. */
  readonly isDisabled: boolean;
  /** Opens the session when the client has said who it is. */
  readonly open: (client: ClientInfo) => Promise<ToolContext>;
  /** Called if the connection cannot be kept. */
  readonly onClose: () => void;
}

/** The MCP server with the five tools, over stdio. */
export function createMcpServer(options: ServerOptions) {
  const { version, log, clock, isDisabled, open, onClose } = options;
  const info = { name: "t9-ipc", version };
  // The handlers of the public `server` are used, as `parseArguments` explains.
  const { server } = new McpServer(info, { capabilities: CAPABILITIES });
  let session: Promise<ToolContext> | undefined;

  /** Some clients call a tool before they have initialized. */
  const ensureOpen = (client: ClientInfo = { name: "", version: "" }): Promise<ToolContext> => {
    session ??= open(client);
    return session;
  };

  server.setRequestHandler(InitializeRequestSchema, async ({ params }) => {
    const instructions = isDisabled
      ? undefined
      : (await ensureOpen(params.clientInfo)).agent.instructions;
    const isSupported = SUPPORTED_PROTOCOL_VERSIONS.includes(params.protocolVersion);
    return {
      protocolVersion: isSupported ? params.protocolVersion : LATEST_PROTOCOL_VERSION,
      capabilities: CAPABILITIES,
      serverInfo: info,
      ...(instructions !== undefined && { instructions }),
    };
  });

  server.setRequestHandler(ListToolsRequestSchema, async () => {
    if (isDisabled) return { tools: [] };
    const { notifier } = await ensureOpen();
    notifier.onToolsListed();
    return { tools: TOOLS.map(toDefinition) };
  });

  server.setRequestHandler(CallToolRequestSchema, async ({ params }, { signal }) => {
    if (isDisabled) return DISABLED;
    const { name, arguments: args, _meta: meta = {} } = params;
    return callTool(await ensureOpen(), { name, arguments: args, meta, signal }, clock, log);
  });

  server.onerror = (error) => log(`protocol: ${error.message.slice(0, 200)}`);

  async function connect(): Promise<void> {
    const { stdin, stdout } = process;
    await server.connect(
      new StdioServerTransport(stdin, stdout, { maxBufferSize: MAX_LINE_BYTES }),
    );
    stdin.resume();
  }

  // The transport gives up at a line that is too long. The rest of that line is refused by the next
  // transport, and the session lives on.
  server.onclose = () => void connect().catch(onClose);

  return {
    connect,
    sendToChannel: (params: ChannelNotification) =>
      server.notification({ method: "notifications/claude/channel", params: { ...params } }),
  };
}

function toDefinition({ schema, title, annotations, ...tool }: Tool): ToolDefinition {
  const { $schema: _, ...inputSchema } = z.toJSONSchema(schema, { io: "input" });
  return {
    name: tool.name,
    title,
    description: tool.description,
    annotations: { title, ...annotations },
    inputSchema: inputSchema as ToolDefinition["inputSchema"],
    _meta: tool._meta,
  };
}
