// A network mount that fails under running sessions: every tool says what is wrong and what to do,
// nothing is lost or announced twice, and all works again by itself when the mount is back.

import assert from "node:assert/strict";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { filesIn } from "../../support/mail.ts";
import { SERVER } from "../../support/process.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";
import { DevBox, Laptop, lists, OPTIONS, readAll, skip } from "./machines.ts";

const [, noCache = ""] = OPTIONS;

interface Fault {
  readonly what: string;
  readonly options?: readonly string[];
  readonly breaks: (box: DevBox, laptop: Laptop) => Promise<unknown>;
  readonly mends: (box: DevBox, laptop: Laptop) => Promise<unknown>;
  readonly reason: RegExp;
  /** The local folder below the mount is to be seen meanwhile. */
  readonly bare?: true;
}

const remount = async (laptop: Laptop, options?: readonly string[]): Promise<void> =>
  laptop.mount(options);

const FAULTS: readonly Fault[] = [
  {
    what: "the folder is unmounted",
    breaks: (_, laptop) => laptop.unmount(),
    mends: (_, laptop) => remount(laptop),
    reason: /mounted/,
    bare: true,
  },
  {
    what: "the line drops, and sshfs, mounted without reconnect, unmounts itself",
    options: [noCache],
    breaks: async (box, laptop) => {
      await box.hangUp();
      await waitFor(() => !laptop.isMounted, "the local folder below");
    },
    mends: async (box, laptop) => {
      await box.answer();
      await waitFor(
        () =>
          remount(laptop, [noCache]).then(
            () => true,
            () => false,
          ),
        "the mount",
      );
    },
    reason: /mounted/,
    bare: true,
  },
  {
    what: "EIO: the line drops, and the dev box is away for a while",
    breaks: (box) => box.hangUp(),
    mends: (box) => box.answer(),
    reason: /EIO/,
  },
  {
    what: "ENOTCONN: sshfs is killed",
    breaks: (_, laptop) => laptop.run("kill -9 $(pidof sshfs)"),
    mends: async (_, laptop) => {
      await laptop.unmount();
      await remount(laptop);
    },
    reason: /ENOTCONN/,
  },
];

describe("a laptop's mount fails under its session", { concurrency: true, skip }, () => {
  for (const { what, options, breaks, mends, reason, bare } of FAULTS) {
    test(what, async (t) => {
      const box = await DevBox.start(t);
      const laptop = await Laptop.start(t, box, options);
      const [there, here] = await Promise.all([box.session("on-box"), laptop.session("on-laptop")]);
      await there.call("send", { to: "on-laptop", subject: "before" });
      await here.waitForPush();
      await breaks(box, laptop);
      await refuses(here, reason);
      const { text } = await there.call("send", { to: "on-laptop", subject: "meanwhile" });
      assert.match(text, /^Stored as/);
      if (bare)
        assert.deepEqual(readdirSync(laptop.seen, { recursive: true }), [], "written out of sight");
      await mends(box, laptop);
      await servesAgain(here, there);
      const told = here.pushes.map(({ meta }) => meta.subject);
      assert.deepEqual(told, ["before", "meanwhile", "to the laptop"], "told once each");
      assert.deepEqual(await readAll(here), told);
      assert.deepEqual(await readAll(there), ["to the box"]);
      assert.equal(filesIn(box.dir).length, 4, "a refused message is there all the same");
      assert.doesNotMatch(readdirSync(box.dir).join(), /\.bad-/, "good heartbeats were put aside");
    });
  }
});

/** While the flag exists, every call that names the data folder fails with the code. */
function failing(flag: string, code: string): string[] {
  const preload = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
    const { existsSync: isThere } = fs;
    const code = "${code}";
    const failure = (syscall, path) =>
      isThere(${JSON.stringify(flag)}) && String(path).startsWith(process.env.IPC_DIR) &&
      Object.assign(new Error(code + ": it failed, " + syscall), { code, syscall, path });
    for (const [api, isAsync] of [[fs, false], [fs.promises, true]])
      for (const name of Object.keys(api).filter((name) => isAsync || name.endsWith("Sync"))) {
        const real = api[name];
        if (typeof real !== "function" || name === "existsSync") continue;
        api[name] = (...args) => {
          const error = failure(name, args[0]);
          if (error && isAsync) return Promise.reject(error);
          if (error) throw error;
          return real(...args);
        };
        Object.assign(api[name], real);
      }
    fs.existsSync = (path) => !failure("access", path) && isThere(path);
    syncBuiltinESMExports();`;
  return [
    process.execPath,
    "--import",
    `data:text/javascript,${encodeURIComponent(preload)}`,
    SERVER,
  ];
}

describe("a mount fails with an error", { concurrency: true }, () => {
  for (const code of ["ENOTCONN", "EIO", "ESTALE"]) {
    test(`all works again after ${code}`, async (t) => {
      const dir = tempDir(t);
      const flag = join(dirname(dir), "fails");
      const there = await startSession("on-box", { dir });
      const here = await startSession("on-laptop", {
        dir,
        env: { IPC_POLL: "500" },
        command: failing(flag, code),
      });
      await there.call("send", { to: "on-laptop", subject: "before" });
      await here.waitForPush();
      writeFileSync(flag, "");
      await refuses(here, new RegExp(code));
      await there.call("send", { to: "on-laptop", subject: "meanwhile" });
      rmSync(flag);
      await servesAgain(here, there);
      assert.deepEqual(await readAll(here), ["before", "meanwhile", "to the laptop"]);
      assert.equal(filesIn(dir).length, 4, "a refused message is there all the same");
      assert.doesNotMatch(readdirSync(dir).join(), /\.bad-/, "good heartbeats were put aside");
    });
  }
});

/** The mount is gone: each tool says why, and what to do. */
async function refuses(session: TestSession, reason: RegExp): Promise<void> {
  const calls: [string, Record<string, unknown>][] = [
    ["who", {}],
    ["send", { to: "on-box", subject: "lost" }],
    ["send", { to: "nobody-yet", subject: "lost", allow_unknown: true }],
    ["broadcast", { subject: "lost" }],
    ["unread", {}],
    ["unread", { session_id: "on-box" }],
    ["set_name", { name: "another-name" }],
  ];
  for (const [tool, args] of calls) {
    const { text, isError } = await session.call(tool, args);
    assert.ok(isError, `${tool} ${JSON.stringify(args)}: ${text}`);
    assert.match(text, reason, tool);
    assert.match(text, /mount/, `${tool} does not say what to do`);
    assert.ok(text.includes(session.dir), `${tool} does not say where: ${text}`);
  }
}

/** The mount is back: mail goes both ways, under the same names, and each lists the other. */
async function servesAgain(here: TestSession, there: TestSession): Promise<void> {
  await here.waitForPush(({ meta }) => meta.subject === "meanwhile");
  const { text } = await here.call("send", { to: "on-box", subject: "to the box" });
  assert.match(text, /^Stored as/);
  await there.waitForPush(({ meta }) => meta.subject === "to the box");
  await there.call("send", { to: "on-laptop", subject: "to the laptop" });
  await here.waitForPush(({ meta }) => meta.subject === "to the laptop");
  await lists(here, "on-box");
  await lists(there, "on-laptop");
}
