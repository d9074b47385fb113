// Every command of README and data/README runs here word for word, or is listed with the reason why
// it does not. A command is a line of an `sh` block, or inline code that starts with a program.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { run } from "../support/command.ts";
import { binOf, envOf, homeOf, tempDir } from "../support/folder.ts";
import { mail, stamp, writeMail } from "../support/mail.ts";
import { Process, SERVER } from "../support/process.ts";
import { startSession } from "../support/session.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** The place of the clone, as the pages write it. */
const CLONE = "/absolute/path/to/t9-ipc";
const PAGES = ["README.md", "data/README.md"].map((path) => readFileSync(join(ROOT, path), "utf8"));

const COMMENT = /\s+# .*$/;
/** Inline code is a command if it starts with one of these. */
const PROGRAM = /^(node|npm|npx|claude|codex|t9-ipc|grep|cat|printf|sshfs|ssh) ./;

/** The lines of `sh` blocks, without comments; a line that ends with a backslash goes on. */
function blockCommands(page: string): string[] {
  return [...page.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) =>
    block
      .replace(/\\\n\s*/g, "")
      .split("\n")
      .map((line) => line.replace(COMMENT, ""))
      .filter((line) => line !== "" && !line.startsWith("#")),
  );
}

function inlineCommands(page: string): string[] {
  const prose = page.replace(/^```.*?^```$/gms, "");
  const codes = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  return codes.filter((code) => PROGRAM.test(code));
}

const COMMANDS = new Set(
  PAGES.flatMap((page) => [...blockCommands(page), ...inlineCommands(page)]).flatMap((line) =>
    line.split(" && "),
  ),
);

/** A folder that looks like the clone, with its data folder in the usual place. */
interface Scene {
  readonly clone: string;
  readonly dir: string;
}

interface Run {
  /** What is there before: sessions, mail. Returns what is to be true afterwards. */
  prepare?(scene: Scene): Promise<() => Promise<unknown>>;
  /** Programs beside `node` and `t9-ipc` on PATH. Nothing else of this machine is found there. */
  readonly programs?: readonly string[];
  readonly prints?: RegExp;
}

const RUNS: Readonly<Record<string, Run>> = {
  "npm run demo": { programs: ["npm", "sh"], prints: /channel notification is there/ },
  "node dist/server.js setup": {
    async prepare({ dir }) {
      return async () => {
        const { mcpServers } = JSON.parse(readFileSync(join(homeOf(dir), ".claude.json"), "utf8"));
        const named = JSON.stringify(entryInReadme().args).replace(CLONE, realpathSync(ROOT));
        assert.deepEqual(JSON.parse(named), mcpServers["t9-ipc"].args);
      };
    },
    prints: /^It works: two servers/m,
  },
  "node dist/server.js setup --statusline": { prints: /^The status line in .+ shows t9-ipc/m },
  "node dist/server.js setup --codex": { prints: /^Added t9-ipc to .+config\.toml/m },
  "t9-ipc log": { prints: /^$/ },
  'echo "tests failed" | t9-ipc send api-tests "build failed" -': {
    async prepare({ dir }) {
      const session = await startSession("api-tests", { dir });
      return () => session.waitForPush(({ content }) => content === "tests failed");
    },
    prints: /^Stored as .+-api-tests-build_failed\.md\. api-tests is online/,
  },
  "grep -l 'to: web' data/ipc/inbox/*.md": {
    async prepare({ dir }) {
      for (const to of ["api", "web"]) {
        const file = `${stamp()}-0a1b2c3d-me-${to}-x.md`;
        writeMail(dir, file, mail({ from: "me", to, subject: "x" }));
      }
      return async () => {};
    },
    programs: ["grep"],
    prints: /^data\/ipc\/inbox\/\d{8}T\d{12}-0a1b2c3d-me-web-x\.md\n$/,
  },
  "printf -- '---\\nfrom: anna\\nto: all\\n---\\nlunch\\n' > data/ipc/inbox/lunch.md": {
    async prepare({ dir }) {
      const session = await startSession("web", { dir });
      return () => session.waitForPush(({ content }) => content === "lunch");
    },
  },
  [`IPC_DIR=~/.t9-ipc node ${CLONE}/dist/server.js doctor`]: {
    // As the command in the line above it leaves things.
    async prepare({ dir }) {
      const mcpServers = { "t9-ipc": { ...entryInReadme(), env: { IPC_DIR: "~/.t9-ipc" } } };
      const text = JSON.stringify({ mcpServers }).replace(CLONE, realpathSync(ROOT));
      writeFileSync(join(homeOf(dir), ".claude.json"), text);
      return async () => {};
    },
    prints: /^ok {7}0 messages in the inbox$/m,
  },
};

