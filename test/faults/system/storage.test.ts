import assert from "node:assert/strict";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { filesIn, heartbeats, mail, writeMail } from "../../support/mail.ts";
import { SERVER } from "../../support/process.ts";
import { startSession } from "../../support/session.ts";
import { noSqlite, openDatabase } from "../../support/sqlite.ts";
import { waitFor } from "../../support/wait.ts";

/** Every row of every table of a cache, as text; empty while it cannot be read. */
function rows(path: string): string {
  if (noSqlite || !existsSync(path)) return "";
  const db = openDatabase(path, { readonly: true });
  try {
    const tables = db
      .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
      .pluck()
      .all();
    const all = tables.map((table) => [
      table,
      db.prepare(`SELECT * FROM "${table}" ORDER BY 1`).all(),
    ]);
    return JSON.stringify(all);
  } finally {
    db.close();
  }
}

const ODD = ["plain", "a: b", "007", "null", "한국어 제목", `"quoted"`, "2026-11-22", "it's"];

// Most of these wait for what a server does now and then.
describe("the data folder", { concurrency: 4 }, () => {
  test("a cache deleted under a running server comes back and equals a new one", {
    skip: noSqlite,
  }, async (t) => {
    const dir = tempDir(t);
    const db = join(dir, "cache.db");
    const fresh = join(dir, "../fresh.db");
    const [alpha, beta] = await Promise.all([
      startSession("alpha", { dir }),
      startSession("beta", { dir }),
    ]);
    for (const subject of ODD) {
      await alpha.call("send", { to: "beta", subject });
      writeMail(
        dir,
        `${subject.length} ${subject.replace(/\W/g, "")}.md`,
        mail({ from: "hand", to: "beta", subject }, "x"),
      );
    }
    await beta.waitForPushes(2 * ODD.length);
    await beta.call("unread");
    const cached = (path: string) =>
      ODD.every((subject) => rows(path).includes(JSON.stringify(subject)));
    await waitFor(() => cached(db), "all messages in the cache");
    for (const file of readdirSync(dir).filter((each) => each.startsWith("cache.db")))
      rmSync(join(dir, file));
    await alpha.call("send", { to: "beta", subject: "after" });
    await alpha.call("who");
    assert.ok(existsSync(db), "alpha has made it anew, and beta has to notice");
    assert.match((await beta.call("unread")).text, /subject: after/);
    rmSync(join(dir, "inbox", filesIn(dir)[0] ?? ""));
    const gamma = await startSession("gamma", { dir, env: { IPC_DB_PATH: fresh } });
    // A server reads only what it is asked for. To list who has ever written here, it reads all.
    assert.equal((await gamma.call("send", { to: "nobody-known", subject: "?" })).isError, true);
    await waitFor(
      () => cached(db) && rows(db).includes('"after"') && rows(db) === rows(fresh),
      () => `equal caches:\n${rows(db)}\n${rows(fresh)}`,
    );
    assert.equal(alpha.stderr() + beta.stderr() + gamma.stderr(), "");
  });

  test("a restart without the cache shows the same unread mail as with it", {
    skip: noSqlite,
  }, async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir });
    await (await startSession("beta", { dir })).close();
    for (const subject of ODD) await alpha.call("send", { to: "beta", subject, priority: "high" });
    await waitFor(() => rows(join(dir, "cache.db")).includes("it's"), "all messages in the cache");
    await alpha.close();
    const answers: string[] = [];
    for (const cache of ["kept", "deleted", "broken", "a folder"]) {
      const db = join(dir, "cache.db");
      if (cache !== "kept") {
        for (const file of readdirSync(dir).filter((each) => each.startsWith("cache.db"))) {
          rmSync(join(dir, file), { recursive: true });
        }
      }
      if (cache === "broken") writeFileSync(db, "this is no database".repeat(1000));
      if (cache === "a folder") mkdirSync(db);
      const looker = await startSession("looker", { dir });
      const { text } = await looker.call("unread", { session_id: "beta" });
      answers.push(text);
      const said = looker
        .allStderr()
        .split("\n")
        .filter((line) => line.includes("cache"));
      assert.equal(
        said.length,
        cache === "kept" || cache === "deleted" ? 0 : 1,
        `${cache}: ${looker.allStderr()}`,
      );
      await looker.close();
    }
    assert.match(answers[0] ?? "", /8 unread/);
    for (const answer of answers) assert.equal(answer, answers[0]);
  });

  test("a message that left the folder while no server ran is not shown from the cache", {
    skip: noSqlite,
  }, async (t) => {
    const dir = tempDir(t);
    const alpha = await startSession("alpha", { dir });
    await (await startSession("beta", { dir })).close();
    await alpha.call("send", { to: "beta", subject: "one" });
    await alpha.call("send", { to: "beta", subject: "two" });
    await waitFor(
      () => rows(join(dir, "cache.db")).includes('"two"'),
      "both messages in the cache",
    );
    await alpha.close();
    rmSync(join(dir, "inbox", filesIn(dir)[0] ?? ""));
    const beta = await startSession("beta", { dir });
    const { text } = await beta.call("unread");
    assert.match(text, /^1 unread/);
    assert.match(text, /subject: two/);
  });

  test("all folders are 0700 and all files 0600, whatever the umask", {
    skip: process.platform === "win32",
  }, async (t) => {
    const dir = tempDir(t);
    const command = ["sh", "-c", `umask 0; exec "$0" "$1"`, process.execPath, SERVER];
    const [alpha, beta] = await Promise.all(
      ["alpha", "beta"].map((name) => startSession(name, { dir, command })),
    );
    await alpha?.call("send", { to: "beta", subject: "hello" });
    await beta?.waitForPush();
    await beta?.call("unread");
    if (!noSqlite)
      await waitFor(
        () => rows(join(dir, "cache.db")).includes("hello"),
        "the message in the cache",
      );
    await waitFor(
      () =>
        existsSync(join(dir, "read/beta")) &&
        readFileSync(join(dir, "read/beta"), "utf8").includes("hello"),
      "the mark",
    );
    const modes = () =>
      [".", ...(readdirSync(dir, { recursive: true }) as string[])].flatMap((path) => {
        // A lock may be gone by now.
        const stats = statSync(join(dir, path), { throwIfNoEntry: false });
        const mode = stats && (stats.mode & 0o777).toString(8);
        return !stats || mode === (stats.isDirectory() ? "700" : "600") ? [] : [`${path} ${mode}`];
      });
    assert.deepEqual(modes(), []);
    await Promise.all([alpha?.close(), beta?.close()]);
    assert.deepEqual(modes(), []);
    assert.ok(readdirSync(dir).length >= 4, `${readdirSync(dir)}`);
  });

  test("no temporary file and no lock is left when all sessions have ended", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await Promise.all([
      startSession("alpha", { dir }),
      startSession("beta", { dir }),
    ]);
    await Promise.all(
      Array.from({ length: 10 }, (_, n) => alpha.call("send", { to: "beta", subject: `${n}` })),
    );
    await beta.call("unread");
    await Promise.all([alpha.close(), beta.close()]);
    const left = (readdirSync(dir, { recursive: true }) as string[]).filter((path) =>
      /\.tmp|\.lock/.test(path),
    );
    assert.deepEqual(left, []);
    assert.deepEqual(JSON.parse(readFileSync(join(dir, "heartbeats.json"), "utf8")), {});
  });

  test("the folder holds what data/README lists, and a message is written once", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await Promise.all([
      startSession("alpha", { dir }),
      startSession("beta", { dir }),
    ]);
    await alpha.call("send", { to: "beta", subject: "hello", body: "text" });
    await beta.waitForPush();
    const [file = ""] = filesIn(dir);
    const before = statSync(join(dir, "inbox", file));
    await beta.call("unread");
    await beta.call("set_name", { name: "gamma" });
    await waitFor(() => existsSync(join(dir, "read/gamma")), "the new name's marks");
    const after = statSync(join(dir, "inbox", file));
    assert.deepEqual(
      [after.ino, after.mtimeMs, after.size],
      [before.ino, before.mtimeMs, before.size],
    );
    const known =
      /^(inbox|archive|read|heartbeats\.json(\.lock)?|inbox\.lock|cache\.db(-\w+)?|\.[\w-]+)$/;
    for (const name of readdirSync(dir)) assert.match(name, known);
  });

  test("the data lies in the checkout or in ~/.t9-ipc if IPC_DIR is not set", async (t) => {
    const root = join(tempDir(t), "..");
    for (const [package_, data] of [
      ["clone", "clone/data/ipc"],
      ["project/node_modules/t9-ipc", "home/.t9-ipc"],
    ] as const) {
      const dist = join(root, package_, "dist");
      cpSync(dirname(SERVER), dist, { recursive: true });
      copyFileSync(join(dirname(SERVER), "../package.json"), join(dist, "../package.json"));
      const options = {
        dir: join(root, "ipc"),
        env: { IPC_DIR: "" },
        command: [process.execPath, join(dist, "server.js")],
      };
      const alpha = await startSession("alpha", { ...options, cwd: root });
      assert.deepEqual(Object.keys(heartbeats(join(root, data))), ["alpha"]);
      await alpha.close();
    }
    for (const place of ["~/mail", "../mail"]) {
      const alpha = await startSession("alpha", {
        dir: join(root, "ipc"),
        cwd: join(root, "clone"),
        env: { IPC_DIR: place },
      });
      assert.deepEqual(
        Object.keys(heartbeats(join(root, place === "~/mail" ? "home" : "", "mail"))),
        ["alpha"],
        place,
      );
      await alpha.close();
    }
  });

  test("marks are appended line by line, and a torn line spoils no other", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await Promise.all([
      startSession("alpha", { dir }),
      startSession("beta", { dir }),
    ]);
    const marks = () =>
      existsSync(join(dir, "read/beta")) ? readFileSync(join(dir, "read/beta"), "utf8") : "";
    await alpha.call("send", { to: "beta", subject: "one" });
    await beta.call("unread");
    const [one = ""] = filesIn(dir);
    const first = await waitFor(() => marks().includes(`\n${one}\n`) && marks(), "the first mark");
    writeFileSync(join(dir, "read/beta"), "20261122T0101", { flag: "a" });
    await alpha.call("send", { to: "beta", subject: "two" });
    await beta.call("unread");
    const two = filesIn(dir)[1] ?? "";
    const second = await waitFor(
      () => marks().includes(`\n${two}\n`) && marks(),
      "the second mark",
    );
    assert.ok(second.startsWith(first), "append only");
  });
});
