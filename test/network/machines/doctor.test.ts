// What `doctor` says of a folder on a network: mounted as the README recommends, mounted with
// sshfs's defaults, and dead.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileSystemOf } from "../../../src/cli/checks/network.ts";
import { run } from "../../support/command.ts";
import { tempDir } from "../../support/folder.ts";
import { heartbeats } from "../../support/mail.ts";
import { startSession } from "../../support/session.ts";
import { DevBox, Laptop, lists, skip } from "./machines.ts";

interface Finding {
  readonly state: string;
  readonly what: string;
  readonly problem?: string;
  readonly remedy?: string;
}

const parse = (stdout: string): Finding[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("doctor on a laptop", { concurrency: true, skip }, () => {
  test("a mount as in the README is fine", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    const there = await box.session("on-box");
    const here = await laptop.session("on-laptop");
    await lists(here, "on-box");
    await lists(there, "on-laptop");
    const findings = parse(await laptop.doctor({ IPC_POLL: "500" }));
    const about = (what: RegExp) =>
      findings.find((each) => what.test(each.what)) ?? assert.fail(JSON.stringify(findings));
    const seen = about(/ipc \(fuse\.sshfs\): a change is seen after \d+ ms$/);
    assert.equal(seen.state, "ok");
    assert.equal(about(/^its server's clock$/).state, "ok");
    assert.equal(about(/^IPC_POLL$/).state, "ok");
    assert.equal(about(/cache\.db$/).state, "ok");
    assert.equal(about(/^on-box: last beat \d+\.\d s ago$/).state, "ok");
  });

  test("doctor names the defaults of sshfs, a missing IPC_POLL and a cache on the mount", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box, ["reconnect"]);
    const findings = parse(await laptop.doctor({ IPC_DB_PATH: "" }));
    const problem = (what: RegExp, words: RegExp, remedy: RegExp): void => {
      const found =
        findings.find((each) => what.test(each.what)) ?? assert.fail(JSON.stringify(findings));
      assert.equal(found.state, "warning");
      assert.match(found.problem ?? "", words);
      assert.match(found.remedy ?? "", remedy);
    };
    problem(/\(fuse\.sshfs\): a change is seen after/, /comes late/, /dir_cache=no,attr_timeout=0/);
    problem(/^IPC_POLL$/, /not set/, /IPC_POLL=500/);
    problem(/cache\.db$/, /does not belong on a network/, /IPC_DB_PATH/);
  });

  test("a dead mount is broken", async (t) => {
    const box = await DevBox.start(t);
    const laptop = await Laptop.start(t, box);
    await laptop.run("kill -9 $(pidof sshfs)");
    const findings = parse(await laptop.doctor({ IPC_POLL: "500" }));
    const dead =
      findings.find(({ problem = "" }) => problem.includes("ENOTCONN")) ??
      assert.fail(JSON.stringify(findings));
    assert.equal(dead.state, "broken");
  });
});

test("doctor finds clocks that differ, and a folder that is not the mount it should be", async (t) => {
  const dir = tempDir(t);
  await startSession("ahead", { dir });
  await startSession("behind", { dir });
  // Preset: their machines, and what their clocks said at their last beat.
  const entries = heartbeats(dir);
  for (const [name, seconds] of Object.entries({ ahead: 10, behind: -60 })) {
    entries[name] = {
      ...entries[name],
      host: `the-host-of-${name}`,
      beat: Date.now() + seconds * 1000,
    } as never;
  }
  writeFileSync(join(dir, "heartbeats.json"), JSON.stringify(entries));
  const findings = parse(
    (await run(dir, ["doctor", "--json"], { env: { IPC_POLL: "500" } })).stdout,
  );
  const problems = findings.map(({ what, problem = "" }) => `${what}: ${problem}`).join("\n");
  assert.match(problems, /^ahead: last beat -\d+\.\d s ago: its clock is ahead$/m);
  assert.match(problems, /^behind: last beat 6\d\.\d s ago: its clock is behind, or it is down$/m);
  assert.match(problems, /^IPC_POLL=500: .+ipc is on this machine \(.+\)$/m);
});

test("the file system is read from what `mount` prints on Linux and on macOS", () => {
  const linux =
    "proc on /proc type proc (rw)\nold on / type ext3 (rw)\n/dev/vda on / type nfs4 (rw,acdirmax=1)\n";
  assert.deepEqual(fileSystemOf("/", linux), { type: "nfs4", options: "rw,acdirmax=1" });
  const mac =
    "/dev/disk3s1s1 on / (apfs, sealed, local, read-only)\ndevfs on /dev (devfs, local, nobrowse)\n";
  assert.deepEqual(fileSystemOf("/", mac), {
    type: "apfs",
    options: "apfs, sealed, local, read-only",
  });
  assert.deepEqual(fileSystemOf("/", ""), { type: "", options: "" });
});
