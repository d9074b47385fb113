/**
 * Measures real servers over stdio and prints two tables and their targets: folders of many
 * messages with few sessions, and an empty folder with many sessions.
 *
 *     node --import tsx test/bench/bench.ts [--vs CHECKOUT] [--quick] [--json]
 *         [--only folders|sessions|readme] [--sizes 0,1000,10000,100000]
 *         [--sessions 2,10,25,50,100,200] [--server SERVER.JS]
 *
 * --only readme  what the README's table shows, printed as that table; takes about five minutes
 * --vs     the same against a checkout of the Python original, in the same run, on a temporary
 *          copy of it
 * --quick  sizes 0 and 10,000, 2, 50 and 200 sessions, fewer rounds; CPU at rest and growth only of
 *          t9-ipc with 10,000 in the inbox; of the original no more than 50 sessions
 * --sizes  how many messages lie on disk: each in the archive, then in the inbox
 * --server another build of ours, to measure a change
 */

import { mkdtempSync, rmSync } from "node:fs";
import { cpus, platform, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { BUILT, type Filling, fill, fillings, original, ours, type Server } from "./folder.ts";
import { BARE, crowd, type Figures, pair, start, UNREAD, unread } from "./measures.ts";
import { killAll } from "./session.ts";
import { ALONE, ANNOUNCED, ANSWERED, MEMORY, REST, sessions } from "./sessions.ts";

type Label = Server["label"];
type Column = { title: string; figures: Record<Label, Figures> };

const { values: options } = parseArgs({
  options: {
    vs: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    only: { type: "string" },
    sizes: { type: "string" },
    sessions: { type: "string" },
    server: { type: "string", default: BUILT },
  },
});
const root = mkdtempSync(join(tmpdir(), "t9-ipc-bench-"));
process.on("exit", () => {
  killAll();
  rmSync(root, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.exit(130));

const isForReadme = options.only === "readme";
const sizes =
  options.sizes ?? (isForReadme ? "1000,10000" : options.quick ? "0,10000" : "0,1000,10000,100000");
const plan = (options.only === "sessions" ? [] : fillings(sizes.split(",").map(Number))).filter(
  ({ title }) => !isForReadme || /^inbox/.test(title),
);
const counts =
  options.sessions ?? (isForReadme ? "2,10,50" : options.quick ? "2,50,200" : "2,10,25,50,100,200");
const crowds = options.only === "folders" ? [] : counts.split(",").map(Number);
const failures: string[] = [];
const columns: Column[] = [];
const crowded: Column[] = [];
for (const filling of plan) columns.push(await measure(filling));
for (const count of crowds) crowded.push(await measureSessions(count));
progress("");

const cpuModel = `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores`;
const machine = `${cpuModel}, ${platform()} ${release()}, Node ${process.version}`;
const report = {
  machine,
  date: new Date().toISOString(),
  columns,
  crowded,
  targets: isForReadme ? [] : [...targets(), ...crowdTargets()],
  failures,
};
console.log(options.json ? JSON.stringify(report, null, 2) : print(report));
if (isForReadme && !options.json) console.log(`\n${readmeTable()}`);
process.exit();

type Attempt = (stage: string, run: () => Promise<Partial<Column["figures"]>>) => Promise<void>;

/** One column: a fresh folder for each server, and stages whose failure stops no other stage. */
async function column(
  title: string,
  stages: (servers: Server[], attempt: Attempt) => Promise<void>,
): Promise<Column> {
  const dir = mkdtempSync(join(root, "data-"));
  const servers = [ours(dir, options.server), ...(options.vs ? [original(dir, options.vs)] : [])];
  const figures: Column["figures"] = { "t9-ipc": {}, original: {} };
  await stages(servers, async (stage, run) => {
    progress(
      `${columns.length + crowded.length + 1}/${plan.length + crowds.length} ${title}: ${stage}`,
    );
    try {
      const result = await run();
      for (const { label } of servers) Object.assign(figures[label], result[label]);
    } catch (error) {
      failures.push(`${title}, ${stage}: ${error instanceof Error ? error.message : error}`);
    }
  });
  rmSync(dir, { recursive: true, maxRetries: 5 });
  return { title, figures };
}

function measure(filling: Filling): Promise<Column> {
  const effort = (label: Label) => ({
    rounds: options.quick ? 2 : 5,
    long: !options.quick || (filling.title === "inbox 10k" && label === "t9-ipc"),
  });
  return column(filling.title, async (servers, attempt) => {
    for (const { data } of servers) fill(data, filling);
    if (!isForReadme) await attempt("start", () => start(servers, effort("t9-ipc")));
    for (const stage of isForReadme ? [unread] : [pair, crowd, unread])
      for (const server of servers)
        await attempt(`${stage.name} of ${server.label}`, async () => ({
          [server.label]: await stage(server, effort(server.label)),
        }));
  });
}

function measureSessions(count: number): Promise<Column> {
  const plan = {
    count,
    rounds: options.quick ? 3 : 5,
    rest: count === 200 || !options.quick ? 30 : 5,
  };
  return column(`${count} sessions`, async (servers, attempt) => {
    for (const server of servers) {
      fill(server.data, { title: "", folder: "inbox", count: 0, mine: 0 });
      if (server.label === "original" && options.quick && count > 50) continue;
      await attempt(server.label, async () => ({ [server.label]: await sessions(server, plan) }));
    }
  });
}

/** The rows of the README's table, in its words. */
function readmeTable(): string {
  const cells = (of: readonly Column[], label: Label, key: string): string =>
    of.map(({ figures }) => number(figures[label][key])).join(" · ");
  const row = (what: string, of: readonly Column[], key: string): string =>
    `| ${what} | ${cells(of, "t9-ipc", key)} | ${cells(of, "original", key)} |`;
  return [
    row("from a send until it is announced, ms", crowded, ANNOUNCED),
    row("a send answered, ms", crowded, ANSWERED),
    row("memory of an idle session (PSS), MB", crowded, MEMORY),
    row("CPU of a session at rest, ms a second", crowded, REST),
    row("`unread` with 1,000 · 10,000 messages in the folder, ms", columns, UNREAD),
  ].join("\n");
}

/**
 * What is asked for of full folders, each as "at most"; "worst" is over all fillings that were
 * measured.
 */
function targets() {
  if (plan.length === 0) return [];
  const figure =
    (column?: Column) =>
    (key: string, label: Label = "t9-ipc") =>
      column?.figures[label][key] ?? NaN;
  const at = (title?: string) => figure(columns.find((column) => column.title === title));
  const worst = (value: (f: ReturnType<typeof figure>) => number) => {
    const known = columns.map((column) => value(figure(column))).filter((n) => !Number.isNaN(n));
    return known.length ? Math.max(...known) : NaN;
  };
  const archives = plan.filter(({ folder }) => folder === "archive").map(({ title }) => title);
  const [empty, inbox, mine, archive] = [
    at("empty"),
    at("inbox 10k"),
    at("10k, 1k mine"),
    at(archives.at(-1)),
  ];
  const [p50, p99, burst, fifty] = [
    "push p50, ms",
    "push p99, ms",
    "burst pushed, messages/s",
    "fan-out to 50, ms",
  ];
  const [first, later, rss] = ["unread first, ms", "unread later, ms", "memory (RSS), MB"];
  const heap = "live heap grown a message, bytes"; // an entry in the index of the inbox, not the message
  const asked: [text: string, value: number, limit: number][] = [
    ["push p50, empty, ms", empty(p50), 3],
    ["push p99, empty, ms", empty(p99), 15],
    ["push p50, inbox 10k : empty", inbox(p50) / empty(p50), 2],
    ["push p99, inbox 10k : empty", inbox(p99) / empty(p99), 2],
    ["CPU a message received, inbox 10k, ms", inbox("CPU a message received, ms"), 20],
    ["send p50, worst, ms", worst((f) => f("send p50, ms")), 2],
    [
      "burst pushed, original : t9-ipc, worst",
      worst((f) => f(burst, "original") / f(burst)),
      1 / 3,
    ],
    ["burst lost, worst", worst((f) => f("burst: lost")), 0],
    ["burst repeated, worst", worst((f) => f("burst: repeated")), 0],
    ["burst out of order, worst", worst((f) => f("burst: out of order")), 0],
    ["fan-out to 50, empty, ms", empty(fifty), 150],
    ["fan-out to 50, inbox 10k, ms", inbox(fifty), 150],
    ["unread first, 10k, 1k mine, t9-ipc : original", mine(first) / mine(first, "original"), 0.2],
    ["unread later, 10k, 1k mine, t9-ipc : original", mine(later) / mine(later, "original"), 0.2],
    ["unread first, largest archive : empty", archive(first) / empty(first), 1.2],
    ["start : node -e 0, worst", worst((f) => f("start, ms") / f(`start, ms${BARE}`)), 2.2],
    ["RSS : bare Node, empty", empty(rss) / empty(`${rss}${BARE}`), 1.5],
    ["RSS : bare Node, inbox 10k", inbox(rss) / inbox(`${rss}${BARE}`), 2],
    ["RSS : bare Node, 10k, 1k mine", mine(rss) / mine(`${rss}${BARE}`), 2],
    ["live heap grown a message received (2 KB), worst, bytes", worst((f) => f(heap)), 1000],
    ["CPU at rest, worst, ms/s", worst((f) => f("CPU at rest of 20, ms/s each")), 1],
  ];
  return asked.map(judge);
}

/**
 * What is asked for of many sessions, each as "at most"; "worst" is over all numbers that were
 * measured.
 */
function crowdTargets() {
  if (crowds.length === 0) return [];
  const at =
    (count: number) =>
    (key: string, label: Label = "t9-ipc") =>
      crowded.find(({ title }) => title === `${count} sessions`)?.figures[label][key] ?? NaN;
  const worst = (key: string) =>
    Math.max(...crowded.map(({ figures }) => figures["t9-ipc"][key] ?? 0));
  const [two, fifty, many] = [at(2), at(50), at(200)];
  const [send, burst] = [ANSWERED, "two sends from each, all answered, ms"];
  const [reached, starts] = ["broadcast reaches all, ms", "start of all at once, ms"];
  const asked: [text: string, value: number, limit: number][] = [
    ["one send answered, 50 sessions : 2", fifty(send) / two(send), 3],
    ["CPU of a bystander of 50, ms a message", fifty("CPU of a bystander, ms a message"), 0.3],
    ["two sends from each of 50, answered, ms", fifty(burst), 1500],
    ["messages of 50 written without the lock", fifty("messages written without the lock"), 0],
    ["two sends from each: lost, worst", worst("the same: lost"), 0],
    ["readers of 50 with another order", fifty("the same: readers with another order"), 0],
    ["senders of 50 whose order changed", fifty("the same: senders whose order changed"), 0],
    ["CPU at rest of 200, ms/s each", many(REST), 0.5],
    ["start of 200 : each in a folder of its own", many(starts) / many(starts + ALONE), 1.3],
    ["broadcast to 50, ms", fifty(reached), 120],
    ["broadcast to 200, ms", many(reached), 600],
  ];
  return asked.map(judge);
}

function judge([text, value, limit]: [text: string, value: number, limit: number]) {
  return {
    text,
    value,
    limit,
    result: Number.isNaN(value) ? "-" : value <= limit ? "ok" : "short",
  };
}

function print({ machine, targets, failures }: typeof report): string {
  const verdict = targets.map(({ text, value, limit, result }) => [
    text,
    number(value),
    number(limit),
    result,
  ]);
  return [
    ...[machine, "(2.0x): the figure of t9-ipc is twice the one it stands beside.", ""],
    ...[...table(columns), "", ...table(crowded, "2 sessions"), ""],
    ...(verdict.length > 0 ? align([["target", "measured", "at most", ""], ...verdict]) : []),
    ...failures.map((failure) => `failed: ${failure}`),
  ].join("\n");
}

/**
 * One line a figure; below it that of the bare case, of the original, and of the column `base`,
 * with ratios.
 */
function table(columns: Column[], base?: string): string[] {
  if (columns.length === 0) return [];
  const lines = [["", ...columns.map(({ title }) => title)]];
  const row = (name: string, cell: (f: Column["figures"]) => string) =>
    lines.push([name, ...columns.map(({ figures }) => cell(figures))]);
  const beside = (a = NaN, b = NaN) =>
    number(b) + (a / b > 0 && a / b < Infinity ? ` (${number(a / b)}x)` : "");
  const keys = new Set(columns.flatMap(({ figures }) => Object.keys(figures["t9-ipc"])));
  const first = columns.find(({ title }) => title === base)?.figures["t9-ipc"];
  for (const key of keys) {
    if (key.endsWith(BARE) || key.endsWith(ALONE)) continue;
    row(key, (f) => number(f["t9-ipc"][key]));
    if (keys.has(key + ALONE))
      row(`  ${ALONE.slice(2)}`, ({ "t9-ipc": f }) => beside(f[key], f[key + ALONE]));
    if (keys.has(key + BARE))
      row("  bare Node", ({ "t9-ipc": f }) => beside(f[key], f[key + BARE]));
    if (options.vs) row("  original", (f) => beside(f["t9-ipc"][key], f.original[key]));
    if (first?.[key]) row(`  ${base}`, (f) => beside(f["t9-ipc"][key], first[key]));
  }
  return align(lines);
}

function align(lines: string[][]): string[] {
  const width = (n: number) => Math.max(...lines.map((line) => line[n]?.length ?? 0));
  const pad = (cell: string, n: number) =>
    n === 0 ? cell.padEnd(width(n)) : cell.padStart(width(n));
  return lines.map((line) => line.map(pad).join("  ").trimEnd());
}

function number(value = NaN): string {
  if (Number.isNaN(value)) return "-";
  if (value === Infinity) return "never";
  if (Number.isInteger(value) || value >= 100) return value.toFixed();
  return Math.abs(value) < 0.1 ? value.toPrecision(1) : value.toFixed(value < 10 ? 2 : 1);
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
