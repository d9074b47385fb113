// `npm run test:windows`: the tests in native/ on a Windows Node. On Windows that is the one that
// runs; elsewhere it is one under Wine, and Claude Code for Windows beside it in a terminal.
//
// What Wine cannot do is no fault of ours: then one line says so, and the exit code is 0.

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { Wine } from "./wine.ts";
import { testWaking } from "./woken.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const NATIVE = join(import.meta.dirname, "native");
const TESTS = readdirSync(NATIVE).filter((file) => file.endsWith(".test.ts"));
/** All tests take a minute here. */
const TIMEOUT_MS = 4 * 60_000;

process.exitCode = process.platform === "win32" ? runHere() : await runUnderWine();

function runHere(): number {
  const files = TESTS.map((file) => join(NATIVE, file));
  const args = ["--import", "tsx", "--test", "--test-reporter=spec", "--test-concurrency=1"];
  return spawnSync(process.execPath, [...args, ...files], { stdio: "inherit" }).status ?? 1;
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

  await copyProduct(wine);
  const { output: version } = await wine.run([wine.node, "--version"]);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`Node ${version} for Windows, under Wine; the prefix took ${seconds} s`);
  console.log("skipped: better-sqlite3, which npm does not have built for Windows");
  if (!wine.claude) console.log(`skipped: Claude Code (${wine.withoutClaude})`);

  const nativePassed = await passes(() => runNative(wine));
  const wakingPassed = !wine.claude || (await passes(() => testWaking(wine)));
  console.log(`test/windows took ${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (nativePassed && wakingPassed) return 0;
  // A Wine that has broken meanwhile says nothing about our code.
  if ((await wine.run([wine.node, "--version"])).code !== 0) {
    console.log("Wine itself has failed: the results do not count");
    return 0;
  }
  return 1;
}

/** A fault of ours fails twice. Wine loses a handle now and then ("sendmsg: Bad file descriptor"). */
async function passes(test: () => Promise<boolean>): Promise<boolean> {
  if (await test()) return true;
  console.log("Once more, in case it was Wine:");
  return test();
}

/** The built server in a folder with a space, and the tests, each bundled into one file. */
async function copyProduct(wine: Wine): Promise<void> {
  wine.copy(join(ROOT, "dist"), "t9 ipc/dist");
  wine.copy(join(ROOT, "package.json"), "t9 ipc/package.json");
  mkdirSync(join(wine.drive, "tests"));
  const { outputFiles } = await build({
    entryPoints: [...TESTS, "peer.ts"].map((file) => join(NATIVE, file)),
    outdir: "tests",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20.19",
    external: ["better-sqlite3"],
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
    },
  });
  for (const { path, text } of outputFiles) {
    writeFileSync(join(wine.drive, "tests", path.split("/").at(-1) ?? ""), text);
  }
}

async function runNative(wine: Wine): Promise<boolean> {
  const files = TESTS.map((file) => `C:\\tests\\${file.replace(/\.ts$/, ".mjs")}`);
  const args = ["--test", "--test-reporter=spec", "--test-concurrency=1"];
  const env = { T9_IPC_SERVER: "C:\\t9 ipc\\dist\\server.js", CLAUDE_BIN: wine.claude ?? "" };
  const { code, output } = await wine.run([wine.node, ...args, ...files], {
    env,
    timeoutMs: TIMEOUT_MS,
  });
  console.log(output);
  if (code === null) console.log(`the tests did not end within ${TIMEOUT_MS / 1000} s`);
  return code === 0;
}
