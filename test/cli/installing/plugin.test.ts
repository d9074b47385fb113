import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { run } from "../../support/command.ts";
import { homeOf, putProgram, tempDir } from "../../support/folder.ts";
import { SERVER } from "../../support/process.ts";

/** The built folder is a marketplace with one plugin. */
const MARKETPLACE = dirname(SERVER);
const RULE = "mcp__plugin_t9-ipc_t9-ipc";

test("setup --plugin needs claude, and says what claude says against it", async (t) => {
  const dir = tempDir(t);
  const none = await run(dir, ["setup", "--plugin", "--allow"]);
  assert.equal(none.code, 1);
  assert.match(
    none.stderr,
    new RegExp(`claude plugin marketplace add ${MARKETPLACE}: claude is not on PATH`),
  );
  putProgram(
    dir,
    "claude",
    `console.error("no, by policy: " + process.argv.slice(2).join(" ")); process.exit(1)`,
  );
  const refused = await run(dir, ["setup", "--plugin", "--allow"]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, new RegExp(`no, by policy: plugin marketplace add ${MARKETPLACE}`));
  assert.ok(!existsSync(join(homeOf(dir), ".claude", "settings.json")), "nothing is allowed then");
});

test("the rule for the entry that the user wrote himself stays when that for the plugin is taken back", async (t) => {
  const dir = tempDir(t);
  putProgram(dir, "claude", "");
  const path = join(homeOf(dir), ".claude", "settings.json");
  mkdirSync(dirname(path));
  writeFileSync(path, '{"permissions":{"allow":["mcp__t9-ipc"]}}');
  assert.equal((await run(dir, ["setup", "--plugin", "--allow"])).code, 0);
  writeFileSync(path, readFileSync(path, "utf8").replace("{", '{"cleanupPeriodDays":30,'));
  assert.match(readFileSync(path, "utf8"), new RegExp(RULE));
  assert.equal((await run(dir, ["setup", "--undo"])).code, 0);
  assert.deepEqual(JSON.parse(readFileSync(path, "utf8")), {
    cleanupPeriodDays: 30,
    permissions: { allow: ["mcp__t9-ipc"] },
  });
});
