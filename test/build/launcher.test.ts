import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { transform } from "esbuild";
import { homeOf, tempDir } from "../support/folder.ts";
import { Process, SERVER } from "../support/process.ts";
import { RawServer } from "../support/rpc.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const LAUNCHER = readFileSync(resolve(ROOT, "src/launcher.js"), "utf8");

/** A command that runs the launcher in this Node, which says that it is another version. */
function launchAs(version: string): string[] {
  const script = `Object.defineProperty(process, "versions", { value: { node: "${version}" } })`;
  const module = `data:text/javascript,${encodeURIComponent(script)}`;
  return [process.execPath, "--import", module, SERVER];
}

const problemOf = (version: string): string =>
  `t9-ipc needs Node 20.19 or later; this is ${version} (${process.execPath}).`;

describe("the launcher, under a Node that is too old,", () => {
  test("answers the handshake with the reason, and exits with 1", async (t) => {
    const server = new RawServer(tempDir(t), { command: launchAs("18.20.4") });
    server.write({ id: 1, method: "server/discover" });
    assert.equal((await server.answer(1)).error?.code, -32601);
    server.write({ method: "notifications/made-up" });
    server.write({ id: "two", method: "initialize", params: {} });
    assert.equal(await server.ended, 1);
    const { error } = await server.answer("two");
    assert.ok(error?.message.startsWith(problemOf("18.20.4")), error?.message);
    assert.equal(server.stderr, `${error?.message}\n`);
    assert.equal(server.lines().length, 2);
  });

  test("exits with 1 when its client goes without a handshake", async (t) => {
    const server = new RawServer(tempDir(t), { command: launchAs("18.20.4") });
    server.child.stdin.end();
    assert.equal(await server.ended, 1);
    assert.ok(server.stderr.startsWith(problemOf("18.20.4")));
  });

  test("does not wait for a client when it was given a command", async (t) => {
    const dir = tempDir(t);
    const command = [...launchAs("16.20.2"), "doctor"];
    const doctor = new Process(command, { cwd: homeOf(dir), env: { HOME: homeOf(dir) } });
    assert.equal(await doctor.ended, 1);
    assert.equal(doctor.stdout, "");
    assert.ok(doctor.stderr.startsWith(problemOf("16.20.2")));
  });

  test("is written in syntax that Node 12 reads", async () => {
    const [asWritten, forNode12] = await Promise.all(
      ["esnext", "node12.20"].map((target) => transform(LAUNCHER, { target })),
    );
    assert.equal(forNode12?.code, asWritten?.code);
    // Node 12 has no "node:" prefix, and reads a static import only from 12.17 on. What `start`
    // imports is not for Node 12.
    assert.doesNotMatch(LAUNCHER, /^import |(?<!await import\()"node:/m);
  });
});

test("the launcher and package.json agree on the oldest Node", async (t) => {
  const { engines } = JSON.parse(readFileSync(resolve(ROOT, "package.json"), "utf8"));
  const least = />=(\d+)\.(\d+)/.exec(engines.node)?.slice(1).map(Number) ?? [];
  const [major = 0, minor = 0] = least;
  const [, literal] = /MINIMUM = (\[.+\]);/.exec(LAUNCHER) ?? [];
  assert.deepEqual(JSON.parse(literal ?? ""), least);
  for (const [version, code] of [
    [`${major}.${minor - 1}.9`, 1],
    [`${major - 1}.${minor + 1}.0`, 1],
    [`${major}.${minor}.0`, 0],
    [`${major + 1}.0.0`, 0],
  ] as const) {
    const dir = tempDir(t);
    const command = [...launchAs(version), "--version"];
    const started = new Process(command, { cwd: homeOf(dir), env: { HOME: homeOf(dir) } });
    assert.equal(await started.ended, code, version);
  }
});
