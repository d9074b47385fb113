// No test reaches the developer's own folders: a child process has a home of the test's.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { tempDir } from "./support/folder.ts";
import { Process } from "./support/process.ts";
import { RawServer } from "./support/rpc.ts";
import { startSession } from "./support/session.ts";

/** Writes where Node looks for its home and temporary folder, and its environment. */
const REPORT = `const { homedir, tmpdir } = require("node:os");
  console.error(JSON.stringify([homedir(), tmpdir(), ...Object.entries(process.env).flat()]));`;
const COMMAND = [process.execPath, "-e", REPORT];
const FOLDERS = ["HOME", "USERPROFILE", "HOMEPATH", "APPDATA", "LOCALAPPDATA"];
const TEMPORARY = ["TMPDIR", "TEMP", "TMP"];

/** Gives this process a home of a developer, until the test is over. */
function pretendHome(t: TestContext): string {
  const own = { ...process.env };
  const developer = join(dirname(tempDir(t)), "developer");
  for (const name of [...FOLDERS, ...TEMPORARY]) process.env[name] = developer;
  t.after(() => {
    for (const name of [...FOLDERS, ...TEMPORARY]) {
      if (own[name] === undefined) delete process.env[name];
      else process.env[name] = own[name];
    }
  });
  return developer;
}

test("a child process sees neither the developer's home nor a folder in it", async (t) => {
  const dir = tempDir(t);
  const developer = pretendHome(t);
  const session = startSession("alpha", { dir, command: COMMAND });
  const processes = [
    new Process(COMMAND, { cwd: dirname(dir) }),
    new RawServer(dir, { command: COMMAND }),
  ];
  const reports = [
    await session.then(
      () => assert.fail(),
      (error: Error) => error.message,
    ),
  ];
  for (const each of processes) {
    await each.ended;
    reports.push(each.stderr);
  }
  for (const report of reports) {
    const values: string[] = JSON.parse(/\[.*\]/.exec(report)?.[0] ?? assert.fail(report));
    for (const own of values.slice(0, 2)) assert.ok(own.startsWith(dirname(dir)), report);
    assert.deepEqual(
      values.filter((value) => value.includes(developer)),
      [],
    );
  }
});

test("a test that starts a process without a helper makes its environment as well", () => {
  const files = readdirSync(import.meta.dirname, { recursive: true }) as string[];
  const calls = files
    .filter((file) =>
      /^[\w-]+\.test\.ts$|^(?!bench|clients|faults|install|network|simulation|windows)\w+[\\/].+\.ts$/.test(
        file,
      ),
    )
    .flatMap((file) => {
      const text = readFileSync(join(import.meta.dirname, file), "utf8");
      return startsIn(text).map((call) => ({ file, call }));
    });
  assert.ok(calls.length > 5, "calls are found");
  const bad = calls.filter(
    ({ call }) => !/\benv\b/.test(call) || /\.\.\.process\.env\b|env: process\.env\b/.test(call),
  );
  assert.deepEqual(bad, []);
});

/** Calls that start a process, up to the parenthesis that ends them. */
function startsIn(text: string): string[] {
  const starts = /(?<![.\w"])(?:spawn|spawnSync|execFile|execFileSync|promisify\(execFile\))\(/g;
  return [...text.replace(/`[^`]*`/g, "``").matchAll(starts)].map(({ index, input }) => {
    let depth = 0;
    for (let end = input.indexOf("(", index); end < input.length; end++) {
      if (input[end] === "(") depth++;
      else if (input[end] === ")" && --depth === 0 && !input.startsWith("(", end + 1)) {
        return input.slice(index, end + 1);
      }
    }
    return input.slice(index);
  });
}
