// A scripted Responses API on loopback. The real Codex talks to it as if it were the model's: a
// test's script decides each reply, and every request is kept, so that a test sees what the model
// was shown. It is also the client's only proxy, and lets nothing through.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/**
 * A tool call that the scripted model makes: `who` for our `t9_ipc_who`, or one of Codex's own in
 * its namespace.
 */
export interface ToolUse {
  readonly tool: string;
  readonly namespace?: string;
  readonly input?: Readonly<Record<string, unknown>>;
}

/** What the scripted model answers: text, or a tool call. */
export type Reply = string | ToolUse;
/**
 * Called once for each request with tools. Requests for a title have none, and are answered with a
 * word.
 */
export type Script = (request: ModelRequest) => Reply | Promise<Reply>;

interface Item {
  readonly type: string;
  readonly role?: string;
  readonly content?: { readonly text?: string }[];
  readonly output?: string | { readonly text?: string }[];
}

/** One request, as the model would see it. */
export interface ModelRequest {
  /** The newest item where it is a user's message: what began this turn. Else "". */
  readonly prompt: string;
  /** The newest item where it is what a tool answered. Else "". */
  readonly result: string;
  /** Tools on offer, by namespace. */
  readonly tools: {
    readonly name?: string;
    readonly description?: string;
    readonly tools?: { readonly name: string }[];
  }[];
}

export class Api {
  /** Requests with tools, oldest first. */
  readonly requests: ModelRequest[] = [];
  /** Errors thrown by the script. The client saw its connection break. */
  readonly errors: unknown[] = [];
  readonly #server = createServer((request, response) => {
    this.#answer(request, response).catch((error) => {
      this.errors.push(error);
      response.destroy();
    });
  });
  readonly #script: Script;

  constructor(script: Script) {
    this.#script = script;
    this.#server.on("connect", (_, socket) => {
      socket.on("error", () => {}).end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
  }

  /** Listens on a free port of 127.0.0.1 until the test is over. */
  async listen(t: TestContext): Promise<this> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    t.after(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The user messages that began turns, oldest first. */
  prompts(): string[] {
    return this.requests.flatMap(({ prompt }) => prompt || []);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request) text += chunk;
    if (request.url !== "/v1/responses") {
      response.writeHead(404).end();
      return;
    }
    const { input = [], tools = [] } = JSON.parse(text) as {
      input?: Item[];
      tools?: ModelRequest["tools"];
    };
    let reply: Reply = "A title";
    if (tools.length > 0) {
      const last = input.at(-1);
      const prompt = last?.role === "user" ? textOf(last.content) : "";
      const asked = { prompt, result: textOf(last?.output), tools };
      this.requests.push(asked);
      reply = await this.#script(asked);
    }
    stream(response, reply);
  }
}

function textOf(content: Item["output"] = []): string {
  return typeof content === "string" ? content : content.map(({ text = "" }) => text).join("\n");
}

let replies = 0;

function stream(response: ServerResponse, reply: Reply): void {
  const id = ++replies;
  const event = (type: string, data: object): void => {
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  };
  const usage = { input_tokens: 1, output_tokens: 1, total_tokens: 2 };
  response.writeHead(200, { "content-type": "text/event-stream" });
  event("response.created", { response: { id: `response_${id}` } });
  event("response.output_item.done", { output_index: 0, item: itemOf(id, reply) });
  event("response.completed", { response: { id: `response_${id}`, usage } });
  response.end();
}

function itemOf(id: number, reply: Reply): object {
  if (typeof reply === "string") {
    return {
      type: "message",
      role: "assistant",
      id: `message_${id}`,
      content: [{ type: "output_text", text: reply }],
    };
  }
  const { tool, namespace, input = {} } = reply;
  const name = namespace
    ? { namespace, name: tool }
    : { namespace: "mcp__t9_ipc", name: `t9_ipc_${tool}` };
  return {
    type: "function_call",
    id: `function_${id}`,
    call_id: `call_${id}`,
    ...name,
    arguments: JSON.stringify(input),
  };
}
