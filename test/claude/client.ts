// The real Claude Code, for tests: found or fetched, started with an environment made from nothing, in a
// temporary home, with a scripted API on loopback as its only correspondent.

import { execFile, execFileSync, spawn } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Api } from "./api.ts";

const run = promisify(execFile);

/** Made up; long enough for the client, which remembers the last 20 characters of an approved key. */
const API_KEY = "sk-ant-made-up-for-tests-0123456789abcdefghij";

export type Found = { claude: string; reason?: undefined } | { claude?: undefined; reason: string };

/**
 * The real client: CLAUDE_BIN, else `claude` on PATH, else, with `fetch`, the newest from the npm registry
 * in a folder under the system's temporary one, kept for the next run (about 370 MB).
 */
export function findClaude({ fetch = false }: { fetch?: boolean } = {}): Found {
  const asked = process.env.CLAUDE_BIN;
  if (asked) return isProgram(asked) ? { claude: asked } : { reason: `CLAUDE_BIN is not a program: ${asked}` };
  const found = onPath("claude");
  if (found) return { claude: found };
  const folder = join(tmpdir(), `t9-ipc-claude-code-${userInfo().username}`);
  if (existsSync(folder) && statSync(folder).uid !== userInfo().uid) return { reason: `${folder} is not ours` };
  const kept = binaryIn(folder);
  if (kept) return { claude: kept };
  if (!fetch) return { reason: "no claude: set CLAUDE_BIN, put it on PATH, or run `npm run test:clients`" };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", "@anthropic-ai/claude-code@latest"];
    execFileSync("npm", args, { stdio: "pipe", timeout: 300_000 });
  } catch (error) {
    return { reason: `npm could not fetch @anthropic-ai/claude-code: ${(error as Error).message.split("\n")[0]}` };
  }
  const fetched = binaryIn(folder);
  return fetched ? { claude: fetched } : { reason: "@anthropic-ai/claude-code was fetched, but does not run here" };
}

/** The package's own link, or, where npm skipped the install script that makes it, the platform's binary. */
function binaryIn(folder: string): string | undefined {
  const scope = join(folder, "node_modules", "@anthropic-ai");
  const platform = `claude-code-${process.platform}-${process.arch}`;
  const places = [
    join(folder, "node_modules", ".bin", "claude"),
    join(scope, platform, "claude"),
    join(scope, `${platform}-musl`, "claude"),
  ];
  return places.find((path) => isProgram(path) && answers(path));
}

