import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  crossSessionInbound,
  settingsLayers,
  toolsAllowed,
} from "../../src/agents/claude/settings.ts";
import { homeOf, tempDir } from "../support/folder.ts";

/** Strongest first. The administrator's folder is a temporary one, as the real one is shared. */
const PLACES = {
  late: "managed/managed-settings.d/20-late.json",
  early: "managed/managed-settings.d/10-early.json",
  managed: "managed/managed-settings.json",
  local: "project/.claude/settings.local.json",
  project: "project/.claude/settings.json",
  user: "home/.claude/settings.json",
} as const;

type Files = Partial<Record<keyof typeof PLACES, unknown>>;

/** The layers of a machine with these files. Values other than text are written as JSON. */
function layersOf(t: TestContext, files: Files) {
  const root = dirname(homeOf(tempDir(t)));
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, PLACES[name as keyof typeof PLACES]);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  }
  const [claudeDir, project, managed] = ["home/.claude", "project", "managed"].map((name) =>
    join(root, name),
  );
  return settingsLayers(claudeDir ?? "", project ?? "", managed ?? "").map((layer) => ({
    ...layer,
    path: layer.path.slice(root.length + 1).replaceAll("\\", "/"),
  }));
}

test("settings are read strongest first; files that are missing or not JSON are left out", (t) => {
  const all = layersOf(t, { user: {}, project: {}, local: {}, managed: {}, early: {}, late: {} });
  assert.deepEqual(
    all.map(({ path }) => path),
    Object.values(PLACES),
  );
  assert.deepEqual(
    all.map(({ isManaged }) => isManaged),
    [true, true, true, false, false, false],
  );
  assert.deepEqual(layersOf(t, {}), []);
  const some = layersOf(t, { user: { a: 1 }, project: "{", local: "", managed: "// no\n{}" });
  assert.deepEqual(some, [{ path: PLACES.user, json: { a: 1 }, isManaged: false }]);
});

test("an administrator's folder that cannot be listed hides no other settings", (t) => {
  const root = dirname(homeOf(tempDir(t)));
  const managed = join(root, "managed");
  const claudeDir = join(root, "home", ".claude");
  mkdirSync(managed);
  mkdirSync(claudeDir);
  writeFileSync(join(claudeDir, "settings.json"), '{"a":1}');
  // Not even root can list a file.
  writeFileSync(join(managed, "managed-settings.d"), "");
  const layers = settingsLayers(claudeDir, join(root, "project"), managed);
  assert.deepEqual(
    layers.map(({ json }) => json),
    [{ a: 1 }],
  );
});

test("the strictest crossSessionInbound holds, unless an administrator has set one", (t) => {
  const says = (value: unknown) => ({ crossSessionInbound: value });
  const cases: [Files, string | undefined][] = [
    [{ user: {}, project: { model: "opus" } }, undefined],
    [{ user: says("accept") }, "accept"],
    [{ user: says("hold") }, "hold"],
    [{ user: says("refuse") }, "refuse"],
    [{ user: says("hold"), project: says("accept") }, "hold"],
    [{ user: says("accept"), local: says("refuse") }, "refuse"],
    [{ user: says("accept"), project: says("hold") }, "hold"],
    [{ user: says("refuse"), managed: says("accept") }, "accept"],
    [{ user: says("accept"), managed: says("hold") }, "hold"],
    [{ user: says("accept"), managed: says("refuse"), late: says("accept") }, "accept"],
    [{ user: says("whatever") }, "hold"],
    [{ user: says(null) }, "hold"],
  ];
  for (const [files, expected] of cases) {
    assert.equal(crossSessionInbound(layersOf(t, files)), expected, JSON.stringify(files));
  }
});

const SERVER = "mcp__t9-ipc";
const TOOLS = ["t9_ipc_send", "t9_ipc_unread"];

test("a rule that denies goes before one that asks, and that before one that allows", (t) => {
  const allow = (...rules: unknown[]) => ({ permissions: { allow: rules } });
  const deny = (...rules: unknown[]) => ({ permissions: { deny: rules } });
  const ask = (...rules: unknown[]) => ({ permissions: { ask: rules } });
  const cases: [Files, string | undefined][] = [
    [{}, undefined],
    [{ user: allow() }, undefined],
    [{ user: allow(SERVER) }, `allow ${SERVER} user`],
    [{ project: allow(SERVER) }, `allow ${SERVER} project`],
    [{ user: allow(`${SERVER}__*`) }, `allow ${SERVER}__* user`],
    [{ user: allow(`${SERVER}__t9_ipc_*`) }, `allow ${SERVER}__t9_ipc_* user`],
    [
      { user: allow(...TOOLS.map((tool) => `${SERVER}__${tool}`)) },
      `allow ${SERVER}__t9_ipc_send user`,
    ],
    [{ user: allow(`${SERVER}__t9_ipc_send`) }, undefined],
    [{ user: allow("mcp__*", "*", "Bash", `${SERVER}-other`, `${SERVER}(*)`, 7, null) }, undefined],
    [{ user: allow("mcp__*", SERVER) }, `allow ${SERVER} user`],
    [{ user: allow(SERVER), project: deny("mcp__*") }, "deny mcp__* project"],
    [
      { user: allow(SERVER), project: ask(`${SERVER}__t9_ipc_unread`) },
      `ask ${SERVER}__t9_ipc_unread project`,
    ],
    [{ user: deny(SERVER), local: allow(SERVER) }, `deny ${SERVER} user`],
    [{ user: deny("*"), local: ask(SERVER) }, "deny * user"],
    [
      { user: allow(SERVER), local: deny("mcp__github", "mcp__t9-ipc-other__*", "Bash") },
      `allow ${SERVER} user`,
    ],
    [{ user: allow(SERVER), managed: { allowManagedPermissionRulesOnly: true } }, undefined],
    [{ user: { allowManagedPermissionRulesOnly: true, ...allow(SERVER) } }, `allow ${SERVER} user`],
    [
      { late: { allowManagedPermissionRulesOnly: true }, managed: allow(SERVER) },
      `allow ${SERVER} managed`,
    ],
    [
      {
        user: { permissions: "all" },
        project: { permissions: { allow: SERVER } },
        local: { permissions: null },
      },
      `allow ${SERVER} project`,
    ],
  ];
  for (const [files, expected] of cases) {
    const rule = toolsAllowed(layersOf(t, files), SERVER, TOOLS);
    const place = Object.entries(PLACES).find(([, path]) => path === rule?.path)?.[0];
    assert.equal(rule && `${rule.list} ${rule.rule} ${place}`, expected, JSON.stringify(files));
  }
});
