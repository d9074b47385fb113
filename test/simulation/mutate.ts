// node --import tsx test/simulation/mutate.ts [--file src/core/x.ts] [--every N] [--offset K]
// Changes one place of core or notify at a time, and runs the in-process tests. A change that no
// test notices is a survivor: either a rule without a test, or a line without a purpose.

import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";

const ROOT = resolve(import.meta.dirname, "../..");
const ROOMS = ["src/core", "src/notify"];
/** A mutant may loop forever. */
const TIMEOUT_MS = 60_000;
/** Tests that a file has besides the one with its own name. */
const MORE_TESTS: Record<string, string[]> = {
  files: ["files.contract"],
  lock: ["lock.contract"],
  watch: ["watch.contract"],
  errors: ["inbox", "mailbox", "read-state"],
  process: ["presence", "heartbeats"],
  "json-file": ["heartbeats", "conversations"],
  "own-entry": ["presence"],
  "heartbeat-timer": ["presence"],
  identity: ["presence"],
  directory: ["mailbox"],
  "read-states": ["mailbox"],
  "send-limits": ["mailbox"],
  channel: ["notifier", "wording"],
  notice: ["notifier", "wording"],
  routes: ["notifier", "wording"],
};

interface Mutant {
  readonly file: string;
  readonly line: number;
  readonly what: string;
  readonly text: string;
}

const { values } = parseArgs({
  options: {
    file: { type: "string", multiple: true },
    every: { type: "string", default: "1" },
    offset: { type: "string", default: "0" },
    histories: { type: "string", default: "0" },
  },
});

const REPLACEMENTS: readonly [RegExp, string][] = [
  [/ === /g, " !== "],
  [/ !== /g, " === "],
  [/ && /g, " || "],
  [/ \|\| /g, " && "],
  [/ < /g, " <= "],
  [/ <= /g, " < "],
  [/ > /g, " >= "],
  [/ >= /g, " > "],
  [/ \+ /g, " - "],
  [/\btrue\b/g, "false"],
  [/\bfalse\b/g, "true"],
  [/\bif \((?!\()/g, "if (false && "],
  [/\.some\(/g, ".every("],
  [/\.every\(/g, ".some("],
  [/([(,=] ?)!(?=[\w#])/g, "$1"],
];

/** A statement on one line, which can be dropped. */
const STATEMENT =
  /^\s+(?:await |void )?(?:this\.|[a-z]\w*\.)[#\w.?[\]]+(?:\(.*\)| = [^>]*|\+\+);(?: *\/\/.*)?$/;
const RETURN = /^\s+(?:if \(.*\) )?return;(?: *\/\/.*)?$/;

function mutantsOf(file: string): Mutant[] {
  const source = readFileSync(join(ROOT, file), "utf8");
  const lines = source.split("\n");
  const replaceLine = (index: number, line: string): string =>
    lines.map((each, at) => (at === index ? line : each)).join("\n");
  return lines.flatMap((line, index) => {
    if (/^\s*(\/\/|\*|\/\*|import |export (type|interface)|readonly |}|type )/.test(line))
      return [];
    const found: Mutant[] = [];
    const add = (changed: string): void => {
      const what = changed.trim() === "" ? `dropped: ${line.trim()}` : changed.trim();
      found.push({ file, line: index + 1, what, text: replaceLine(index, changed) });
    };
    const [code = "", comment = ""] = line.split(/(?= \/\/ )/);
    for (const [pattern, replacement] of REPLACEMENTS) {
      for (const match of code.matchAll(pattern)) {
        const isType = / (=>|extends|[a-z]+\?:) /.test(code) && match[0] === " < ";
        if (isType) continue;
        const head = code.slice(0, match.index);
        const tail = code.slice(match.index + match[0].length);
        add(head + replacement.replace("$1", match[1] ?? "") + tail + comment);
      }
    }
    if (STATEMENT.test(line) || RETURN.test(line)) add("");
    return found;
  });
}

function testsOf(file: string): string[] {
  const name = basename(file, ".ts");
  const room = file.split("/")[1] ?? "";
  const own = [name, ...(MORE_TESTS[name] ?? [])];
  const all = ["core", "notify"].flatMap((folder) =>
    own.map((each) => `test/${folder}/${each}.test.ts`),
  );
  const neighbours = room === "notify" ? ["test/notify/notifier.test.ts"] : [];
  return [...new Set([...all, ...neighbours])].filter((path) => {
    const [, folder = ""] = path.split("/");
    return readdirSync(join(ROOT, "test", folder)).includes(basename(path));
  });
}

/** A copy of the sources and tests, in which one file is changed at a time. */
function createCopy(): string {
  const copy = mkdtempSync(join(tmpdir(), "t9-ipc-mutants-"));
  for (const each of ["src", "test", "package.json", "tsconfig.json"]) {
    cpSync(join(ROOT, each), join(copy, each), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

const copy = createCopy();

/** True if a test fails. */
function isNoticed({ file, text }: Mutant): boolean {
  const path = join(copy, file);
  const original = readFileSync(path, "utf8");
  writeFileSync(path, text);
  try {
    const run = (...args: string[]): boolean =>
      spawnSync(process.execPath, ["--import", "tsx", ...args], {
        cwd: copy,
        timeout: TIMEOUT_MS,
        stdio: "ignore",
      }).status !== 0;
    if (run("--test", ...testsOf(file))) return true;
    const all = readdirSync(join(ROOT, "test/core")).filter((each) =>
      /^(inbox|mailbox|presence)\./.test(each),
    );
    if (run("--test", ...all.map((each) => `test/core/${each}`), "test/notify/notifier.test.ts")) {
      return true;
    }
    const { histories } = values;
    return (
      histories !== "0" && run("test/simulation/simulate.ts", "--runs", histories, "--seed", "1")
    );
  } finally {
    writeFileSync(path, original);
  }
}

const files =
  values.file ??
  ROOMS.flatMap((room) => readdirSync(join(ROOT, room)).map((name) => `${room}/${name}`));
const mutants = files
  .flatMap(mutantsOf)
  .filter((_, index) => index % Number(values.every) === Number(values.offset));
let survivors = 0;
for (const mutant of mutants) {
  if (isNoticed(mutant)) continue;
  survivors++;
  console.log(`${mutant.file}:${mutant.line}: ${mutant.what}`);
}
console.log(`${mutants.length} mutants, ${survivors} survivors`);
rmSync(copy, { recursive: true, force: true });