function answers(path: string): boolean {
  try {
    const env = { PATH: dirname(process.execPath), HOME: tmpdir() };
    return execFileSync(path, ["--version"], { encoding: "utf8", stdio: "pipe", env }).includes("Claude Code");
  } catch {
    return false;
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

/** Why an interactive session cannot be had here, or false: node:test's `skip`. */
export const noTerminal: string | false = !onPath("tmux") && "no tmux on PATH to run an interactive session in";

export interface ClientOptions {
  claude: string;
  api: Api;
  /** Name of the project's folder; our server makes the session's name of it. */
  project?: string;
  /** Added to the environment, which is otherwise made from nothing. */
  env?: Record<string, string>;
  /** ~/.claude/settings.json; without it there is none, so that nothing is allowed. */
  settings?: Record<string, unknown>;
  /** The project's .claude/settings.json. */
  projectSettings?: Record<string, unknown>;
  /** The permission mode that sessions start in: `default`, which asks before most things. */
  mode?: Mode;
  /** Arguments given at every start. */
  args?: string[];
  /** The terminal's columns and rows. */
  size?: [number, number];
}

export const MODES = ["default", "acceptEdits", "plan", "auto", "bypassPermissions"] as const;
export type Mode = (typeof MODES)[number];

export interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

/** A home, a project in it, and the means to start Claude Code there. */
export interface Client {
  home: string;
  project: string;
  env: Record<string, string>;
  /** Runs `claude ARGS` to its end: `mcp list` and the like. */
  run(args: string[], options?: { ms?: number }): Promise<Output>;
  /** Has a prompt answered in print mode, `claude -p PROMPT ARGS`. */
  print(prompt: string, args?: string[], options?: { ms?: number }): Promise<Output>;
  /** Starts an interactive session in a terminal and waits for its prompt, and until it has its server's tools. */
  open(args?: string[]): Promise<Terminal>;
  /** Ends what was started and removes the home. */
  close(): Promise<void>;
}

export interface Terminal {
  /** Process id of Claude Code. */
  pid: number;
  /** Types a text and presses Enter. */
  type(text: string): Promise<void>;
  /** Presses a key by tmux's name for it: `Escape`, `C-c`, `Enter`. */
  press(key: string): Promise<void>;
  /** What the terminal shows now; with `styled`, colours and weights as escape sequences in it. */
  screen(styled?: boolean): Promise<string>;
  waitForScreen(pattern: RegExp, ms?: number): Promise<string>;
  /** Process ids of what the session has started: servers, hooks, tools. */
  children(): number[];
  /** Ends the session and all it runs in. Safe to call twice. */
  close(): Promise<void>;
}

/** Makes the home. Nothing runs yet. */
export function makeClient(options: ClientOptions): Client {
  // The real path: Claude Code keys its trust by it (macOS has /tmp behind a link).
  const home = realpathSync(mkdtempSync(join(tmpdir(), "t9-claude-")));
  homes.add(home);
  const project = join(home, options.project ?? "project");
  mkdirSync(project);
  mkdirSync(join(home, "tmp"));
  writeFileSync(
    join(home, ".claude.json"),
    JSON.stringify({
      hasCompletedOnboarding: true,
      customApiKeyResponses: { approved: [API_KEY.slice(-20)], rejected: [] },
      projects: { [project]: { hasTrustDialogAccepted: true, hasCompletedProjectOnboarding: true } },
    }),
  );
  const mode = options.mode ?? "default";
  // Claude Code asks once whether bypass mode is meant; this user has said yes.
  const bypass = mode === "bypassPermissions" ? { skipDangerousModePermissionPrompt: true } : undefined;
  if (options.settings || bypass) writeSettings(home, { ...bypass, ...options.settings });
  if (options.projectSettings) writeSettings(project, options.projectSettings);
  // Our own command line finds `claude` on PATH. Claude Code's git would go by ssh where the proxy stops it.
  const bin = join(home, "bin");
  mkdirSync(bin);
  symlinkSync(realpathSync(options.claude), join(bin, "claude"));
  writeFileSync(join(bin, "ssh"), "#!/bin/sh\nexit 255\n", { mode: 0o755 });
  const env: Record<string, string> = {
    PATH: [...new Set([bin, dirname(process.execPath), ...["tmux", "git", "sh"].map(folderOf), "/usr/bin", "/bin"])]
      .filter(Boolean)
      .join(delimiter),
    HOME: home,
    TMPDIR: join(home, "tmp"),
    SHELL: "/bin/sh",
    TERM: "xterm-256color",
    LANG: "C.UTF-8",
    ANTHROPIC_BASE_URL: options.api.url,
    ANTHROPIC_API_KEY: API_KEY,
    // Loopback and nothing else: the API is the proxy for every other host, and refuses.
    HTTP_PROXY: options.api.url,
    HTTPS_PROXY: options.api.url,
    NO_PROXY: "127.0.0.1,localhost",
    DISABLE_AUTOUPDATER: "1",
    CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL: "1",
    // Tool search is on for users. A Messages API that is not Anthropic's turns it off, so this turns it on again.
    ENABLE_TOOL_SEARCH: "true",
    // Root may use bypass mode in a sandbox only.
    ...(bypass && { IS_SANDBOX: "1" }),
    ...options.env,
  };
  // Said at each start: a user who has never chosen a mode is asked to choose one, in a dialog.
  const inMode = ["--permission-mode", mode];
  const opened: Terminal[] = [];
  const running = new Set<() => Promise<void>>();

  const client: Client = {
    home,
    project,
    env,
    run(args, { ms = 60_000 } = {}) {
      return new Promise((resolve, reject) => {
        const child = spawn(options.claude, [...(options.args ?? []), ...args], { cwd: project, env });
        const end = () => endTree(child.pid);
        running.add(end);
        let stdout = "";
        let stderr = "";
        child.stdout.setEncoding("utf8").on("data", (text: string) => {
          stdout += text;
        });
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          stderr += text;
        });
        const timer = setTimeout(() => {
          void end();
          reject(new Error(`claude ${args.join(" ")}: not done in ${ms} ms\n${stdout}\n${stderr}`));
        }, ms);
        child.on("error", reject);
        child.on("close", (code) => {
          clearTimeout(timer);
          running.delete(end);
          resolve({ code: code ?? -1, stdout, stderr });
        });
        child.stdin.on("error", () => {});
        child.stdin.end();
      });
    },
    print: (prompt, args = [], limits) => client.run([...inMode, ...args, "-p", prompt], limits),
    async open(args = []) {
      const log = join(home, `debug-${opened.length}.log`);
      const command = [options.claude, ...(options.args ?? []), ...inMode, "--debug-file", log, ...args];
      const terminal = await openTerminal(command, project, env, home, options.size);
      opened.push(terminal);
      // The last thing it does with a new server, and the only sign of it: what comes before finds no tools yet.
      const connected = () => existsSync(log) && /Channel notifications/.test(readFileSync(log, "utf8"));
      for (const end = Date.now() + 30_000; !connected(); await pause(25)) {
        if (Date.now() > end) throw new Error(`not connected with a server after 30 s; see the log:\n${tail(log)}`);
      }
      return terminal;
    },
    async close() {
      for (const end of running) await end();
      for (const terminal of opened) await terminal.close();
      rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
      homes.delete(home);
    },
  };
  return client;
}

