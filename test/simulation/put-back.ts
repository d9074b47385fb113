// node --import tsx test/simulation/put-back.ts [--runs N] [--seed S] [--only WORD]
// Puts faults back that were fixed, one at a time in a copy of the sources, and says which of them
// the simulation finds by itself.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** A fault may make a history endless. */
const TIMEOUT_MS = 120_000;
const ROOT = resolve(import.meta.dirname, "../..");

interface Fault {
  readonly what: string;
  readonly file: string;
  /** Stands once in the file. */
  readonly right: string;
  readonly wrong: string;
}

const FAULTS: readonly Fault[] = [
  {
    what: "a message is none after a read that failed for a moment",
    file: "core/inbox.ts",
    right: "if (isMissing(error)) return undefined;\n      if (isTransient(error)) throw error;",
    wrong: "if (isMissing(error)) return undefined;",
  },
  {
    what: "the list is moved aside after a read that failed for a moment",
    file: "core/json-file.ts",
    right: "if (isTransient(error)) throw error;\n      const aside",
    wrong: "const aside",
  },
  {
    what: "the list is empty after a read that failed for a moment",
    file: "core/json-file.ts",
    right: "if (isTransient(error)) throw error;\n      return",
    wrong: "return",
  },
  {
    what: "a list that cannot be parsed is overwritten",
    file: "core/json-file.ts",
    right: "files.rename(this.path, aside);",
    wrong: "",
  },
  {
    what: "a file's version is noted before it is read",
    file: "core/files.ts",
    right: "this.#cached = { version, value: this.parse(this.#text()) };",
    wrong:
      "this.#cached = { version, value: this.#cached?.value as T };\n      this.#cached.value = this.parse(this.#text());",
  },
  {
    what: "one damaged line spoils a file of marks",
    file: "core/read-state.ts",
    right: 'const lines = text.split("\\n");',
    wrong: 'const lines = text.includes("\\0") ? [""] : text.split("\\n");',
  },
  {
    what: "marks are appended to a line that another process has torn",
    file: "core/read-state.ts",
    right: '(before.endsWithLine ? "" : "\\n") + text',
    wrong: "text",
  },
  {
    what: "marks are appended on the strength of old contents",
    file: "core/read-state.ts",
    right: "const before = this.#readContents();",
    wrong: "const before = this.#contents ?? this.#readContents();",
  },
  {
    what: "marks that could not be written are forgotten",
    file: "core/read-state.ts",
    right: "const marked = [...this.#unsaved];",
    wrong: "const marked = [...this.#unsaved];\n      this.#unsaved.clear();",
  },
  {
    what: "read/NAME is shortened without its lock",
    file: "core/read-state.ts",
    right: "(isLocked) => isLocked && work()",
    wrong: "() => work()",
  },
  {
    what: "a former holder's marks hide mail",
    file: "core/read-states.ts",
    right: "for (const state of taken) state.unmark(files);",
    wrong: "",
  },
  {
    what: "a since of a clock far ahead counts for good",
    file: "core/read-state.ts",
    right: "sinces.findLast((each) => !isImplausible(each, this.system.clock))",
    wrong: "sinces.at(-1)",
  },
  {
    what: "timestamps far ahead are taken for the order",
    file: "core/timestamps.ts",
    right: "return isImplausible(timestamp, clock) ? undefined : toMicros(timestamp);",
    wrong: "return toMicros(timestamp);",
  },
  {
    what: "timestamps are the sender's local time",
    file: "core/timestamps.ts",
    right: "last === undefined ? now : Math.max(now, last + 1)",
    wrong: "now",
  },
  {
    what: "a hand-written file that could not be renamed is never tried again",
    file: "upkeep/handwritten-files.ts",
    right: "errorCode(error) === undefined",
    wrong: "true",
  },
  {
    what: "set_name that fails has renamed the session",
    file: "core/presence.ts",
    right:
      "const identity = await this.heartbeats\n        .update((list) => {\n          this.#followAgent();",
    wrong:
      "this.#become(this.state, [name, ...this.#names]);\n      const identity = await this.heartbeats\n        .update((list) => {\n          this.#followAgent();",
  },
  {
    what: "a message that was stored is said not to be",
    file: "core/inbox.ts",
    right: "if (stored.length === 0) throw error;",
    wrong: "throw error;",
  },
  {
    what: "a rename that failed in the middle counts as not done",
    file: "core/inbox.ts",
    right: "if (!isUnreachable(error)) return { stored, error };",
    wrong: "return { stored, error };",
  },
  {
    what: "a scan stops at a bad file",
    file: "core/inbox.ts",
    right: "if (!isStamped(file)) return;\n      if (this.#invalid",
    wrong: "throw error;\n      if (this.#invalid",
  },
  {
    what: "mail is archived before everybody has read it",
    file: "upkeep/sweep.ts",
    right: "addressees.every((view) => view.hasRead(header.file))",
    wrong: "true",
  },
  {
    what: "marks of messages that came during the sweep are dropped",
    file: "upkeep/sweep.ts",
    right: "return this.system.files.stat(this.inbox.pathOf(file)) !== undefined;",
    wrong: "return false;",
  },
  {
    what: "a new server announces again what the one before has announced",
    file: "notify/notifier.ts",
    right: "return this.presence.announcedBefore.has(file);",
    wrong: "return file === undefined;",
  },
  {
    what: "mail that could not be read is not announced later",
    file: "notify/notifier.ts",
    right: "for (const file of this.#retry) this.#enqueue(file);",
    wrong: "",
  },
  {
    what: "a second notice is sent while one is unanswered",
    file: "notify/notifier.ts",
    right: "|| waker.isPending()",
    wrong: "",
  },
  {
    what: "a name is taken from its holder",
    file: "core/naming.ts",
    right: "return holder !== undefined && !isReclaimable(holder, name);",
    wrong: "return holder === undefined && isReclaimable(holder as never, name);",
  },
  {
    what: "a session off the list keeps names that others have",
    file: "core/naming.ts",
    right: "const free = namesWithout(held, others);",
    wrong: "const free = [...namesWithout(held, others.slice(others.length))];",
  },
  {
    what: "a look does not compare names with others'",
    file: "core/presence.ts",
    right: "const names = namesWithout(namesOf(own), others);",
    wrong: "const names = namesOf(own);",
  },
  {
    what: "the list is changed without its lock",
    file: "core/heartbeats.ts",
    right: "if (!isLocked) return undefined;",
    wrong: "",
  },
  {
    what: "a session that has ended is online",
    file: "core/heartbeats.ts",
    right: "const isSame = isSameProcess(processes, { pid, started });",
    wrong: "const isSame = isSameProcess(processes, { pid: processes.pid, started: undefined });",
  },
  {
    what: "a conversation that is opened elsewhere does not get its names back",
    file: "core/presence.ts",
    right: "isBorrowedFrom(entry, name, this.conversation);",
    wrong: "isBorrowedFrom(entry, name, undefined);",
  },
  {
    what: "a server does not yield to another one of its session",
    file: "core/presence.ts",
    right: '} else if (same && !own && this.state !== "joining") {',
    wrong: '} else if (same && !own && this.state === "left") {',
  },
  {
    what: "a session's own broadcast is its mail",
    file: "core/mailbox.ts",
    right: "if (isEveryone(header.to)) this.#readStates.markSent(header);",
    wrong: "if (isEveryone(header.file)) this.#readStates.markSent(header);",
  },
];

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});

