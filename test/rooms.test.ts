// The shape of the source: rooms that know only those below them, and files that are neither long nor crumbs.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix, resolve, sep } from "node:path";
import { test } from "node:test";

const SRC = resolve(import.meta.dirname, "../src");
/** From the ground up. The ground and the entry are files in src itself. */
const ROOMS = ["ground", "sessions", "mail", "delivery", "mcp", "commands", "entry"];

interface Source {
  readonly lines: number;
  readonly imports: readonly string[];
}

/** Every file by its path in src. Any string that is a path to a source counts as an import, so types and `import()` do too. */
const sources = new Map<string, Source>(
  (readdirSync(SRC, { recursive: true }) as string[])
    .filter((path) => path.endsWith(".ts"))
    .map((path) => {
      const text = readFileSync(resolve(SRC, path), "utf8");
      const file = path.replaceAll(sep, "/");
      const imports = [...text.matchAll(/["'`](\.\.?\/[^"'`]+\.ts)["'`]/g)].map(([, to = ""]) =>
        posix.join(posix.dirname(file), to),
      );
      return [file, { lines: text.split("\n").length - 1, imports: [...new Set(imports)] }];
    }),
);

function floorOf(file: string): number {
  const room = file.includes("/") ? file.slice(0, file.indexOf("/")) : file === "server.ts" ? "entry" : "ground";
  const floor = ROOMS.indexOf(room);
  assert.ok(floor >= 0, `${file} is in no room`);
  return floor;
}

test("no import leads from a lower room to a higher one", () => {
  const up = [...sources].flatMap(([file, { imports }]) =>
    imports.filter((to) => floorOf(to) > floorOf(file)).map((to) => `${file} -> ${to}`),
  );
  assert.deepEqual(up, []);
});

test("no imports run in a circle", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const follow = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) circles.push([...way.slice(way.indexOf(file)), file].join(" -> "));
    if (way.includes(file) || done.has(file)) return;
    for (const to of sources.get(file)?.imports ?? assert.fail(`${way.at(-1)} imports ${file}, which is not there`)) {
      follow(to, [...way, file]);
    }
    done.add(file);
  };
  for (const file of sources.keys()) follow(file, []);
  assert.deepEqual(circles, []);
});

/** The aim is 3,300. What is there now must not become more. */
const MOST_LINES = 5063;

test("no file has more than 250 lines, and all together do not grow", () => {
  const long = [...sources].filter(([, { lines }]) => lines > 250).map(([file, { lines }]) => `${file}: ${lines}`);
  assert.deepEqual(long, []);
  const all = [...sources.values()].reduce((sum, { lines }) => sum + lines, 0);
  assert.ok(all <= MOST_LINES, `${all} lines`);
});

test("no file of under 30 lines has only one that uses it: there it could live", () => {
  const users = (file: string) =>
    [...sources].filter(([, { imports }]) => imports.includes(file)).map(([user]) => user);
  const crumbs = [...sources]
    .filter(([file, { lines }]) => lines < 30 && users(file).length === 1)
    .map(([file, { lines }]) => `${file}: ${lines} lines, used by ${users(file)}`);
  assert.deepEqual(crumbs, []);
});
