// The real Codex, for tests: found or fetched, started with an environment made from nothing, in a
// temporary home, with a scripted API on loopback as its only correspondent.

import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { homeOf } from "../../support/folder.ts";
import { endWithFolder, isRunning, Process, SERVER } from "../../support/process.ts";
import { waitFor } from "../../support/wait.ts";
import { find, onPath } from "../find.ts";
import type { Api } from "./api.ts";

export const findCodex = () =>
  find({ program: "codex", variable: "CODEX_BIN", package: "@openai/codex", says: "codex-cli" });

/** A home with Codex in it, and our server registered there as a user would do it. */
export class Codex {
  readonly dir: string;
  readonly project: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #program: string;
  readonly #terminals: Terminal[] = [];

  /** `dir` is the data folder of `tempDir`, which Codex's servers are told to use. */
  constructor(program: string, dir: string, api: Api) {
    this.dir = dir;
    this.#program = program;
    const home = homeOf(dir);
    this.project = join(home, "project");
    const folders = [
      dirname(program),
      dirname(process.execPath),
      dirname(onPath("tmux") ?? ""),
      "/usr/bin",
      "/bin",
    ];
    this.env = {
      PATH: [...new Set(folders)].join(delimiter),
      HOME: home,
      USERPROFILE: home,
      TMPDIR: join(home, "tmp"),
      SHELL: "/bin/sh",
      TERM: "xterm-256color",
      LANG: "C.UTF-8",
      MADE_UP_KEY: "made-up",
      IPC_DIR: dir,
      // Loopback and nothing else: the API is the proxy for every other host, and refuses.
      HTTP_PROXY: api.url,
      HTTPS_PROXY: api.url,
      NO_PROXY: "127.0.0.1,localhost",
    };
    mkdirSync(this.project);
    mkdirSync(join(home, "tmp"));
    mkdirSync(join(home, ".codex"));
    writeFileSync(
      join(home, ".codex", "config.toml"),
      `model = "scripted"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "${api.url}/v1"
wire_api = "responses"
env_key = "MADE_UP_KEY"
requires_openai_auth = false
supports_websockets = false

[projects."${this.project}"]
trust_level = "trusted"
`,
    );
    endWithFolder({ folder: dir, close: () => this.#close() });
  }

  /** Registers our server. */
  async setUp(): Promise<this> {
    const setup = new Process([process.execPath, SERVER, "setup", "--codex"], {
      cwd: this.project,
      env: this.env,
    });
    setup.child.stdin.end();
    if ((await setup.ended) !== 0) throw new Error(`setup --codex: ${setup.stderr}`);
    return this;
  }

  /** Starts `codex ARGS`. */
  start(...args: readonly string[]): Process {
    const codex = new Process([this.#program, ...args], { cwd: this.project, env: this.env });
    codex.child.stdin.end();
    return codex;
  }

  /** Starts an interactive session and waits until it takes input. */
  async open(...args: readonly string[]): Promise<Terminal> {
    const terminal = new Terminal(
      join(homeOf(this.dir), `tmux-${this.#terminals.length}`),
      this.env,
    );
    this.#terminals.push(terminal);
    await terminal.open(this.project, [this.#program, ...args]);
    return terminal;
  }

  /**
   * The process that all interactive sessions share, and that starts their servers; 0 where none
   * has been started.
   */
  daemon(): number {
    try {
      const folder = join(homeOf(this.dir), ".codex", "app-server-daemon");
      return JSON.parse(readFileSync(join(folder, "daemon.pid"), "utf8")).pid;
    } catch {
      return 0;
    }
  }

  async #close(): Promise<void> {
    for (const terminal of this.#terminals) await terminal.close();
    const lines = execFileSync("ps", ["-A", "-ww", "-o", "pid=,args="], { encoding: "utf8" })
      .trim()
      .split("\n");
    const packages = join(homeOf(this.dir), ".codex", "packages");
    const pids = lines
      .filter((line) => line.includes(packages))
      .map((line) => Number.parseInt(line, 10));
    for (const pid of pids) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    await waitFor(() => !pids.some(isRunning), "the end of Codex's daemon");
  }
}

const isEmpty = (screen: string): boolean => screen.includes("Ask Codex to do anything");

/** A terminal of tmux's, with a tmux server of its own and no configuration. */
export class Terminal {
  readonly #socket: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(socket: string, env: Readonly<Record<string, string>>) {
    this.#socket = socket;
    this.#env = env;
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const command = ["-S", this.#socket, "-f", "/dev/null", ...args];
    return (await promisify(execFile)("tmux", command, { env: this.#env })).stdout;
  }

  async open(cwd: string, command: readonly string[]): Promise<void> {
    await this.#tmux(
      "new-session",
      "-d",
      "-x",
      "160",
      "-y",
      "50",
      "-c",
      cwd,
      "--",
      "env",
      "-u",
      "TMUX",
      ...command,
    );
    await this.#shows("an empty prompt", isEmpty);
  }

  async #shows(what: string, isSo: (screen: string) => boolean, ms?: number): Promise<void> {
    let screen = "";
    const seen = async () => {
      screen = await this.#tmux("capture-pane", "-p");
      return isSo(screen);
    };
    await waitFor(seen, () => `${what}; the screen shows:\n${screen}`, ms);
  }

  /**
   * Types a text and presses Enter, again where Codex was not ready for the first. Waits for the
   * end of a turn first, since some commands are refused before.
   */
  async type(text: string): Promise<void> {
    await this.#shows("the end of the turn", (screen) => !screen.includes("esc to interrupt"));
    await this.#tmux("send-keys", "-l", text);
    await this.#shows("the text", (screen) => screen.includes(`› ${text}`));
    await waitFor(async () => {
      await this.#tmux("send-keys", "Enter");
      return this.#shows("an empty prompt", isEmpty, 2000).then(
        () => true,
        () => false,
      );
    }, `Codex to take: ${text}`);
  }

  async close(): Promise<void> {
    await this.#tmux("kill-server").catch(() => {}); // It ends with what ran in it.
  }
}