const copy = mkdtempSync(join(tmpdir(), "t9-ipc-put-back-"));
for (const each of ["src", "test", "package.json", "tsconfig.json"]) {
  cpSync(join(ROOT, each), join(copy, each), { recursive: true });
}
symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));

/**
 * The simulation's words for what went wrong, after how many histories; undefined if nothing did.
 */
function find({ file, right, wrong }: Fault): string | undefined {
  const path = join(copy, "src", file);
  const source = readFileSync(path, "utf8");
  writeFileSync(
    path,
    source.replace(right, () => wrong),
  );
  const args = ["--import", "tsx", "test/simulation/simulate.ts", "--first"];
  const { stdout, signal } = spawnSync(
    process.execPath,
    [...args, "--runs", values.runs, `--seed=${values.seed}`],
    { cwd: copy, encoding: "utf8", timeout: TIMEOUT_MS },
  );
  writeFileSync(path, source);
  if (signal) return "a history without an end";
  const [count = "", violation = ""] = stdout.split("\n");
  return /^\d+ histories/.test(count) && violation
    ? `${count.split(",")[0]}: ${violation}`
    : undefined;
}

/** True if the right text stands once in its file, so that the fault can be put in its place. */
const isInSource = ({ file, right }: Fault): boolean =>
  readFileSync(join(ROOT, "src", file), "utf8").split(right).length === 2;

// Before the first run, since all of them take minutes.
for (const { what, file } of FAULTS.filter((each) => !isInSource(each))) {
  throw new Error(`"${what}" cannot be put into ${file}`);
}
let found = 0;
const faults = FAULTS.filter(({ what }) => what.includes(values.only));
for (const fault of faults) {
  const violation = find(fault);
  if (violation) found++;
  console.log(
    `${violation ? "found " : "MISSED"} ${fault.what}${violation ? ` (${violation})` : ""}`,
  );
}
console.log(`${found} of ${faults.length} found`);
rmSync(copy, { recursive: true, force: true });
