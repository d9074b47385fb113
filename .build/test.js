// Runs the tests: all that `npm test` stands for, or the files that are given.
//
//     node .build/test.js [OPTIONS OF NODE] [FILES, each named .test.ts]
//
// esbuild makes JavaScript of all of them at once, in half a second. `node --import tsx --test`
// compiles each test file and its imports in the file's own process, which takes as long for each.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { bundle, ROOT } from "./bundle.js";

const TESTS = join(ROOT, "test");
/** More than there are cores, since many tests wait. */
const CONCURRENCY = 6;

const args = process.argv.slice(2);
const isFile = (arg) => arg.endsWith(".test.ts");
const options = args.filter((arg) => !isFile(arg));
const given = args.filter(isFile).map((file) => resolve(file));

// In the checkout, so that packages are found, and a folder of its own, so that two runs at once do
// not meet.
const out = mkdtempSync(join(ROOT, ".tests-"));
try {
  const files = await compile(given.length > 0 ? given : allFiles());
  process.exitCode = await run(files);
} finally {
  rmSync(out, { recursive: true, force: true, maxRetries: 5 });
}

/**
 * The test files in test/ and in its folders. What is deeper has a command of its own. The
 * histories are first: they take longest, and started last they would leave a core idle.
 */
function allFiles() {
  const names = readdirSync(TESTS, { recursive: true });
  const files = names.filter((name) => /^([^\\/]+[\\/])?[^\\/]+\.test\.ts$/.test(name));
  const rank = (name) => (name.startsWith("simulation") ? 0 : 1);
  files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return files.map((name) => join(TESTS, name));
}

/** Returns the paths of the compiled files. The runner sorts them, so each has its number first. */
async function compile(files) {
  const names = files.map((file, index) => `${String(index).padStart(3, "0")}-${basename(file)}`);
  await bundle({
    entryPoints: files.map((file, index) => ({ in: file, out: names[index] })),
    outdir: out,
    splitting: true,
  });
  return names.map((name) => join(out, `${name}.js`));
}

/** Returns the exit code. */
async function run(files) {
  const runner = ["--enable-source-maps", "--test", "--test-reporter=spec"];
  const all = [...runner, `--test-concurrency=${CONCURRENCY}`, ...options, ...files];
  const child = spawn(process.execPath, all, { stdio: "inherit" });
  // This process waits for the end of the tests, and then removes what it has made.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, "exit");
  return code ?? 1;
}
