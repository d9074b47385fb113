// A terminal to run Claude Code in, and the processes that it starts there.

import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

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

/**
 * Starts a command in a terminal of its own and waits for Claude Code's prompt. Its socket is in
 * `home`.
 */
export async function openTerminal(
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
        if (Date.now() > end)
          throw new Error(`${pattern}: not on the screen in ${ms} ms:\n${screen}`);
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

/** Kills a tmux server, by its socket, with all that runs in it. */
export function killTmux(socket: string): void {
  try {
    const server = Number(
      execFileSync("tmux", ["-S", socket, "display-message", "-p", "#{pid}"], { encoding: "utf8" }),
    );
    for (const pid of [...descendants(server), server]) send(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

/**
 * Hangs a process up, waits for what it started (servers, hooks) to end, and kills what has not.
 */
export async function endTree(pid: number | undefined): Promise<void> {
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
export function descendants(pid: number): number[] {
  const all = processes();
  const found: number[] = [];
  for (let from = [pid]; from.length > 0; ) {
    from = all.filter((each) => from.includes(each.parent)).map((each) => each.pid);
    found.push(...from);
  }
  return found;
}

/**
 * Those that run. One that has ended and that nobody has asked after would still be listed, as Z.
 */
function processes(): { pid: number; parent: number }[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat="], { encoding: "utf8" })
    .trim()
    .split("\n");
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , state]) => !state?.startsWith("Z"))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }));
}

export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended by itself
  }
}
