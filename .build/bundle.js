// Makes JavaScript of test files and of all that they import.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

export const ROOT = resolve(import.meta.dirname, "..");

/**
 * Calls esbuild with these options. `replaced` maps paths of sources to the text that is to be
 * compiled instead of theirs.
 */
export async function bundle(options, replaced = new Map()) {
  await build({
    absWorkingDir: ROOT,
    bundle: true,
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
    plugins: [{ name: "sources", setup: (plugins) => loadSources(plugins, replaced) }],
    ...options,
  });
}

/** A module goes by the path of its source, and not by that of the bundle that it is in. */
function loadSources(plugins, replaced) {
  plugins.onLoad({ filter: /\.ts$/, namespace: "file" }, ({ path }) => {
    const contents = (replaced.get(path) ?? readFileSync(path, "utf8"))
      .replaceAll("import.meta.dirname", JSON.stringify(dirname(path)))
      .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href));
    return { contents, loader: "ts" };
  });
}
