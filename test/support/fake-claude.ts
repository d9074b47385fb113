// A stand-in for one running Claude Code: a living process, what Claude Code writes about it into
// its folder, and the environment that it gives its servers.

import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { diskFiles } from "../../src/core/files.ts";
import { createProcessTable } from "../../src/core/process.ts";
import { homeOf, socketOf } from "./folder.ts";
import { endWithFolder, Process, waiting } from "./process.ts";
import { type Options, startSession, type TestSession } from "./session.ts";

const processes = createProcessTable();

export interface FakeOptions {
  /** The id of the conversation that is open; default: one that no other stand-in has. */
  readonly conversation?: string;
  /** The folder that the session works in, below the data folder's parent; default: `shop`. */
  readonly project?: string;
  /** Further arguments that it was started with. */
  readonly flags?: readonly string[];
  /** Further fields of its `sessions/PID.json`. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Claude Code's folder; default: `.claude` in the home folder. */
  readonly claudeDir?: string;
  /** True if it opens its inbox socket. */
  readonly listens?: boolean;
}

let count = 0;
/** A conversation's id as Claude Code makes them. */
export const newConversation = (): string =>
  `4a6f2c1e-0000-4000-8000-${String(++count).padStart(12, "0")}`;

export class FakeClaude {
  readonly process: Process;
  readonly claudeDir: string;
  readonly folder: string;
  readonly socketPath: string;
  /** What was posted to the inbox socket. */
  readonly posts: string[] = [];
  /** The conversation that was open when it started its servers, which is all these are told. */
  readonly #first: string;
  #fields: Record<string, unknown>;
  #server: Server | undefined;

  constructor(
    readonly dir: string,
    { conversation, project = "shop", flags = [], fields = {}, claudeDir }: FakeOptions = {},
  ) {
    const root = dirname(dir);
    this.claudeDir = claudeDir ?? join(homeOf(dir), ".claude");
    this.folder = join(root, project);
    mkdirSync(this.folder, { recursive: true });
    this.process = new Process(waiting("claude", ...flags), { cwd: root });
    this.socketPath = socketOf(dir, `${this.pid}.sock`);
    this.#first = conversation ?? newConversation();
    this.#fields = {
      pid: this.pid,
      procStart: processes.startOf(this.pid),
      sessionId: this.#first,
      cwd: this.folder,
      startedAt: Date.now(),
      kind: "interactive",
      entrypoint: "cli",
      messagingSocketPath: this.socketPath,
      status: "idle",
      statusUpdatedAt: Date.now(),
      ...fields,
    };
    this.register({});
  }

  get pid(): number {
    return this.process.pid;
  }

  get conversation(): string {
    return String(this.#fields.sessionId);
  }

  /** Rewrites `sessions/PID.json` with these fields; undefined removes one. */
  register(fields: Readonly<Record<string, unknown>>): void {
    this.#fields = { ...this.#fields, ...fields };
    const folder = join(this.claudeDir, "sessions");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${this.pid}.json`);
    writeFileSync(`${path}.tmp`, JSON.stringify(this.#fields));
    // Windows refuses while a server reads the file.
    diskFiles.rename(`${path}.tmp`, path);
  }

  /** Leaves `sessions/PID.json` as it is in the middle of being rewritten. */
  writeTorn(): void {
    writeFileSync(join(this.claudeDir, "sessions", `${this.pid}.json`), '{"pid":');
  }

  setStatus(status: "busy" | "idle" | "waiting", waitingFor?: string): void {
    this.register({ status, waitingFor, statusUpdatedAt: Date.now() });
  }

  /** /resume, /clear or /branch: another conversation in the same process. */
  open(conversation = newConversation()): string {
    this.register({ sessionId: conversation });
    return conversation;
  }

  /** Opens the inbox socket, and keeps what is posted there. */
  async listen(): Promise<void> {
    const server = createServer((connection) => {
      let text = "";
      connection.on("data", (chunk) => {
        text += chunk;
      });
      connection.on("error", () => {});
      connection.on("end", () => {
        const [, posted = "{}"] = text.split("\n");
        this.posts.push(JSON.parse(posted).message?.content ?? text);
        connection.end();
      });
    });
    await new Promise<void>((done) => server.listen(this.socketPath, done));
    this.#server = server;
    endWithFolder({ folder: dirname(this.dir), close: () => this.#close() });
  }

  #close(): Promise<void> {
    return new Promise((done) => {
      if (this.#server) this.#server.close(() => done());
      else done();
    });
  }

  /** The environment of its servers, hooks and tools. */
  get env(): Record<string, string> {
    return {
      CLAUDECODE: "1",
      CLAUDE_PROJECT_DIR: this.folder,
      CLAUDE_CODE_SESSION_ID: this.#first,
      CLAUDE_CODE_MESSAGING_SOCKET: this.socketPath,
      CLAUDE_CODE_MESSAGING_TOKEN: "token",
      ...(this.claudeDir !== join(homeOf(this.dir), ".claude") && {
        CLAUDE_CONFIG_DIR: this.claudeDir,
      }),
    };
  }

  /** Starts a server as Claude Code does: it tells of itself, and asks for the tools. */
  async serve(
    name?: string,
    { env = {}, ...options }: Partial<Options> = {},
  ): Promise<TestSession> {
    const session = await startSession(name, {
      dir: this.dir,
      cwd: this.folder,
      client: "claude-code",
      ...options,
      env: { ...this.env, ...env },
    });
    await session.client.listTools();
    return session;
  }

  /** A sub-agent starts: its description is there, and its transcript not yet. */
  startSubAgent(agent: string): void {
    const folder = join(this.claudeDir, "projects", "-shop", this.conversation, "subagents");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `agent-${agent}.meta.json`), "{}");
  }

  /** Writes a line into the transcript of the open conversation, or of a sub-agent of it. */
  writeTranscript(toolUseId: string, agent?: string): void {
    const projects = join(this.claudeDir, "projects", "-shop");
    const folder = join(projects, this.conversation, "subagents");
    mkdirSync(agent === undefined ? projects : folder, { recursive: true });
    const path =
      agent === undefined
        ? join(projects, `${this.conversation}.jsonl`)
        : join(folder, `agent-${agent}.jsonl`);
    const line = { type: "assistant", message: { content: [{ type: "tool_use", id: toolUseId }] } };
    writeFileSync(path, `${JSON.stringify(line)}\n`, { flag: "a" });
  }

  /** The process ends, and its servers with it. */
  async end(...servers: readonly TestSession[]): Promise<void> {
    await Promise.all([this.process.kill(), ...servers.map((server) => server.close())]);
  }
}

/** A stand-in, with its inbox socket open if that is asked for. */
export async function fakeClaude(dir: string, options: FakeOptions = {}): Promise<FakeClaude> {
  const claude = new FakeClaude(dir, options);
  if (options.listens) await claude.listen();
  return claude;
}
