// The real Claude Code, for tests: started with an environment made from nothing, in a temporary
// home, with a scripted API on loopback as its only correspondent.

import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { removeFolder } from "../../support/folder.ts";
import { find, onPath } from "../find.ts";
import type { Api } from "./api.ts";
import { descendants, endTree, killTmux, openTerminal, send, type Terminal } from "./terminal.ts";

const PLATFORM = `claude-code-${process.platform}-${process.arch}`;
export const findClaude = () =>
  find({
    program: "claude",
    variable: "CLAUDE_BIN",
    package: "@anthropic-ai/claude-code",
    says: "Claude Code",
    places: [join(PLATFORM, "claude"), join(`${PLATFORM}-musl`, "claude")],
  });

/**
 * Made up; long enough for the client, which remembers the last 20 characters of an approved key.
 */
const API_KEY = "sk-ant-made-up-for-tests-0123456789abcdefghij";

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

export interface RunOptions {
  /** It is killed after so long. */
  ms?: number;
  env?: Record<string, string>;
}

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
  run(args: string[], options?: RunOptions): Promise<Output>;
  /** Has a prompt answered in print mode, `claude -p PROMPT ARGS`. */
  print(prompt: string, args?: string[], options?: RunOptions): Promise<Output>;
  /**
   * Starts an interactive session in a terminal and waits for its prompt, and until it has its
   * server's tools.
   */
  open(args?: string[]): Promise<Terminal>;
  /** Ends what was started and removes the home. */
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
      projects: {
        [project]: { hasTrustDialogAccepted: true, hasCompletedProjectOnboarding: true },
      },
    }),
  );
  const mode = options.mode ?? "default";
  // Claude Code asks once whether bypass mode is meant; this user has said yes.
  const bypass =
    mode === "bypassPermissions" ? { skipDangerousModePermissionPrompt: true } : undefined;
  if (options.settings || bypass) writeSettings(home, { ...bypass, ...options.settings });
  if (options.projectSettings) writeSettings(project, options.projectSettings);
  // Our own command line finds `claude` on PATH. Claude Code's git would go by ssh where the proxy
  // stops it.
  const bin = join(home, "bin");
  mkdirSync(bin);
  symlinkSync(realpathSync(options.claude), join(bin, "claude"));
  writeFileSync(join(bin, "ssh"), "#!/bin/sh\nexit 255\n", { mode: 0o755 });
  const env: Record<string, string> = {
    PATH: [
      ...new Set([
        bin,
        dirname(process.execPath),
        ...["tmux", "git", "sh"].map(folderOf),
        "/usr/bin",
        "/bin",
      ]),
    ]
      .filter(Boolean)
      .join(delimiter),
    HOME: home,
    USERPROFILE: home,
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
    // Tool search is on for users. A Messages API that is not Anthropic's turns it off, so this
    // turns it on again.
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
    run(args, { ms = 60_000, env: more = {} } = {}) {
      return new Promise((resolve, reject) => {
        const child = spawn(options.claude, [...(options.args ?? []), ...args], {
          cwd: project,
          env: { ...env, ...more },
        });
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
    print(prompt, args = [], around = {}) {
      // Print mode begins without a server that has not answered for some seconds. A busy machine
      // takes longer.
      const patient = { MCP_CONNECTION_NONBLOCKING: "0", ...around.env };
      return client.run([...inMode, ...args, "-p", prompt], { ...around, env: patient });
    },
    async open(args = []) {
      const log = join(home, `debug-${opened.length}.log`);
      const command = [
        options.claude,
        ...(options.args ?? []),
        ...inMode,
        "--debug-file",
        log,
        ...args,
      ];
      const terminal = await openTerminal(command, project, env, home, options.size);
      opened.push(terminal);
      // The last thing it does with a new server, and the only sign of it: what comes before finds
      // no tools yet.
      const connected = () =>
        existsSync(log) && /Channel notifications/.test(readFileSync(log, "utf8"));
      for (const end = Date.now() + 30_000; !connected(); await pause(25)) {
        if (Date.now() > end)
          throw new Error(`not connected with a server after 30 s; see the log:\n${tail(log)}`);
      }
      return terminal;
    },
    async close() {
      for (const end of running) await end();
      for (const terminal of opened) await terminal.close();
      await removeFolder(home);
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
    for (const socket of readdirSync(home).filter((name) => name.startsWith("tmux-")))
      killTmux(join(home, socket));
    rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.exit(1));

function folderOf(program: string): string {
  const path = onPath(program);
  return path ? dirname(path) : "";
}
