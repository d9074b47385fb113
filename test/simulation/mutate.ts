// node --import tsx test/simulation/mutate.ts [--file src/core/x.ts] [--every N] [--offset K]
//     [--histories N]
// Changes one place of core or notify at a time, and runs the in-process tests: first those of the
// file, then all, then N histories of the simulation. A change that no test notices is a survivor:
// either a rule without a test, or a line without a purpose.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle, ROOT } from "../../.build/bundle.js";

const ROOMS = ["src/core", "src/notify"];
/** A mutant may loop forever. */
const TIMEOUT_MS = 60_000;
/**
 * Tests that start servers, which do not see a change, and tests of what is handed in, which wait.
 */
const IS_LEFT_OUT = /support\/(session|command|process|rpc)\.ts"|contract/;

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
      const what = changed === ";" ? `dropped: ${line.trim()}` : changed.trim();
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
    // An empty statement in its place, since it may be the only one of a loop.
    if (STATEMENT.test(line) || RETURN.test(line)) add(";");
    return found;
  });
}

const allTests = ROOMS.flatMap((room) => {
  const folder = room.replace("src", "test");
  return readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`);
});

/** The tests of a file by name, which are most likely to notice a change of it. */
const testsOf = (file: string): string[] =>
  ["test", "contract.test"]
    .map((kind) => `${file.replace("src", "test").replace(/\.ts$/, "")}.${kind}.ts`)
    .filter((path) => allTests.includes(path));

const inProcess = allTests.filter(
  (path) => !IS_LEFT_OUT.test(path + readFileSync(join(ROOT, path), "utf8")),
);

/** Runs these modules with one source changed. True if a test fails. */
async function fails(modules: readonly string[], { file, text }: Mutant, args: string[] = []) {
  const isCompiled = await bundle(
    {
      stdin: {
        contents: modules.map((path) => `import "./${path}";`).join("\n"),
        resolveDir: ROOT,
      },
      outfile: join(out, "tests.js"),
      sourcemap: false,
    },
    new Map([[join(ROOT, file), text]]),
  ).then(
    () => true,
    () => false, // the line was part of a longer statement
  );
  if (!isCompiled) return true;
  const child = spawn(process.execPath, [join(out, "tests.js"), ...args], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    if (/^ *not ok/m.test(chunk)) child.kill("SIGKILL");
  });
  return new Promise<boolean>((done) => child.once("close", (code) => done(code !== 0)));
}

async function isNoticed(mutant: Mutant): Promise<boolean> {
  const own = testsOf(mutant.file);
  if (own.length > 0 && (await fails(own, mutant))) return true;
  if (await fails(inProcess, mutant)) return true;
  const { histories } = values;
  const args = ["--runs", histories, "--seed", "1", "--first"];
  return histories !== "0" && fails(["test/simulation/simulate.ts"], mutant, args);
}

const files =
  values.file ??
  ROOMS.flatMap((room) => readdirSync(join(ROOT, room)).map((name) => `${room}/${name}`));
const mutants = files
  .flatMap(mutantsOf)
  .filter((_, index) => index % Number(values.every) === Number(values.offset));
const out = mkdtempSync(join(ROOT, ".tests-"));
let survivors = 0;
for (const mutant of mutants) {
  if (await isNoticed(mutant)) continue;
  survivors++;
  console.log(`${mutant.file}:${mutant.line}: ${mutant.what}`);
}
console.log(`${mutants.length} mutants, ${survivors} survivors`);
rmSync(out, { recursive: true, force: true });
