// `npm run test:windows`: the tests in native/ on a Windows Node. On Windows that is the one that
// runs; elsewhere it is one under Wine. That one also runs the quick rooms of `npm test`, or all of
// them with `-- --all`, and Claude Code for Windows in a terminal.
//
// What Wine cannot do is no fault of ours: then one line says so, and the exit code is 0.

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { Wine } from "./wine.ts";
import { testWaking } from "./woken.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const TESTS = join(ROOT, "test");
const NATIVE = "windows/native";
/** A minute each, or more, under Wine. */
const LONG_ROOMS = ["mail", "sessions", "cli"];
const QUICK_ROOMS = [
  "core",
  "agents",
  "notify",
  "simulation",
  "mcp",
  "upkeep",
  "docs",
  "build",
  ".",
];
/** Compiles tests and runs them. */
const RUNNER = ".build/test.js";
/** The longest room takes two minutes. */
const TIMEOUT_MS = 5 * 60_000;

/** What Wine fails at, though Windows does not. */
const NO_FETCH = "its connect fails in Node's fetch";
const NO_JUNCTION = "it makes no junctions";
const EXIT_CODE = "its cmd.exe ends with 9009 for a missing program, not with 1";
const NOT_UNDER_WINE = {
  files: { "notify/telegram.test.ts": NO_FETCH, "build/build.test.ts": NO_JUNCTION },
  titles: {
    "agents/codex-queue.test.ts": ["a missing program is a failure like any other", EXIT_CODE],
    "agents/node.test.ts": ["doctor starts the registered command with the PATH of", EXIT_CODE],
    "package.test.ts": ["the package holds what it needs and nothing else", "it has no npm"],
  },
} as const;

process.exitCode = process.platform === "win32" ? runHere() : await runUnderWine();

function runHere(): number {
  const args = [RUNNER, "--test-concurrency=1", ...testsIn(NATIVE)];
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit" }).status ?? 1;
}

/** The test files of a room. */
function testsIn(room: string): string[] {
  return readdirSync(join(TESTS, room))
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => (room === "." ? file : `${room}/${file}`))
    .filter((file) => !(file in NOT_UNDER_WINE.files))
    .map((file) => `test/${file}`);
}

async function runUnderWine(): Promise<number> {
  const began = performance.now();
  const wine = await Wine.create(process.argv.includes("--install"));
  if (typeof wine === "string") {
    console.log(`test/windows is skipped: ${wine}`);
    return 0;
  }
  process.on("exit", () => wine.close());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => process.exit(1));
  }

  copyProduct(wine);
  const { output: version } = await wine.run([wine.node, "--version"]);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`Node ${version} for Windows, under Wine; the prefix took ${seconds} s`);
  console.log("skipped: better-sqlite3, which npm does not have built for Windows");
  for (const [file, why] of Object.entries(NOT_UNDER_WINE.files)) {
    console.log(`skipped under Wine: ${file} (${why})`);
  }
  for (const [file, [title, why]] of Object.entries(NOT_UNDER_WINE.titles)) {
    if (!readFileSync(join(TESTS, file), "utf8").includes(title)) throw new Error(`no "${title}"`);
    console.log(`skipped under Wine: ${file}, “${title}” (${why})`);
  }
  if (!wine.claude) console.log(`skipped: Claude Code (${wine.withoutClaude})`);

  const rooms = [...QUICK_ROOMS, ...(process.argv.includes("--all") ? LONG_ROOMS : [])];
  let hasPassed = await passes(() => runTests(wine, NATIVE, 1));
  for (const room of rooms) hasPassed = (await passes(() => runTests(wine, room, 2))) && hasPassed;
  if (wine.claude) hasPassed = (await passes(() => testWaking(wine))) && hasPassed;
  console.log(`test/windows took ${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (hasPassed) return 0;
  // A Wine that has broken meanwhile says nothing about our code.
  if ((await wine.run([wine.node, "--version"])).code !== 0) {
    console.log("Wine itself has failed: the results do not count");
    return 0;
  }
  return 1;
}

/**
 * A fault of ours fails twice. Wine loses a handle now and then ("sendmsg: Bad file descriptor").
 */
async function passes(test: () => Promise<boolean>): Promise<boolean> {
  if (await test()) return true;
  console.log("Once more, in case it was Wine:");
  return test();
}

/** The clone, in a folder with a space. Wine follows the links to the packages like folders. */
function copyProduct(wine: Wine): void {
  for (const name of readdirSync(ROOT)) {
    if (!/^(\.git|\.tests-.*|node_modules)$/.test(name))
      wine.copy(join(ROOT, name), `t9 ipc/${name}`);
  }
  const packages = join(wine.drive, "t9 ipc", "node_modules");
  mkdirSync(packages);
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    const path = join(ROOT, "node_modules", name);
    // These two have programs in them, and Linux's are of no use.
    if (!/^(better-sqlite3|@esbuild)$/.test(name)) symlinkSync(path, join(packages, name));
  }
  symlinkSync(wine.esbuild, join(packages, "@esbuild"));
}

async function runTests(wine: Wine, room: string, concurrency: number): Promise<boolean> {
  const skipped = Object.values(NOT_UNDER_WINE.titles).map(
    ([title]) => `--test-skip-pattern=${title}`,
  );
  const args = [RUNNER, `--test-concurrency=${concurrency}`, ...skipped, ...testsIn(room)];
  const { code, output } = await wine.run([wine.node, ...args], {
    cwd: "t9 ipc",
    env: { T9_IPC_WINE: "1", CLAUDE_BIN: wine.claude ?? "" },
    timeoutMs: TIMEOUT_MS,
  });
  console.log(`test/${room}\n${output}`);
  if (code === null) console.log(`the tests did not end within ${TIMEOUT_MS / 1000} s`);
  return code === 0;
}
