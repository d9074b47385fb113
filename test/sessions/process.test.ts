// Which process is which: by the words of the system, which must be the same for everybody who asks.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { inspect, isRunning, isSame } from "../../src/sessions/process.ts";
import { tempDir } from "../support/folder.ts";
import { works } from "../support/process.ts";

const MODULE = resolve(import.meta.dirname, "../../src/sessions/process.ts");
/** The command that macOS and BSD have; on Linux, procps has the same columns. */
const noPs =
  process.platform === "win32" || !works("ps", "-o", "lstart=", "-p", "1")
    ? "no ps with lstart"
    : false;

/** Evaluates an expression with this module's exports in a process of its own. */
async function evaluate(
  expression: string,
  env: Record<string, string>,
  command = [process.execPath],
): Promise<string> {
  const script = `import(${JSON.stringify(MODULE)}).then(({ inspect, isSame, agentAbove }) => console.log(${expression}))`;
  const [program = "", ...args] = [...command, "--import", "tsx", "-e", script];
  const own = { PATH: process.env.PATH ?? "", ...env };
  const { stdout } = await promisify(execFile)(program, args, {
    env: own,
    cwd: resolve(MODULE, "../../.."),
  });
  return stdout.trim();
}

describe("ps, where there is no /proc", { skip: noPs }, () => {
  test("two processes in two time zones and languages read the same start of a third", async () => {
    const other = `inspect([${process.pid}], "darwin").get(${process.pid}).started`;
    const zones = ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"];
    const told = await Promise.all(
      zones.map((TZ) => evaluate(other, { TZ, LC_ALL: "de_DE.UTF-8" })),
    );
    const times = told.map((text) => Date.parse(`${text} UTC`));
    // procps reckons the start from the time since boot, and may be off by a second from one call to the next.
    for (const time of times) assert.ok(Math.abs(time - (times[0] ?? 0)) <= 2000, told.join("; "));
    assert.ok(
      Math.abs((times[0] ?? 0) - (Date.now() - process.uptime() * 1000)) < 5000,
      `not in UTC: ${told[0]}`,
    );
  });

  test("parent and command line are read, and an ended process is not there", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "--", "two words"]);
    await once(child, "spawn");
    const { pid = 0 } = child;
    const found = inspect([pid, process.pid], "darwin");
    assert.equal(found.get(pid)?.parent, process.pid);
    assert.equal(found.get(pid)?.argv()[0], process.execPath);
    assert.ok(found.has(process.pid));
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(inspect([pid, process.pid], "darwin").has(pid), false);
  });

  test("it is asked once for a process that goes on running", async () => {
    const pid = process.ppid;
    inspect([process.pid, pid], "darwin");
    const before = process.env.PATH;
    process.env.PATH = "/nonexistent";
    try {
      assert.ok(inspect([process.pid, pid], "darwin").has(pid), "ps was asked again");
    } finally {
      process.env.PATH = before;
    }
  });
});

describe("isSame", () => {
  test("a process is the same while it runs; another start under its PID is another process", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    await once(child, "spawn");
    const { pid = 0 } = child;
    const started = inspect([pid]).get(pid)?.started;
    assert.equal(isSame({ pid, started }), true);
    assert.equal(isSame({ pid, started: undefined }), true, "without a start, the PID decides");
    if (started) assert.equal(isSame({ pid, started: `${started}0` }), false);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal(isSame({ pid, started }), false);
    assert.equal(isSame({ pid, started: undefined }), false);
  });

  test("where the system tells no start at all, the PID decides", () => {
    assert.equal(
      isSame({ pid: process.pid, started: "another" }, inspect([process.pid], "win32")),
      true,
    );
  });

  test("no group of processes is taken for one", () => {
    for (const pid of [0, -1, -process.pid]) {
      assert.equal(isRunning(pid), false, String(pid));
      assert.equal(isSame({ pid, started: undefined }), false, String(pid));
    }
  });
});

describe("the agent above", {
  skip: process.platform === "win32" && "no links to programs",
}, () => {
  /** Starts, through a program of that name, a process that looks for the agent above it. */
  async function startedBy(name: string, dir: string): Promise<string> {
    mkdirSync(join(dir, ".."), { recursive: true });
    const program = join(dir, "..", name);
    symlinkSync(process.execPath, program);
    const script = `import(${JSON.stringify(MODULE)}).then(({ agentAbove }) => {
      const { kind, pid } = agentAbove() ?? {};
      console.log(kind + " " + (pid === Number(process.env.ABOVE)));
    })`;
    const start = `const { spawnSync } = require("node:child_process");
      const env = { ...process.env, ABOVE: String(process.pid) };
      spawnSync("sh", ["-c", '"$0" "$@"; true', process.execPath, "--import", "tsx", "-e", process.argv[1]], { stdio: "inherit", env });`;
    const { stdout } = await promisify(execFile)(program, ["-e", start, script], {
      cwd: resolve(MODULE, "../../.."),
    });
    return stdout.trim();
  }

  test("Claude Code and Codex are found through a shell, and told apart; another program is neither", async (t) => {
    const dir = tempDir(t);
    assert.equal(await startedBy("claude", dir), "claude true");
    assert.equal(await startedBy("codex", dir), "codex true");
    assert.doesNotMatch(await startedBy("vim", dir), /true/);
  });
});
