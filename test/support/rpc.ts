// A JSON-RPC client that writes and reads bytes, for what the SDK's client would not send or would
// not show.

import assert from "node:assert/strict";
import { dirname } from "node:path";
import { envOf } from "./folder.ts";
import { Process, SERVE } from "./process.ts";
import { waitFor } from "./wait.ts";

export interface Line {
  readonly jsonrpc?: string;
  readonly id?: number | string | null;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: { isError?: boolean; content?: { text: string }[]; tools?: unknown[] };
  readonly error?: { code: number; message: string };
}

export interface RawOptions {
  /** Becomes IPC_SESSION_ID; default: alpha. */
  readonly name?: string;
  /** Beside PATH, HOME, IPC_DIR and IPC_SESSION_ID. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the built server. */
  readonly command?: readonly string[];
}

/** A server process spoken to in bytes. Nothing is said to it before `initialize`. */
export class RawServer extends Process {
  readonly dir: string;

  constructor(dir: string, { name = "alpha", env = {}, command = SERVE }: RawOptions = {}) {
    const own = { ...envOf(dir), IPC_SESSION_ID: name, ...env };
    super(command, { cwd: dirname(dir), env: own });
    this.dir = dir;
  }

  /** Writes a message as one line of JSON-RPC, or a text just as it is. */
  write(message: object | string): void {
    const text =
      typeof message === "string" ? message : `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`;
    this.child.stdin.write(text);
  }

  /**
   * Everything that came on stdout, without a last line that is not complete. Fails where a line is
   * no JSON-RPC.
   */
  lines(): Line[] {
    const lines = this.stdout.split("\n").slice(0, -1);
    return lines.map((text) => {
      const line: Line = JSON.parse(text);
      assert.equal(line.jsonrpc, "2.0", text);
      return line;
    });
  }

  /** The answer to the request with this id. */
  async answer(id: number | string): Promise<Line> {
    const found = () => this.lines().find((line) => line.id === id && !line.method);
    return waitFor(found, () => `an answer to ${id}; stderr: ${this.stderr.slice(-500)}`);
  }

  /** Shakes hands, as client `clientInfo`. */
  async initialize(clientInfo = { name: "raw", version: "1" }): Promise<this> {
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
    this.write({ id: 0, method: "initialize", params });
    await this.answer(0);
    this.write({ method: "notifications/initialized" });
    return this;
  }

  /** Calls a tool (`who` for `t9_ipc_who`) and does not wait. `meta` becomes `params._meta`. */
  call(id: number | string, tool: string, args: object = {}, meta?: object): void {
    const params = { name: `t9_ipc_${tool}`, arguments: args, ...(meta && { _meta: meta }) };
    this.write({ id, method: "tools/call", params });
  }
}
