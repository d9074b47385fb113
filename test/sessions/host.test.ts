// What identifies a machine does not change while it runs: a host gets another name from DHCP or a
// VPN.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { childEnv } from "../support/environment.ts";
import { binOf, putProgram, tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { SERVE, works } from "../support/process.ts";
import { startSession } from "../support/session.ts";

/** The command in a UTS namespace of its own, where the host has another name. */
const renamed = (...command: readonly string[]): string[] => [
  ...["unshare", "--uts", "sh", "-c", 'hostname renamed-by-dhcp && exec "$0" "$@"'],
  ...command,
];
const noNamespaces =
  !works(...renamed("true")) && "needs root on Linux, for another host name (unshare)";

describe("the name of the host", { concurrency: true, skip: noNamespaces }, () => {
  test("a host that changes its name keeps its sessions, and knows those that have ended", async (t) => {
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
});

describe("elsewhere than on Linux", () => {
  const PROCESS = resolve(import.meta.dirname, "../../src/core/process.ts");

  /** The host's identity if the system has no /proc. `sysctl` is the program on that PATH. */
  async function identity(platform: string, PATH: string): Promise<string> {
    const script = `
      const fs = process.getBuiltinModule("node:fs");
      const readFileSync = fs.readFileSync;
      fs.readFileSync = (path, ...rest) => {
        return readFileSync(String(path).startsWith("/proc/") ? "/nonexistent" : path, ...rest);
      };
      process.getBuiltinModule("node:module").syncBuiltinESMExports();
      import(${JSON.stringify(PROCESS)}).then(({ createProcessTable }) => {
        console.log(createProcessTable(${JSON.stringify(platform)}).host);
      });`;
    const args = ["--import", "tsx", "-e", script];
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      env: { ...childEnv(), PATH },
      cwd: resolve(PROCESS, "../../.."),
    });
    return stdout.trim();
  }

  test("macOS and BSD are identified by this boot, and by the host's name if they tell none, as Windows is", {
    skip: process.platform === "win32" && "sysctl is a program of Unix",
  }, async (t) => {
    const dir = tempDir(t);
    const id = "0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0";
    const answer = `
      if (process.argv[2] !== "-n") process.exit(2);
      console.error("sysctl: unknown oid");
      if (process.argv.includes("kern.bootsessionuuid")) console.log(${JSON.stringify(id)});
      process.exitCode = 1;`;
    putProgram(dir, "sysctl", answer);
    assert.equal(await identity("darwin", binOf(dir)), id);
    putProgram(dir, "sysctl", "process.exitCode = 1");
    assert.equal(await identity("freebsd", binOf(dir)), hostname());
    putProgram(dir, "sysctl", answer);
    assert.equal(await identity("win32", binOf(dir)), hostname());
  });
});
