// What README and data/README say of names, fields, variables and files is compared with the
// source.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { PLUGIN_RULE, SERVER_RULE } from "../../src/agents/claude/permissions.ts";
import { ROUTE_PROBLEMS, ROUTES } from "../../src/notify/routes.ts";
import { tempDir } from "../support/folder.ts";
import { heartbeats } from "../support/mail.ts";
import { startSession } from "../support/session.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const README = read("README.md");
const DATA = read("data/README.md");
const PAGES = { "README.md": README, "data/README.md": DATA };
const CONTRIBUTING = ".github/CONTRIBUTING.md";

test("the README is short, and its prose has at most 120 columns", () => {
  const lines = README.trimEnd().split("\n");
  assert.ok(lines.length < 160, `${lines.length} lines`);
  for (const [path, text] of Object.entries({ ...PAGES, [CONTRIBUTING]: read(CONTRIBUTING) })) {
    const long = text.split("\n").filter((line) => line.length > 120 && !line.startsWith("|"));
    assert.deepEqual(long, [], path);
  }
});

test("every link leads to a file or a heading, and every file that is named exists", () => {
  for (const [path, text] of Object.entries({ ...PAGES, [CONTRIBUTING]: read(CONTRIBUTING) })) {
    for (const [, link = ""] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [file = "", heading] = link.split("#");
      const target = join(dirname(path), file);
      assert.ok(existsSync(join(ROOT, target)), `${path}: ${link}`);
      const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replace(/[^\w -]/g, "")
          .replaceAll(" ", "-"),
      );
      if (heading) assert.ok(headings.includes(heading), `${path}: ${link}`);
    }
    for (const [, named = ""] of text.matchAll(
      /`((?:src|test|\.ci|\.build|\.github)\/[\w./-]+)`/g,
    )) {
      const isPattern = named.includes("NAME");
      assert.ok(isPattern || existsSync(join(ROOT, named)), `${path}: ${named}`);
    }
  }
});

test("the README names every environment variable of the server, and no other", () => {
  const [, section = ""] = /## Configuration\n(.*?)\n## /s.exec(README) ?? [];
  const named = [...section.matchAll(/^\|.*$/gm)].flatMap(
    ([row]) => row.match(/IPC_[A-Z_]+/g) ?? [],
  );
  const used = read("src/config.ts").match(/IPC_[A-Z_]+/g) ?? [];
  assert.deepEqual([...new Set(named)].sort(), [...new Set(used)].sort());
});

test("the rule in the README is the one that setup adds", () => {
  const [, rule = ""] = /`(\{ "permissions": [^`]+)`/.exec(README) ?? [];
  assert.deepEqual(JSON.parse(rule), { permissions: { allow: [SERVER_RULE] } });
  assert.ok(README.includes(`\`${PLUGIN_RULE}\``));
});

test("a server with IPC_DISABLED has no tools and is not listed", async (t) => {
  const dir = tempDir(t);
  const session = await startSession("alpha", { dir, env: { IPC_DISABLED: "1" } });
  assert.deepEqual((await session.client.listTools()).tools, []);
  assert.deepEqual(heartbeats(dir), {});
});

test("data/README names every field of heartbeats.json", () => {
  const [, schema = ""] =
    /const Entry = z\.looseObject\(\{(.*?)\n\}\);/s.exec(read("src/core/heartbeats.ts")) ?? [];
  const fields = [...schema.matchAll(/^ {2}(\w+): z/gm)].map(([, field = ""]) => field);
  assert.ok(fields.length > 10, schema);
  const [, section = ""] = /### heartbeats\.json\n(.*?)\n## /s.exec(DATA) ?? [];
  const known = `${section}timestamp status pid working_on`;
  assert.deepEqual(
    fields.filter((field) => !new RegExp(`\\b${field}\\b`).test(known)),
    [],
  );
  const named = [...section.matchAll(/^\| (`.+?) \|/gm)].flatMap(([, cell = ""]) =>
    cell.match(/\w+/g),
  );
  assert.deepEqual(
    named.filter((field) => !fields.includes(field ?? "")),
    [],
  );
});

test("data/README names every way to announce mail, and every problem of one", () => {
  const [, section = ""] = /## How a session learns of mail\n(.*?)\n## /s.exec(DATA) ?? [];
  const ids = [...Object.keys(ROUTES), ...Object.keys(ROUTE_PROBLEMS)].filter(
    (id) => id !== "none",
  );
  assert.deepEqual(
    ids.filter((id) => !section.includes(`\`${id}\``)),
    [],
  );
});