/** The server's entry as the README has it for those who set it up by hand. */
function entryInReadme(): { command: string; args: string[] } {
  const [, line = ""] = /^(\{ "mcpServers": .*)$/m.exec(PAGES[0] ?? "") ?? [];
  return JSON.parse(line).mcpServers["t9-ipc"];
}

const INSTALLS = "fetches packages: test/install runs it in a copy, on every Node";
const NEEDS_CLAUDE = "needs Claude Code: test/clients runs it";
const NEEDS_TWO_MACHINES = "needs two machines: test/network mounts a folder in this way";
const PATTERN = "a pattern, not a command";
const NOT_OURS = "says what another program does; nothing is to be typed";

const NOT_RUN: Readonly<Record<string, string>> = {
  "npm install": INSTALLS,
  "npm link": "changes the machine; test/install puts t9-ipc on PATH by `npm install -g`",
  "npm test": "is what runs this test",
  "npm run bench -- --only readme --vs ORIGINAL": "takes many minutes, and needs a quiet machine",
  "npm run bench -- --only sessions": "the same",
  "node dist/server.js COMMAND": PATTERN,
  "t9-ipc COMMAND": PATTERN,
  "claude mcp add … -e IPC_DIR=~/ipc …": PATTERN,
  'claude -n "backend work"': NEEDS_CLAUDE,
  [`claude mcp add --scope user t9-ipc -- node ${CLONE}/dist/server.js`]: NEEDS_CLAUDE,
  [`claude plugin marketplace add ${CLONE}/dist`]: NEEDS_CLAUDE,
  "claude plugin install t9-ipc@t9-ipc": NEEDS_CLAUDE,
  "node dist/server.js setup --plugin": NEEDS_CLAUDE,
  "codex queue": NOT_OURS,
  "codex exec": NOT_OURS,
  "claude -p": NOT_OURS,
  [`claude mcp add --scope user t9-ipc -e IPC_DIR=~/.t9-ipc -- node ${CLONE}/dist/server.js`]:
    NEEDS_CLAUDE,
  [`claude mcp add --scope user t9-ipc -e IPC_DIR=~/.t9-ipc -e IPC_POLL=500 -e IPC_DB_PATH=~/.t9-ipc.db -- node ${CLONE}/dist/server.js`]:
    NEEDS_CLAUDE,
  "ssh devbox mkdir -pm 700 .t9-ipc; mkdir -p ~/.t9-ipc": NEEDS_TWO_MACHINES,
  "sshfs devbox:.t9-ipc ~/.t9-ipc -o idmap=user,dir_cache=no,attr_timeout=0 -o reconnect,ServerAliveInterval=5,ServerAliveCountMax=2,ConnectTimeout=5":
    NEEDS_TWO_MACHINES,
};

function makeScene(t: TestContext): Scene {
  const clone = dirname(tempDir(t));
  for (const name of ["dist", "package.json"]) symlinkSync(join(ROOT, name), join(clone, name));
  mkdirSync(join(clone, "data/ipc/inbox"), { recursive: true });
  const dir = join(clone, "data/ipc");
  mkdirSync(homeOf(dir));
  return { clone, dir };
}

/** Links programs of this machine into the folder for PATH. */
function addPrograms(dir: string, programs: readonly string[]): void {
  symlinkSync(SERVER, join(binOf(dir), "t9-ipc"));
  const folders = [dirname(process.execPath), ...(process.env.PATH ?? "").split(":")];
  for (const name of programs) {
    const path = folders.map((folder) => join(folder, name)).find(isFile);
    assert.ok(path, `no ${name} on PATH`);
    symlinkSync(path, join(binOf(dir), name));
  }
}

function isFile(path: string): boolean {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}

const noShell = process.platform === "win32" && "the commands are for a POSIX shell";

describe("the commands of README and data/README", { concurrency: 3, skip: noShell }, () => {
  for (const [command, { prepare, programs = [], prints }] of Object.entries(RUNS)) {
    test(`${command} works word for word`, async (t) => {
      const scene = makeScene(t);
      addPrograms(scene.dir, programs);
      const isDone = await prepare?.(scene);
      const typed = command.replaceAll(CLONE, scene.clone);
      const shell = new Process(["/bin/sh", "-c", typed], {
        cwd: scene.clone,
        env: { ...envOf(scene.dir), PATH: binOf(scene.dir) },
      });
      shell.child.stdin.end();
      assert.equal(await shell.ended, 0, shell.stdout + shell.stderr);
      if (prints) assert.match(shell.stdout, prints);
      await isDone?.();
    });
  }
});

test("every command of README and data/README is run here, or listed with a reason", () => {
  const known = new Set([...Object.keys(RUNS), ...Object.keys(NOT_RUN)]);
  assert.deepEqual(
    [...COMMANDS].filter((command) => !known.has(command)),
    [],
    "not listed",
  );
  assert.deepEqual(
    [...known].filter((command) => !COMMANDS.has(command)),
    [],
    "on no page",
  );
});

test("the README's table has every command for people, and only options that there are", async (t) => {
  const { stdout } = await run(tempDir(t), ["--help"]);
  const usages = [...stdout.matchAll(/^ {2}([a-z]+)( .*)?$/gm)].map(([line, name = ""]) => ({
    name,
    options: [...line.matchAll(/--[a-z-]+/g)].map(String),
  }));
  const [, table = ""] = /\| command \| what it does \|\n(.*?)\n\n/s.exec(PAGES[0] ?? "") ?? [];
  const rows = table.split("\n").slice(1);
  const shown = rows.flatMap((row) =>
    [...row.matchAll(/`([a-z]+)[^`]*`/g)].map(([, name]) => name),
  );
  const forPeople = usages.filter(({ name }) => !["hook", "help"].includes(name));
  assert.deepEqual(shown.sort(), forPeople.map(({ name }) => name).sort());
  const known = new Set(usages.flatMap(({ options }) => options));
  const named = [...table.matchAll(/`(--[a-z-]+)/g)].map(([, option = ""]) => option);
  assert.deepEqual(
    named.filter((option) => !known.has(option)),
    [],
  );
});
