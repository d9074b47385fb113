// Runs the tests: all that `npm test` stands for, or the files that are given.
//
//     node .build/test.js [OPTIONS OF NODE] [FILES, each named .test.ts]
//
// esbuild makes JavaScript of all of them at once, in half a second. `node --import tsx --test`
// compiles each test file and its imports in the file's own process, which takes as long for each.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");
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
 * The test files in test/ and in its folders. What is deeper has a command of its own. The histories
 * are first: they take longest, and started last they would leave a core idle.
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
  await build({
    entryPoints: files.map((file, index) => ({ in: file, out: names[index] })),
    absWorkingDir: ROOT,
    outdir: out,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20.19",
    charset: "utf8",
    logLevel: "warning",
    sourcemap: true,
    sourcesContent: false,
    external: ["better-sqlite3", "esbuild"],
    // Its main file is UMD, whose `require` calls esbuild cannot follow.
    alias: { "jsonc-parser": "jsonc-parser/lib/esm/main.js" },
    // CommonJS packages in the bundle call `require` for Node's own modules.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    },
    plugins: [{ name: "own-path", setup: keepOwnPath }],
  });
  return names.map((name) => join(out, `${name}.js`));
}

/** A module goes by the path of its source, and not by that of the bundle that it is in. */
function keepOwnPath(plugins) {
  plugins.onLoad({ filter: /\.ts$/, namespace: "file" }, ({ path }) => {
    const contents = readFileSync(path, "utf8")
      .replaceAll("import.meta.dirname", JSON.stringify(dirname(path)))
      .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href));
    return { contents, loader: "ts" };
  });
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
