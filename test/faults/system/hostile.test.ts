// Files that somebody else may put into the inbox, with odd names and rights.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { mail, stamp, writeMail } from "../../support/mail.ts";
import { isRoot, LEAVE_MS, SERVER } from "../../support/process.ts";
import { startSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

const GOOD = { from: "hand", to: "beta", subject: "good" };
const MB = 1 << 20;
/** Reading all files below takes less than this. Whoever waits for one of them waits forever. */
const BUSY_MS = 3000;

/** Writes a file that is not a message. Returns false if the system does not let us. */
const NOT_MESSAGES: Record<string, (path: string, t: TestContext) => unknown> = {
  "js.md": (path) => writeFileSync(path, code("---js", path)),
  "javascript.md": (path) => writeFileSync(path, code("---javascript", path)),
  "space-js.md": (path) => writeFileSync(path, code("--- js", path)),
  "coffee.md": (path) => writeFileSync(path, code("---coffee", path)),
  "json.md": (path) => writeFileSync(path, `---json\n${JSON.stringify(GOOD)}\n---\n\nbody\n`),
  "toml.md": (path) => writeFileSync(path, `---toml\nfrom = "hand"\nto = "beta"\n---\n`),
  "bomb.md": (path) => writeFileSync(path, bomb()),
  "100-mb.md": (path) => {
    writeFileSync(path, mail(GOOD));
    truncateSync(path, 100 * MB);
  },
  "long-lines.md": (path) =>
    writeFileSync(path, `---\nfrom: hand\nto: beta\nsubject: ${"x".repeat(900_000)}\n---\n`),
  "million-lines.md": (path) =>
    writeFileSync(path, `---\nfrom: hand\nto: beta\n${"k: v\n".repeat(1_000_000)}---\n`),
  "many-lines.md": (path) =>
    writeFileSync(path, `---\nfrom: hand\nto: beta\n${"k: v\n".repeat(200_000)}---\n`),
  "no-utf8.md": (path) =>
    writeFileSync(path, Buffer.concat([Buffer.from(mail(GOOD)), Buffer.from([0xff, 0xfe])])),
  "utf16.md": (path) => writeFileSync(path, Buffer.from(`\ufeff${mail(GOOD)}`, "utf16le")),
  "nul.md": (path) => writeFileSync(path, mail(GOOD, "a\0b")),
  "no-header.md": (path) => writeFileSync(path, "from: hand\nto: beta\n"),
  "not-closed.md": (path) => writeFileSync(path, "---\nfrom: hand\nto: beta\n"),
  "no-to.md": (path) => writeFileSync(path, mail({ from: "hand", subject: "x" })),
  "no-from.md": (path) => writeFileSync(path, mail({ to: "beta", subject: "x" })),
  "long-name.md": (path) => writeFileSync(path, mail({ ...GOOD, from: "x".repeat(65) })),
  "empty.md": (path) => writeFileSync(path, ""),
  "folder.md": (path) => mkdirSync(path),
  "dangling.md": (path) => symlinkSync("/nonexistent/file", path),
  "loop.md": (path) => symlinkSync(path, path),
  "zero.md": (path) => symlinkSync("/dev/zero", path),
  "outside.md": (path) => {
    const outside = join(dirname(path), "..", "..", "outside.md");
    writeFileSync(outside, mail(GOOD));
    symlinkSync(outside, path);
  },
  "socket.md": (path, t) => {
    const server = createServer().listen(path);
    t.after(() => server.close());
  },
  "fifo.md": (path) => execFileSync("mkfifo", [path]),
  "device.md": (path) => isRoot && execFileSync("mknod", [path, "c", "1", "5"]),
  "another-users.md": (path) => {
    if (!isRoot) return false;
    writeFileSync(path, mail(GOOD));
    chownSync(path, 65534, 65534);
  },
  "unreadable.md": (path) => {
    if (isRoot) return false;
    writeFileSync(path, mail(GOOD));
    chmodSync(path, 0);
  },
};

/** A whole message, for a reader that ran its header. */
function code(open: string, path: string): string {
  const file = JSON.stringify(`${path}.ran`);
  const ran = `require("node:fs").writeFileSync(${file}, "")`;
  return `${open}\n{ from: "hand", to: "beta", subject: ${ran} }\n---\n\nbody\n`;
}

/** Expands to 10^9 items in a reader that follows YAML's aliases. */
function bomb(): string {
  const lines = Array.from(
    { length: 9 },
    (_, n) => `k${n + 1}: &k${n + 1} [${`*k${n}, `.repeat(9)}*k${n}]`,
  );
  return `---\nto: beta\nk0: &k0 x\n${lines.join("\n")}\n---\n\nbody\n`;
}

describe("the inbox", { concurrency: true }, () => {
  test("a file that is not a message is logged once and holds up no other", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    await beta.call("who");
    const inbox = join(dir, "inbox");
    const before = memory(beta.pid);
    const files = Object.keys(NOT_MESSAGES).filter(
      (file) => NOT_MESSAGES[file]?.(join(inbox, file), t) !== false,
    );
    const written = performance.now();
    writeMail(dir, `${stamp()}-0000000a-hand-beta-x.md`, mail({ ...GOOD, subject: "after them" }));
    const push = await beta.waitForPush();
    assert.equal(push.meta.subject, "after them");
    assert.ok(push.at - written < BUSY_MS, `pushed after ${push.at - written} ms`);
    const lines = (file: string) =>
      beta
        .stderr()
        .split("\n")
        .filter((line) => line.includes(`inbox/${file} `));
    await waitFor(
      () => files.every((file) => lines(file).length > 0),
      () => `a line each, have ${beta.stderr()}`,
    );
    for (const file of files.filter((each) => each !== "unreadable.md")) {
      assert.match(String(lines(file)), /is not a message and stays where it is/);
    }
    // A second look says nothing new.
    writeMail(dir, `${stamp()}-0000000b-hand-beta-x.md`, mail({ ...GOOD, subject: "and again" }));
    await beta.waitForPush(({ meta }) => meta.subject === "and again");
    assert.match(
      (await beta.call("unread")).text,
      /^2 unread messages:.*subject: after them.*subject: and again/s,
    );
    for (const file of files) assert.equal(lines(file).length, 1, `${lines(file)}`);
    await beta.waitForPushes(2);
    assert.deepEqual(
      readdirSync(inbox).filter((file) => file.endsWith(".ran")),
      [],
      "code ran",
    );
    assert.deepEqual(
      readdirSync(inbox)
        .filter((file) => !/^\d{8}T/.test(file))
        .sort(),
      files.sort(),
      "not left where they are",
    );
    const grown = memory(beta.pid) - before;
    assert.ok(!(grown > 150 * MB), `${Math.round(grown / MB)} MB of memory`);

    // A session that starts among them is as quick.
    const start = performance.now();
    const gamma = await startSession("gamma", { dir });
    await gamma.call("send", { to: "beta", subject: "from a new one" });
    await beta.waitForPush(({ meta }) => meta.subject === "from a new one");
    assert.ok(performance.now() - start < 2 * BUSY_MS);
    assert.ok((await gamma.close()) < LEAVE_MS);
  });

  test("YAML's anchors, tags, merges and types are text", async (t) => {
    const dir = tempDir(t);
    const beta = await startSession("beta", { dir });
    const subjects =
      `&anchor¦*alias¦!!js/function function(){}¦!!binary aGk=¦[a, *b]¦{a: 1}¦<<: *x¦| block¦0x1f¦null`.split(
        "¦",
      );
    for (const [n, subject] of subjects.entries()) {
      const keys = {
        __proto__x: "1",
        constructor: "x",
        toString: "y",
        "<<": "*x",
        hasOwnProperty: "z",
      };
      writeMail(
        dir,
        `${stamp(0, n)}-0000000${n.toString(16)}-hand-beta-x.md`,
        mail({ ["__proto__"]: "polluted", ...GOOD, ...keys, subject }, "body"),
      );
    }
    await beta.waitForPushes(subjects.length);
    assert.deepEqual(
      beta.pushes.map(({ meta }) => meta.subject),
      subjects.map((subject) => subject.replace("<", "'").replace("<", "'")),
    );
    assert.match(
      (await beta.call("unread")).text,
      new RegExp(`^${subjects.length} unread messages`),
    );
    assert.equal(beta.stderr(), "");
  });

  test("a file written in two goes is one message, and its first half is not logged", async (t) => {
    const dir = tempDir(t);
    // The files' times are ahead of our clock, as on a network folder.
    const clock = "data:text/javascript,const now = Date.now; Date.now = () => now() - 200";
    const beta = await startSession("beta", {
      dir,
      command: [process.execPath, "--import", clock, SERVER],
    });
    await beta.call("who");
    const texts = Array.from({ length: 20 }, (_, n) =>
      mail({ ...GOOD, subject: `half ${n}` }, "body"),
    );
    const firstHalf = (n: number, text: string) => text.slice(0, n * 2);
    for (const [n, text] of texts.entries()) writeMail(dir, `half-${n}.md`, firstHalf(n, text));
    await beta.call("unread"); // looks at all of them
    assert.equal(beta.pushes.length, 0);
    for (const [n, text] of texts.entries()) writeMail(dir, `half-${n}.md`, text);
    await beta.waitForPushes(texts.length);
    const subjects = beta.pushes.map(({ meta }) => meta.subject).sort();
    assert.deepEqual(subjects, texts.map((_, n) => `half ${n}`).sort());
    for (const { content } of beta.pushes) assert.equal(content, "body");
    assert.equal(beta.stderr(), "");
  });

  test("a message under an odd file name is read once and marks nothing else", async (t) => {
    const dir = tempDir(t);
    const victim = `${stamp()}-0000000a-hand-beta-x.md`;
    const names = [
      `line\n${victim}`,
      "# since 99999999T999999999999 x.md",
      "# archived x.md",
      "tab\tx.md",
      "\u202egpj.md",
      "esc\u001b[31m.md",
      " .md",
      "back\\slash.md",
      "$(touch x).md",
      `${"n".repeat(252)}.md`,
    ];
    const beta = await startSession("beta", { dir });
    for (const name of names) writeMail(dir, name, mail({ ...GOOD, subject: "odd" }));
    writeFileSync(
      Buffer.concat([Buffer.from(join(dir, "inbox/x")), Buffer.from([0xff]), Buffer.from(".md")]),
      mail(GOOD),
    );
    let read = 0;
    const readAll = async (session = beta) => {
      read += (await session.call("unread")).text.match(/^subject: odd$/gm)?.length ?? 0;
      return (
        read +
          session
            .stderr()
            .split("\n")
            .filter((line) => line.includes("inbox/")).length >=
        names.length
      );
    };
    await waitFor(
      () => readAll(),
      () => `${names.length} messages, have ${read}; ${beta.stderr()}`,
    );
    assert.ok(read <= names.length, "told twice");
    const given = readdirSync(join(dir, "inbox")).filter((file) =>
      /^\d{8}T\d{12}-[0-9a-f]{8}-hand-beta-odd\.md$/.test(file),
    );
    assert.equal(given.length, names.length, "each has a name of its own now");
    await beta.close();
    for (const line of beta.stderr().split("\n").slice(0, -1))
      assert.match(line, /^t9-ipc: [\P{Cc}]*$/u);
    // After a restart nothing is told again, and what came meanwhile is not taken for read.
    writeMail(dir, victim, mail({ ...GOOD, subject: "the victim" }));
    const again = await startSession("beta", { dir });
    assert.match((await again.call("unread")).text, /^1 unread message:.*subject: the victim/s);
    const other = await startSession("other", { dir });
    await other.call("broadcast", { subject: "for all" });
    await again.waitForPush(({ meta }) => meta.subject === "for all");
  });

  test("a folder that others can write to is logged once", async (t) => {
    for (const [path, mode, said] of [
      ["", 0o777, true],
      ["", 0o770, true],
      ["inbox", 0o777, true],
      ["", 0o755, false],
    ] as const) {
      const dir = tempDir(t);
      mkdirSync(join(dir, "inbox"), { recursive: true });
      for (const folder of [dir, join(dir, "inbox")]) chmodSync(folder, 0o755);
      chmodSync(join(dir, path), mode);
      const session = await startSession("alpha", { dir });
      await session.call("who");
      await session.call("send", { to: "beta", subject: "x", allow_unknown: true });
      await session.close();
      const pattern = said ? /^t9-ipc: others can write to .*chmod 700.*\n$/ : /^$/;
      assert.match(session.stderr(), pattern, `${path} ${mode.toString(8)}`);
    }
  });
});

/** Resident memory at its highest, in bytes; NaN where the system does not tell. */
function memory(pid: number): number {
  const status = existsSync("/proc/self/status") ? readFileSync(`/proc/${pid}/status`, "utf8") : "";
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) * 1024;
}
