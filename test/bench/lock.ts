/**
 * Measures the lock alone: many processes acquire it again and again for a short piece of file
 * work.
 *
 *     node --import tsx test/bench/lock.ts [--lock PATH] [--processes 50] [--holds 2,100,1000]
 *         [--rounds 5] [--json]
 *
 * --lock  another version of src/core/lock.ts, to measure a change: run both in turn, several times
 *
 * Every holder reads a number from a file and writes the next one. Where the number at the end is
 * not the number of holds, two processes have held the lock at once.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { buildSync } from "esbuild";

const SRC = resolve(import.meta.dirname, "../../src");

const { values: options } = parseArgs({
  options: {
    lock: { type: "string", default: resolve(SRC, "core/lock.ts") },
    processes: { type: "string", default: "50" },
    holds: { type: "string", default: "2,100,1000" },
    rounds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const root = mkdtempSync(join(tmpdir(), "t9-ipc-lock-"));
const workers: ChildProcess[] = [];
process.on("exit", () => {
  for (const worker of workers) worker.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.exit(130));

/** What one process does: it answers "go" with what it has seen. Times in milliseconds. */
const WORKER = `
import { readFileSync, writeFileSync, renameSync } from "node:fs";
import { createLock } from ${JSON.stringify(resolve(options.lock))};
import { diskFiles } from ${JSON.stringify(resolve(SRC, "core/files.ts"))};
const { withLock } = createLock(diskFiles, () => {});
const [path, counter] = process.argv.slice(2);
process.on("message", async (times) => {
  const before = process.cpuUsage();
  let longest = 0;
  let without = 0;
  for (let n = 0; n < times; n++) {
    const asked = performance.now();
    await withLock(path, (locked) => {
      const got = performance.now();
      longest = Math.max(longest, got - asked);
      if (!locked) return void without++;
      const count = Number(readFileSync(counter, "utf8"));
      do {
        writeFileSync(counter + ".new", String(count + 1));
        renameSync(counter + ".new", counter);
      } while (performance.now() < got + 0.3);
    });
  }
  const { user, system } = process.cpuUsage(before);
  process.send({ longest, without, cpu: (user + system) / 1000 });
});
await withLock(path + ".warm" + process.pid, () => {});
process.send("ready");
`;

const script = join(root, "worker.mjs");
const banner = `import{createRequire as r}from"node:module";const require=r(${JSON.stringify(pathToFileURL(script).href)});`;
buildSync({
  stdin: { contents: WORKER, resolveDir: import.meta.dirname, loader: "ts" },
  bundle: true,
  platform: "node",
  format: "esm",
  outfile: script,
  banner: { js: banner },
  nodePaths: [resolve(import.meta.dirname, "../../node_modules")],
  logLevel: "warning",
});

interface Seen {
  longest: number;
  without: number;
  cpu: number;
}

interface Run extends Seen {
  total: number;
  /** Holds that no number stands for, since two processes held the lock at once. */
  lost: number;
}

const processes = Number(options.processes);
const counter = join(root, "counter");
const env = { PATH: process.env.PATH ?? "" };
for (let n = 0; n < processes; n++) {
  const worker = fork(script, [join(root, "folder"), counter], { env, execArgv: [] });
  workers.push(worker);
  await once(worker, "message");
}

const results = [];
for (const holds of options.holds.split(",").map(Number)) {
  const crowd = holds < processes ? workers.slice(0, holds) : workers;
  const runs: Run[] = [];
  for (let round = 0; round < Number(options.rounds); round++)
    runs.push(await run(crowd, holds / crowd.length));
  const of = (key: keyof Run) => runs.map((run) => run[key]).sort((a, b) => a - b);
  const middle = (key: keyof Run) => of(key)[runs.length >> 1] ?? NaN;
  results.push({
    processes: crowd.length,
    holds,
    "total ms, median": middle("total"),
    "total ms, least": of("total")[0] ?? NaN,
    "longest wait ms, median": middle("longest"),
    "longest wait ms, worst": of("longest").at(-1) ?? NaN,
    "CPU ms, median": middle("cpu"),
    "without the lock, least": of("without")[0] ?? NaN,
    "without the lock, all runs": of("without").reduce((a, b) => a + b),
    "held by two, all runs": of("lost").reduce((a, b) => a + b),
  });
}
if (options.json) console.log(JSON.stringify(results, null, 2));
else
  console.table(
    results.map((row) =>
      Object.fromEntries(Object.entries(row).map(([k, v]) => [k, Math.round(v)])),
    ),
  );
process.exit();

async function run(crowd: ChildProcess[], times: number): Promise<Run> {
  writeFileSync(counter, "0");
  const began = performance.now();
  const answers = crowd.map(async (worker) => {
    worker.send(times);
    const [seen] = (await once(worker, "message")) as [Seen];
    return seen;
  });
  const seen = await Promise.all(answers);
  const without = seen.reduce((sum, one) => sum + one.without, 0);
  return {
    total: performance.now() - began,
    longest: Math.max(...seen.map(({ longest }) => longest)),
    cpu: seen.reduce((sum, one) => sum + one.cpu, 0),
    without,
    lost: crowd.length * times - without - Number(readFileSync(counter, "utf8")),
  };
}
