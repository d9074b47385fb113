// Builds dist/: the launcher (server.js), the bundles that it starts, and the plugin's files that
// fit there.
//
// Servers and hooks are started from dist/ at any moment, also in the middle of a build. So every
// file is written under another name and renamed into place, and only when all of them are made:
// a build that fails leaves dist/ as it was. A running server has read its one bundle and needs
// no file of dist/ again.
//
// The script has a folder of its own because npm runs it also for who installs from git
// ("prepare"), and the top level is kept for what a reader looks for.

import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");
/** Another build's temporary files are left alone for this long. */
const BUILD_MS = 60_000;

const files = {
  "main.js": await bundle("src/server.ts"),
  "statusline.js": await bundle("src/statusline.ts"),
  ".claude-plugin/plugin.json": pluginJson(),
  ".claude-plugin/marketplace.json": marketplaceJson(),
  // Last, since it loads the bundle.
  "server.js": readFileSync(join(ROOT, "src/launcher.js"), "utf8"),
};
mkdirSync(join(DIST, ".claude-plugin"), { recursive: true });
for (const [name, text] of Object.entries(files)) await replace(join(DIST, name), text);
removeFormerFiles();

/** One file, not minified: what a user runs can be read. Throws if the source has an error. */
async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20.19",
    charset: "utf8",
    logLevel: "warning",
    // Optional and native: the server looks for it when it runs.
    external: ["better-sqlite3"],
    alias: {
      ajv: join(ROOT, ".build/no-ajv.js"),
      "ajv-formats": join(ROOT, ".build/no-ajv.js"),
      "zod-to-json-schema": join(ROOT, ".build/no-zod3.js"),
      // Its main file is UMD, whose `require` calls esbuild cannot follow.
      "jsonc-parser": "jsonc-parser/lib/esm/main.js",
    },
    // CommonJS packages in the bundle call `require` for Node's own modules.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
    },
  });
  return outputFiles[0].text;
}

/** Claude Code takes dist/ alone for the plugin's folder, see marketplace.json. */
function pluginJson() {
  const text = readFileSync(join(ROOT, ".claude-plugin/plugin.json"), "utf8");
  return text.replaceAll("/dist/server.js", "/server.js");
}

/**
 * Makes dist/ a marketplace too, with itself as the plugin: then nothing depends on the source in
 * the repository's.
 */
function marketplaceJson() {
  const json = JSON.parse(readFileSync(join(ROOT, ".claude-plugin/marketplace.json"), "utf8"));
  json.plugins[0].source = "./";
  return `${JSON.stringify(json, null, 2)}\n`;
}

async function replace(path, text) {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  chmodSync(temporary, path.endsWith("server.js") ? 0o755 : 0o644);
  for (let attempt = 1; ; attempt++) {
    try {
      return renameSync(temporary, path);
    } catch (error) {
      // Windows refuses while anybody has the former file open. A start has it open for
      // milliseconds.
      if (!["EPERM", "EBUSY", "EACCES"].includes(error.code) || attempt === 40) throw error;
      await sleep(25);
    }
  }
}

/** Removes what an earlier version has built and this one does not: the chunks, for example. */
function removeFormerFiles() {
  for (const name of readdirSync(DIST, { recursive: true })) {
    const path = join(DIST, name);
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats?.isFile() || Object.keys(files).some((file) => join(DIST, file) === path)) continue;
    const isInUse = name.endsWith(".tmp") && Date.now() - stats.mtimeMs < BUILD_MS;
    if (!isInUse) rmSync(path, { force: true });
  }
}
