// A scripted Messages API on loopback. The real Claude Code talks to it as if it were the model's:
// a test's script decides each reply, and every request is kept, so that a test sees exactly what
// the model was shown. It is also the client's only proxy, and lets nothing through.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A tool call the scripted model makes. */
export interface ToolUse {
  tool: string;
  input: Record<string, unknown>;
}

/** What the scripted model answers: text, tool calls, or several of both in order. */
export type Reply = string | ToolUse | (string | ToolUse)[];

/**
 * Called once for each request of the main loop. Titles, quota checks and the like never reach it.
 */
export type Script = (request: ModelRequest) => Reply | Promise<Reply>;

interface Block {
  type: string;
  text?: string;
  id?: string;
  name?: string;
  tool_use_id?: string;
  is_error?: boolean;
  content?: string | Block[];
}

interface Message {
  role: string;
  content: string | Block[];
}

interface Body {
  model?: string;
  stream?: boolean;
  system?: string | Block[];
  messages?: Message[];
  tools?: { name: string; description?: string }[];
}

export interface ToolResult {
  /** The tool's name as the model called it. */
  tool: string;
  text: string;
  isError: boolean;
}

/** One request to /v1/messages, as the model would see it. */
export interface ModelRequest {
  /** Number of this request among those of its kind (main loop or side), from 0. */
  index: number;
  /** When it came, `Date.now()`. */
  at: number;
  /** The system prompt as one text. */
  system: string;
  /** Names of the tools on offer. */
  tools: string[];
  /**
   * All text that came since the model last spoke: what is new in this request, tool results
   * included.
   */
  last: string;
  /** The tool results in it. */
  results: ToolResult[];
  /** All text of all messages, oldest first. */
  transcript: string;
  /** The request as it came. */
  body: Body;
}

export interface Api {
  url: string;
  port: number;
  /** Requests of the main loop, oldest first. */
  requests: ModelRequest[];
  /** Titles, quota checks, topic detection: answered with a word, kept apart. */
  side: ModelRequest[];
  /** Every other request, as "METHOD /path". */
  other: string[];
  /** Hosts beyond loopback that the client asked its proxy for. All were refused. */
  refused: string[];
  /** Errors thrown by the script; the client was answered with an error. */
  errors: Error[];
  /**
   * Resolves with the first main-loop request, at or after `from`, that fits; rejects after `ms`.
   */
  waitFor(
    what: string,
    fits: (request: ModelRequest) => boolean,
    ms?: number,
    from?: number,
  ): Promise<ModelRequest>;
  close(): Promise<void>;
}