const tail = (file: string): string => readFileSync(file, "utf8").split("\n").slice(-20).join("\n");

function writeSettings(folder: string, settings: Record<string, unknown>): void {
  mkdirSync(join(folder, ".claude"));
  writeFileSync(join(folder, ".claude", "settings.json"), JSON.stringify(settings));
}

/** Homes in use. Whatever ends this process, nothing stays behind in them or of them. */
const homes = new Set<string>();
process.on("exit", () => {
  if (homes.size === 0) return;
  for (const pid of descendants(process.pid)) send(pid, "SIGKILL");
  for (const home of homes) {
    for (const socket of readdirSync(home).filter((name) => name.startsWith("tmux-"))) killTmux(join(home, socket));
    rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

function killTmux(socket: string): void {
  try {
    const server = Number(
      execFileSync("tmux", ["-S", socket, "display-message", "-p", "#{pid}"], { encoding: "utf8" }),
    );
    for (const pid of [...descendants(server), server]) send(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

function folderOf(program: string): string {
  const path = onPath(program);
  return path ? dirname(path) : "";
}

/** Hangs a process up, waits for what it started (servers, hooks) to end, and kills what has not. */
async function endTree(pid: number | undefined): Promise<void> {
  if (pid === undefined) return;
  const kin = descendants(pid);
  send(pid, "SIGHUP");
  await haveEnded(kin, 2000);
  for (const each of [pid, ...kin]) send(each, "SIGKILL");
}

/** Waits until none of these processes runs; false where one still does after `ms`. */
export async function haveEnded(pids: readonly number[], ms = 30_000): Promise<boolean> {
  const someRun = () => processes().some(({ pid }) => pids.includes(pid));
  for (const end = Date.now() + ms; someRun(); await pause(100)) if (Date.now() > end) return false;
  return true;
}

/** The processes below this one. Hooks lead groups of their own, so no group holds them all. */
function descendants(pid: number): number[] {
  const all = processes();
  const found: number[] = [];
  for (let from = [pid]; from.length > 0; ) {
    from = all.filter((each) => from.includes(each.parent)).map((each) => each.pid);
    found.push(...from);
  }
  return found;
}

/** Those that run. One that has ended and that nobody has asked after would still be listed, as Z. */
function processes(): { pid: number; parent: number }[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat="], { encoding: "utf8" }).trim().split("\n");
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , state]) => !state?.startsWith("Z"))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }));
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended by itself
  }
}

async function openTerminal(
  command: string[],
  cwd: string,
  env: Record<string, string>,
  home: string,
  [columns, rows] = [160, 50],
): Promise<Terminal> {
  // A tmux server of its own, with no configuration; its socket goes away with the home.
  const socket = join(home, `tmux-${Math.random().toString(36).slice(2, 8)}`);
  const tmux = async (...args: string[]) =>
    (await run("tmux", ["-S", socket, "-f", "/dev/null", ...args], { env })).stdout;
  const start = `start-server ; set-option -g remain-on-exit on ; new-session -d -s main -x ${columns} -y ${rows} -c`;
  await tmux(...start.split(" "), cwd, "--", "env", "-u", "TMUX", "-u", "TMUX_PANE", ...command);
  const pid = Number(await tmux("display-message", "-p", "-t", "main", "#{pane_pid}"));
  let closed = false;

  const terminal: Terminal = {
    pid,
    async type(text) {
      await tmux("send-keys", "-t", "main", "-l", text);
      await tmux("send-keys", "-t", "main", "Enter");
    },
    async press(key) {
      await tmux("send-keys", "-t", "main", key);
    },
    children: () => descendants(pid),
    screen: (styled) => tmux("capture-pane", "-p", ...(styled ? ["-e"] : []), "-t", "main"),
    async waitForScreen(pattern, ms = 30_000) {
      const end = Date.now() + ms;
      for (;;) {
        const screen = await terminal.screen();
        if (pattern.test(screen)) return screen;
        if (Date.now() > end) throw new Error(`${pattern}: not on the screen in ${ms} ms:\n${screen}`);
        await pause(50);
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      await endTree(pid);
      await tmux("kill-server").catch(() => {});
    },
  };
  try {
    await terminal.waitForScreen(/^[❯>]/m); // an answer to choose in a dialog is indented
  } catch (error) {
    await terminal.close();
    throw error;
  }
  return terminal;
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
