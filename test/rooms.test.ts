// The shape of the source: a room imports only from those below it, types included.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix, resolve, sep } from "node:path";
import { test } from "node:test";

const SRC = resolve(import.meta.dirname, "../src");
/** From the bottom up; `config` and what comes after `cli` are files in src itself. */
const ROOMS = [
  "core",
  "config",
  "notify",
  "agents",
  "upkeep",
  "mcp",
  "cli",
  "server",
  "statusline",
];

interface Source {
  readonly imports: readonly string[];
}

/**
 * Every file by its path in src. Any string that is a path to a source counts as an import, so
 * types and `import()` do too.
 */
const sources = new Map<string, Source>(
  (readdirSync(SRC, { recursive: true }) as string[])
    .filter((path) => path.endsWith(".ts"))
    .map((path) => {
      const text = readFileSync(resolve(SRC, path), "utf8");
      const file = path.replaceAll(sep, "/");
      const imports = [...text.matchAll(/["'`](\.\.?\/[^"'`]+\.ts)["'`]/g)].map(([, to = ""]) =>
        posix.join(posix.dirname(file), to),
      );
      return [file, { imports: [...new Set(imports)] }];
    }),
);

function floorOf(file: string): number {
  const floor = ROOMS.indexOf(file.replace(/\/.*|\.ts$/, ""));
  assert.ok(floor >= 0, `${file} is in no room`);
  return floor;
}

test("no import leads from a lower room to a higher one", () => {
  const up = [...sources].flatMap(([file, { imports }]) =>
    imports.filter((to) => floorOf(to) > floorOf(file)).map((to) => `${file} -> ${to}`),
  );
  assert.deepEqual(up, []);
});

test("src holds sources only", () => {
  const files = (readdirSync(SRC, { recursive: true }) as string[]).filter((path) =>
    /\.[^\\/]*$/.test(path),
  );
  assert.deepEqual(
    files.filter((path) => !path.endsWith(".ts") && path !== "launcher.js"),
    [],
  );
});

test("every room has files", () => {
  const rooms = new Set([...sources.keys()].map((file) => ROOMS[floorOf(file)]));
  assert.deepEqual([...rooms].sort(), [...ROOMS].sort());
});

test("the core imports nothing above it, not even the configuration", () => {
  for (const [file, { imports }] of sources) {
    if (!file.startsWith("core/")) continue;
    for (const to of imports) assert.ok(to.startsWith("core/"), `${file} -> ${to}`);
  }
});

test("no imports run in a circle", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const follow = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" -> "));
    if (way.includes(file) || done.has(file)) return;
    for (const to of sources.get(file)?.imports ??
      assert.fail(`${way.at(-1)} imports ${file}, which is not there`)) {
      follow(to, [...way, file]);
    }
    done.add(file);
  };
  for (const file of sources.keys()) follow(file, []);
  assert.deepEqual(circles, []);
});