/** Starts the API on a free port of 127.0.0.1. */
export async function startApi(script: Script): Promise<Api> {
  const requests: ModelRequest[] = [];
  const side: ModelRequest[] = [];
  const other: string[] = [];
  const refused: string[] = [];
  const errors: Error[] = [];
  const waiting = new Set<() => void>();

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = req.url ?? "/";
    if (!url.startsWith("/")) {
      refused.push(url); // a plain-HTTP proxy request
      res.writeHead(403).end();
      return;
    }
    const path = url.split("?")[0];
    const text = await readAll(req);
    if (req.method !== "POST" || !path?.startsWith("/v1/messages")) {
      other.push(`${req.method} ${path}`);
      res.writeHead(req.method === "HEAD" ? 200 : 404, { "content-type": "application/json" });
      res.end(
        req.method === "HEAD" ? undefined : JSON.stringify(failure("not_found_error", "not here")),
      );
      return;
    }
    const body = JSON.parse(text) as Body;
    if (path.endsWith("/count_tokens")) {
      other.push(`POST ${path}`);
      json(res, { input_tokens: Math.ceil(text.length / 4) });
      return;
    }
    // Only the main loop is offered the shell; side requests come with no tools, or with one of
    // their own.
    const main = body.tools?.some(({ name }) => name === "Bash" || name === "PowerShell") ?? false;
    const list = main ? requests : side;
    const request = describe(body, list.length);
    list.push(request);
    let blocks: (string | ToolUse)[] = ["ok"];
    try {
      if (main) {
        const reply = await script(request);
        blocks = Array.isArray(reply) ? reply : [reply];
      }
    } catch (error) {
      errors.push(error as Error);
      res.writeHead(400, { "content-type": "application/json" });
      res.end(
        JSON.stringify(failure("invalid_request_error", `script: ${(error as Error).message}`)),
      );
      return;
    } finally {
      for (const wake of waiting) wake();
    }
    const id = `${main ? "main" : "side"}_${list.length}`;
    if (body.stream) stream(res, id, body.model ?? "model", blocks);
    else json(res, message(id, body.model ?? "model", blocks));
  }

  const server = createServer((req, res) => {
    answer(req, res).catch((error: Error) => {
      errors.push(error);
      res.destroy();
    });
  });
  server.on("connect", (req, socket) => {
    refused.push(req.url ?? "");
    socket.on("error", () => {});
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    side,
    other,
    refused,
    errors,
    waitFor(what, fits, ms = 30_000, from = 0) {
      return new Promise((resolve, reject) => {
        const look = () => {
          const found = requests.slice(from).find(fits);
          if (!found) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(found);
        };
        const timer = setTimeout(() => {
          waiting.delete(look);
          const last = requests.at(-1)?.last.slice(-2000) ?? "nothing";
          reject(
            new Error(
              `${what}: not seen in ${ms} ms; last of ${requests.length} requests:\n${last}`,
            ),
          );
        }, ms);
        waiting.add(look);
        look();
      });
    },
    close() {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
}

function describe(body: Body, index: number): ModelRequest {
  const messages = body.messages ?? [];
  // What came since the model last spoke: a user's message, and now and then one of role "system"
  // after it.
  const since = messages.slice(messages.findLastIndex((each) => each.role === "assistant") + 1);
  const called = new Map<string, string>();
  for (const each of messages) {
    if (typeof each.content === "string") continue;
    for (const block of each.content)
      if (block.type === "tool_use") called.set(block.id ?? "", block.name ?? "");
  }
  const blocks = since.flatMap((each) => (typeof each.content === "string" ? [] : each.content));
  return {
    index,
    at: Date.now(),
    system: textOf(body.system),
    tools: body.tools?.map((tool) => tool.name) ?? [],
    last: since.map((each) => textOf(each.content)).join("\n"),
    results: blocks
      .filter((block) => block.type === "tool_result")
      .map((block) => ({
        tool: called.get(block.tool_use_id ?? "") ?? "",
        text: textOf(block.content),
        isError: block.is_error === true,
      })),
    transcript: messages.map((each) => `[${each.role}] ${textOf(each.content)}`).join("\n"),
    body,
  };
}

/** The text in a message, in its blocks and in the tool results among them. */
function textOf(content: string | Block[] | undefined): string {
  if (content === undefined) return "";
  if (typeof content === "string") return content;
  return content.map((block) => block.text ?? textOf(block.content)).join("\n");
}

function contentOf(id: string, blocks: (string | ToolUse)[]) {
  return blocks.map((block, n) =>
    typeof block === "string"
      ? { type: "text", text: block }
      : { type: "tool_use", id: `toolu_${id}_${n}`, name: block.tool, input: block.input },
  );
}

function stopReason(blocks: (string | ToolUse)[]): string {
  return blocks.some((block) => typeof block !== "string") ? "tool_use" : "end_turn";
}

const usage = {
  input_tokens: 10,
  output_tokens: 5,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
};

function message(id: string, model: string, blocks: (string | ToolUse)[]) {
  const content = contentOf(id, blocks);
  return {
    id: `msg_${id}`,
    type: "message",
    role: "assistant",
    model,
    content,
    stop_reason: stopReason(blocks),
    stop_sequence: null,
    usage,
  };
}

function stream(
  res: ServerResponse,
  id: string,
  model: string,
  blocks: (string | ToolUse)[],
): void {
  res.writeHead(200, { "content-type": "text/event-stream" });
  const event = (type: string, data: object) => {
    res.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  };
  event("message_start", { message: { ...message(id, model, []), stop_reason: null } });
  for (const [index, block] of contentOf(id, blocks).entries()) {
    const input = "input" in block ? block.input : undefined;
    const empty = input ? { ...block, input: {} } : { type: "text", text: "" };
    const delta = input
      ? { type: "input_json_delta", partial_json: JSON.stringify(input) }
      : { type: "text_delta", text: "text" in block ? block.text : "" };
    event("content_block_start", { index, content_block: empty });
    event("content_block_delta", { index, delta });
    event("content_block_stop", { index });
  }
  event("message_delta", {
    delta: { stop_reason: stopReason(blocks), stop_sequence: null },
    usage,
  });
  event("message_stop", {});
  res.end();
}

function json(res: ServerResponse, data: object): void {
  res.writeHead(200, { "content-type": "application/json" });
  res.end(JSON.stringify(data));
}

function failure(type: string, text: string) {
  return { type: "error", error: { type, message: text } };
}

async function readAll(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
