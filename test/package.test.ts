import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import spawn from "cross-spawn";
import { childEnv } from "./support/environment.ts";
import { homeOf, tempDir } from "./support/folder.ts";
import { startSession } from "./support/session.ts";

const ROOT = resolve(import.meta.dirname, "..");

test("the package holds what it needs and nothing else, and works alone in an empty folder", async (t) => {
  const dir = tempDir(t);
  const root = join(dir, "..");
  const env = { ...childEnv(homeOf(dir)), npm_config_cache: join(root, "npm") };
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", root];
  // cross-spawn finds npm.cmd on Windows.
  const { stdout, stderr } = spawn.sync("npm", pack, { cwd: ROOT, env, encoding: "utf8" });
  assert.ok(stdout, stderr);
  const [tarball] = JSON.parse(stdout);
  const others = tarball.files
    .map(({ path }: { path: string }) => path)
    .filter(
      (path: string) =>
        !/^(dist\/(main|server|statusline)\.js|(dist\/)?\.claude-plugin\/[\w-]+\.json|LICENSE|README\.md|package\.json)$/.test(
          path,
        ),
    );
  assert.deepEqual(others, []);
  for (const needed of [
    "dist/main.js",
    "dist/server.js",
    "dist/statusline.js",
    ".claude-plugin/plugin.json",
    "LICENSE",
    "README.md",
  ]) {
    assert.ok(
      tarball.files.some(({ path }: { path: string }) => path === needed),
      needed,
    );
  }
  assert.ok(tarball.unpackedSize < 2_000_000, `${tarball.unpackedSize} bytes`);

  // As npm unpacks it, but without a single dependency beside it.
  const place = join(root, "node_modules", "t9-ipc");
  mkdirSync(place, { recursive: true });
  const unpack = ["-xzf", tarball.filename, "--strip-components=1", "-C", "node_modules/t9-ipc"];
  execFileSync("tar", unpack, { cwd: root, env });
  const server = join(place, "dist", "server.js");
  const demo = execFileSync(process.execPath, [server, "demo"], { env, encoding: "utf8" });
  assert.match(demo, /channel notification is there/);
  const session = await startSession("alpha", {
    dir,
    command: [process.execPath, server],
    env: { IPC_DIR: "" },
  });
  assert.match((await session.call("who")).text, /you are alone/);
  assert.ok(
    existsSync(join(homeOf(dir), ".t9-ipc", "heartbeats.json")),
    "its mail is in the home folder",
  );
});

test("the plugin has the package's version and description", () => {
  const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), "utf8"));
  const { version, description } = read("package.json");
  const plugin = read(".claude-plugin/plugin.json");
  assert.deepEqual([plugin.version, plugin.description], [version, description]);
});

test("users install six packages beside it; whatever else is bundled is needed only to build", () => {
  const { dependencies, devDependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );
  assert.deepEqual(Object.keys(dependencies), [
    "@modelcontextprotocol/sdk",
    "chokidar",
    "gray-matter",
    "proper-lockfile",
    "zod",
  ]);
  assert.deepEqual(Object.keys(optionalDependencies), ["better-sqlite3"]);

  const declared = { ...dependencies, ...devDependencies, ...optionalDependencies };
  const sources = (readdirSync(join(ROOT, "src"), { recursive: true }) as string[])
    .filter((path) => /\.[jt]s$/.test(path))
    .map((path) => readFileSync(join(ROOT, "src", path), "utf8"));
  const imported = sources.flatMap((text) =>
    [...text.matchAll(/(?:from|import\() ?"((?:@[\w-]+\/)?[\w-]+)[^":]*"/g)].map(
      ([, name]) => name,
    ),
  );
  assert.ok(imported.includes("zod") && imported.includes("proper-lockfile"));
  assert.deepEqual(
    imported.filter((name) => !Object.hasOwn(declared, name ?? "")),
    [],
  );
});

interface Package {
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  integrity?: string;
  resolved?: string;
}

test("the lock file fits package.json, has every package for every platform, and names no registry", () => {
  const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), "utf8"));
  const lock: { packages: Record<string, Package> } = read("package-lock.json");
  const { "": own = {}, ...packages } = lock.packages;
  const needed = ({ dependencies, devDependencies, optionalDependencies }: Package) => ({
    ...{ dependencies, devDependencies, optionalDependencies },
  });
  assert.deepEqual(
    needed(own),
    needed(read("package.json")),
    "run npm install, and commit the lock file",
  );
  const wrong = [own, ...Object.values(packages)].flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies).filter((name) => !packages[`node_modules/${name}`]),
  );
  for (const [path, { integrity, resolved }] of Object.entries(packages))
    if (!integrity || resolved) wrong.push(path);
  assert.deepEqual(wrong, []);
});
