// Which process is which: by the system's own words, which must be the same for everybody who asks.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { commandLine } from "../../src/agents/command-line.ts";
import { createProcessTable, isSameProcess } from "../../src/core/process.ts";
import { childEnv } from "../support/environment.ts";
import { works } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";

const MODULE = resolve(import.meta.dirname, "../../src/core/process.ts");
/** The command that macOS and BSD have. On Linux, procps has the same columns. */
const noPs =
  (process.platform === "win32" || !works("ps", "-o", "lstart=", "-p", "1")) &&
  "there is no ps with lstart";

/** The start of this process, as `ps` tells it to another process with this environment. */
async function startForAnother(env: Record<string, string>): Promise<string> {
  const expression = `createProcessTable("darwin").startOf(${process.pid})`;
  const script = `import(${JSON.stringify(MODULE)}).then(({ createProcessTable }) => console.log(${expression}))`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", "-e", script],
    { env: { ...childEnv(), ...env }, cwd: resolve(MODULE, "../../..") },
  );
  return stdout.trim();
}

/** Starts a process that runs until it is killed. */
async function startIdle(t: TestContext) {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", "--", "two words"], {
    env: childEnv(),
  });
  t.after(() => child.kill("SIGKILL"));
  await once(child, "spawn");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { pid: child.pid ?? 0, kill };
}

describe("ps, for systems without /proc", { skip: noPs }, () => {
  test("processes in other time zones and languages read the same start of a process", async () => {
    const zones = ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"];
    const starts = await Promise.all(
      zones.map((TZ) => startForAnother({ TZ, LC_ALL: "de_DE.UTF-8" })),
    );
    const [first = 0, ...others] = starts.map((text) => Date.parse(`${text} UTC`));
    // procps computes the start from the time since boot, and one call may be a second off.
    for (const time of others) assert.ok(Math.abs(time - first) <= 2000, starts.join("; "));
    const own = Date.now() - process.uptime() * 1000;
    assert.ok(Math.abs(first - own) < 5000, `not in UTC: ${starts[0]}`);
  });

  test("ps tells the start and the arguments of a process until it ends", async (t) => {
    const processes = createProcessTable("darwin");
    const { pid, kill } = await startIdle(t);
    const started = processes.startOf(pid);
    assert.equal(isSameProcess(processes, { pid, started }), true);
    assert.equal(commandLine(pid, "darwin")[0], process.execPath);
    await kill();
    assert.equal(isSameProcess(processes, { pid, started }), false);
    assert.equal(createProcessTable("darwin").startOf(pid), undefined);
  });

  test("ps is asked once for a process that goes on running", () => {
    const processes = createProcessTable("darwin");
    const started = processes.startOf(process.ppid);
    assert.ok(started);
    const before = process.env.PATH;
    process.env.PATH = "/nonexistent";
    try {
      assert.equal(processes.startOf(process.ppid), started);
    } finally {
      process.env.PATH = before;
    }
  });
});

describe("isSameProcess", () => {
  const processes = createProcessTable();

  test("a process is the same while it runs, and not if another start is known", async (t) => {
    const { pid, kill } = await startIdle(t);
    const started = processes.startOf(pid);
    if (started) assert.equal(isSameProcess(processes, { pid, started }), true);
    if (started) assert.equal(isSameProcess(processes, { pid, started: `${started}0` }), false);
    assert.equal(isSameProcess(processes, { pid }), undefined, "without a start it is unknown");
    await kill();
    assert.equal(isSameProcess(processes, { pid, started }), false);
    assert.equal(isSameProcess(processes, { pid }), false);
  });

  test("it is unknown which process runs if the system tells no start", () => {
    const windows = createProcessTable("win32");
    const id = { pid: process.pid, started: "another" };
    assert.equal(windows.startOf(process.pid), undefined);
    assert.equal(isSameProcess(windows, id), undefined);
  });

  test("a group of processes is not a process", () => {
    for (const pid of [0, -1, -process.pid]) {
      assert.equal(processes.isRunning(pid), false, String(pid));
      assert.equal(isSameProcess(processes, { pid }), false, String(pid));
    }
  });

  test("a process that has ended and was not waited for does not run", {
    skip: process.platform !== "linux" && "only Linux tells such a process from others",
  }, async (t) => {
    // The second `sleep` takes the shell's place, and does not wait for the shell's child.
    const parent = spawn("sh", ["-c", "sleep 0.1 & echo $!; exec sleep 60"], { env: childEnv() });
    t.after(() => parent.kill("SIGKILL"));
    const [line] = await once(parent.stdout.setEncoding("utf8"), "data");
    const pid = Number(line);
    await waitFor(() => !processes.isRunning(pid), "the end of the first sleep");
    assert.ok(process.kill(pid, 0), "the process is still in the table");
    assert.equal(isSameProcess(processes, { pid }), false);
  });
});
