// What identifies a machine does not change while it runs: a host gets another name from DHCP or a VPN.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { binOf, homeOf, putProgram, tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { Process, SERVE, works } from "../support/process.ts";
import { startSession } from "../support/session.ts";
import { waitFor } from "../support/wait.ts";

/** The command in a UTS namespace of its own, where the host has another name. */
const renamed = (...command: readonly string[]): string[] => [
  ...["unshare", "--uts", "sh", "-c", 'hostname renamed-by-dhcp && exec "$0" "$@"'],
  ...command,
];
const noNamespaces =
  !works(...renamed("true")) && "needs root on Linux, for another host name (unshare)";

describe("a host that changes its name", { concurrency: true, skip: noNamespaces }, () => {
  test("keeps its sessions: one that ended is known to have ended, whatever the host was called", async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir });
    const beta = await startSession("beta", { dir, command: renamed(...SERVE) });
    assert.equal(heartbeats(dir).alpha?.host, heartbeats(dir).beta?.host);
    assert.doesNotMatch(
      String(heartbeats(dir).beta?.host),
      new RegExp(`renamed-by-dhcp|${hostname()}`),
    );
    await alpha.kill();
    assert.doesNotMatch(
      (await beta.call("who")).text,
      /alpha/,
      "its PID is not looked at: it counts as another host's",
    );
    const again = await startSession("alpha", { dir, command: renamed(...SERVE) });
    assert.match((await again.call("who")).text, /^- alpha \(you\)/m);
  });

  test("keeps its waiting hook: it finds its session and waits", async (t) => {
    const dir = tempDir(t);
    const env = { CLAUDE_CODE_SESSION_ID: "4a6f2c1e-0000-4000-8000-000000000001" };
    const alpha = await startSession("alpha", { dir });
    await startSession("beta", { dir, env });
    const own = { HOME: homeOf(dir), IPC_DIR: dir, ...env };
    const hook = new Process(renamed(...SERVE, "wait"), { cwd: homeOf(dir), env: own });
    hook.child.stdin.end("{}");
    const entered = () =>
      new RegExp(`\\b${hook.pid}\\b`).test(JSON.stringify(heartbeats(dir).beta ?? {}));
    await waitFor(() => entered() || hook.hasEnded, "the hook");
    assert.equal(hook.hasEnded, false, "it left");
    await alpha.call("send", { to: "beta", subject: "hello" });
    assert.equal(await hook.ended, 2);
    assert.match(hook.stderr, /1 new message, from alpha: “hello”/);
  });
});

describe("elsewhere than on Linux", () => {
  const CONFIG = resolve(import.meta.dirname, "../../src/config.ts");

  /** The identity where the system is `platform` and has no /proc; the `sysctl` there is the one on that PATH. */
  async function identity(platform: string, PATH: string): Promise<string> {
    const script = `
      Object.defineProperty(process, "platform", { value: ${JSON.stringify(platform)} });
      const fs = process.getBuiltinModule("node:fs");
      const readFileSync = fs.readFileSync;
      fs.readFileSync = (path, ...rest) => readFileSync(String(path).startsWith("/proc/") ? "/nonexistent" : path, ...rest);
      process.getBuiltinModule("node:module").syncBuiltinESMExports();
      import(${JSON.stringify(CONFIG)}).then(({ readConfig }) => {
        const { host, hostName } = readConfig({}, "/");
        console.log(host + " " + hostName);
      });`;
    const args = ["--import", "tsx", "-e", script];
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      env: { PATH },
      cwd: resolve(CONFIG, "../.."),
    });
    return stdout.trim();
  }

  test("macOS and BSD: what the system says of this boot; the host's name where it says nothing, and on Windows", async (t) => {
    const dir = tempDir(t);
    const id = "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0";
    const answer = `
      if (process.argv[2] !== "-n") process.exit(2);
      console.error("sysctl: unknown oid");
      if (process.argv.includes("kern.bootsessionuuid")) console.log(${JSON.stringify(id)});
      process.exitCode = 1;`;
    putProgram(dir, "sysctl", answer);
    assert.equal(await identity("darwin", binOf(dir)), `${id} ${hostname()}`);
    putProgram(dir, "sysctl", "process.exitCode = 1");
    assert.equal(await identity("freebsd", binOf(dir)), `${hostname()} ${hostname()}`);
    putProgram(dir, "sysctl", answer);
    assert.equal(await identity("win32", binOf(dir)), `${hostname()} ${hostname()}`);
  });
});
