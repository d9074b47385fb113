import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { ConversationRecord } from "../../src/core/conversations.ts";
import type { Session } from "../../src/core/heartbeats.ts";
import {
  claimNames,
  closestName,
  conversationDigits,
  defaultName,
  explainTakenName,
  nameFromEnvironment,
  unclaimedNames,
  uniqueName,
  wantedNames,
} from "../../src/core/naming.ts";
import {
  createWorld,
  FOLDER,
  fakeAgent,
  named,
  systemOf,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";

const names = (...texts: string[]) => texts.map(named) as [ReturnType<typeof named>];
const session = (name: string, ...earlier: string[]): Session => ({
  name: named(name),
  entry: { timestamp: "", status: "active", pid: 1, working_on: "", names: earlier },
});

for (const { title, wanted, others, expected } of [
  { title: "all that is free", wanted: ["a-1", "b-1"], others: [], expected: ["a-1", "b-1"] },
  {
    title: "a suffix if the name is held",
    wanted: ["api"],
    others: [session("api")],
    expected: ["api-2"],
  },
  {
    title: "a suffix if the name is somebody's earlier name",
    wanted: ["api"],
    others: [session("web", "api")],
    expected: ["api-2"],
  },
  {
    title: "a suffix if only letter case differs",
    wanted: ["API"],
    others: [session("api")],
    expected: ["API-2"],
  },
  {
    title: "the next free suffix",
    wanted: ["api"],
    others: [session("api"), session("api-2")],
    expected: ["api-3"],
  },
  {
    title: "no earlier name that is held",
    wanted: ["api", "web", "old"],
    others: [session("x-1", "web")],
    expected: ["api", "old"],
  },
  {
    title: "each name once",
    wanted: ["api", "API", "old", "old"],
    others: [],
    expected: ["api", "old"],
  },
  {
    title: "no reserved word",
    wanted: ["user", "api"],
    others: [],
    expected: ["session-user", "api"],
  },
] as const) {
  test(`a session that claims ${wanted.join(", ")} gets ${title}`, () => {
    assert.deepEqual(claimNames(names(...wanted), others), expected);
  });
}

test("a reclaimable name is got back from its holder, and no other", () => {
  const holder = session("api", "web", "old");
  const isReclaimable = (_: Session, name: string) => name === "web" || name === "api";
  assert.deepEqual(claimNames(names("api", "web", "old"), [holder], isReclaimable), ["api", "web"]);
});

for (const { title, held, others, expected } of [
  { title: "nothing else if it holds nothing", held: [], others: [], expected: ["x-unique"] },
  { title: "what it holds", held: ["api", "old"], others: [], expected: ["api", "old"] },
  {
    title: "the unique name if somebody has its name",
    held: ["api", "old"],
    others: [session("api")],
    expected: ["x-unique", "old"],
  },
  {
    title: "its name without an earlier one that somebody has",
    held: ["api", "old"],
    others: [session("old")],
    expected: ["api"],
  },
] as const) {
  test(`a session that cannot claim goes by ${title}`, () => {
    assert.deepEqual(unclaimedNames(held.map(named), named("x-unique"), others), expected);
  });
}

const record = (fields: Partial<ConversationRecord>): ConversationRecord => ({
  name: named("old"),
  names: [],
  working_on: "",
  by: "folder",
  seen: 0,
  ...fields,
});
const wantedBy = (
  environment: string | undefined,
  given: string | undefined,
  known: ConversationRecord | undefined,
) =>
  wantedNames(fakeAgent({ given }), environment ? named(environment) : undefined, known, () =>
    named("shop-1a2b"),
  );

for (const [what, environment, given, known, expectedNames, by] of [
  ["nothing is known", undefined, undefined, undefined, ["shop-1a2b"], "folder"],
  ["the user gave it a name", undefined, "My App", undefined, ["My-App"], "user"],
  ["the user gave it a valid name", undefined, "a".repeat(60), undefined, ["a".repeat(60)], "user"],
  ["the environment names it", "env", "given", undefined, ["env"], "environment"],
  ["set_name was called", "env", "given", record({ by: "set_name" }), ["old"], "set_name"],
  ["it had a name of the folder", undefined, undefined, record({}), ["old"], "folder"],
  ["the environment is new", "env", undefined, record({}), ["env", "old"], "environment"],
  [
    "the same name was taken last time",
    "env",
    undefined,
    record({ by: "environment", asked: "env", name: named("env-2") }),
    ["env-2"],
    "environment",
  ],
  [
    "the user's name has changed",
    undefined,
    "new",
    record({ by: "user", asked: "old" }),
    ["new", "old"],
    "user",
  ],
  [
    "it had several names",
    undefined,
    undefined,
    record({ names: names("x-1", "y-1") }),
    ["old", "x-1", "y-1"],
    "folder",
  ],
] as const) {
  test(`a conversation wants ${expectedNames.join(", ").slice(0, 30)} if ${what}`, () => {
    const wanted = wantedBy(environment, given, known);
    assert.deepEqual(wanted.names, expectedNames);
    assert.equal(wanted.by, by);
  });
}

test("what a conversation worked on is kept", () => {
  assert.equal(wantedBy(undefined, undefined, record({ working_on: "x" })).workingOn, "x");
});

let world: World;
beforeEach(() => {
  world = createWorld();
});
const digits = conversationDigits("c1");
const defaultFor = (conversation: string | undefined, system = systemOf(world)) =>
  defaultName("/work/shop", digits, conversation, FOLDER, system);

test("a default name is the folder and four digits of the conversation", () => {
  assert.equal(defaultFor("c1"), `shop-${digits.slice(0, 4)}`);
  assert.match(digits, /^[0-9a-f]{64}$/);
  assert.notEqual(conversationDigits(undefined), conversationDigits(undefined));
});

test("a default name that the conversation itself has had is its name again", () => {
  world.disk.put(`/ipc/read/shop-${digits.slice(0, 4)}`, "# conversation c1\n");
  assert.equal(defaultFor("c1"), `shop-${digits.slice(0, 4)}`);
});

test("a default name that another conversation has had gets more digits", () => {
  world.disk.put(`/ipc/read/shop-${digits.slice(0, 4)}`, "# conversation c2\n");
  world.disk.put(`/ipc/read/shop-${digits.slice(0, 5)}`, "# conversation c3\n");
  assert.equal(defaultFor("c1"), `shop-${digits.slice(0, 6)}`);
});

test("a session without a conversation takes no name that was used", () => {
  world.disk.put(`/ipc/read/shop-${digits.slice(0, 4)}`, "");
  assert.equal(defaultFor(undefined), `shop-${digits.slice(0, 5)}`);
});

test("no default name is found while the folder does not answer", () => {
  const system = systemOf(world);
  world.disk.put(`/ipc/read/shop-${digits.slice(0, 4)}`, "# conversation c2\n");
  for (const call of ["stat", "read"]) {
    system.fault = (each) => {
      if (each === call) throw systemError("EIO");
    };
    assert.throws(() => defaultFor("c1", system), /EIO/);
  }
});

test("a default name whose former user cannot be known gets more digits", () => {
  const system = systemOf(world);
  const taken = `/ipc/read/shop-${digits.slice(0, 4)}`;
  world.disk.put(taken, "# conversation c1\n");
  for (const call of ["stat", "read"]) {
    system.fault = (each, path) => {
      if (each === call && path === taken) throw systemError("EACCES");
    };
    assert.equal(defaultFor("c1", system), `shop-${digits.slice(0, 5)}`);
  }
  system.fault = () => {
    throw systemError("EACCES");
  };
  assert.equal(defaultFor("c1", system), uniqueName("/work/shop", digits));
});

test("a unique name has twelve digits", () => {
  assert.equal(uniqueName("/work/shop", digits), `shop-${digits.slice(0, 12)}`);
});

test("IPC_SESSION_ID is used if it can be a name, and otherwise a line says why not", () => {
  const log: string[] = [];
  const read = (value: string | undefined) => nameFromEnvironment(value, (line) => log.push(line));
  assert.equal(read("api"), "api");
  assert.equal(read("e\u0301te"), "éte");
  assert.equal(read(undefined), undefined);
  assert.equal(read(""), undefined);
  assert.deepEqual(log, []);
  assert.equal(read("user"), undefined);
  assert.match(log[0] ?? "", /IPC_SESSION_ID is not used.*session-user/);
});

test("a taken name is explained with its holder and a free one", () => {
  const others = [session("api", "web")];
  assert.equal(explainTakenName(named("free"), others), undefined);
  assert.match(explainTakenName(named("API"), others) ?? "", /online\. .*API-2/);
  assert.match(explainTakenName(named("web"), others) ?? "", /earlier name of api.*web-2/);
});

test("a valid name is closest to itself, however long", () => {
  assert.equal(closestName("a".repeat(64)), "a".repeat(64));
  assert.equal(closestName("my app"), "my-app");
});
