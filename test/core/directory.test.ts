import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Directory } from "../../src/core/directory.ts";
import { UserError } from "../../src/core/errors.ts";
import type { Entry } from "../../src/core/heartbeats.ts";
import {
  createWorld,
  type FakeSession,
  FOLDER,
  fakeAgent,
  named,
  startSession,
  type World,
} from "../support/fake-system.ts";

let world: World;
let ann: FakeSession;
let directory: Directory;

beforeEach(async () => {
  world = createWorld();
  ann = await startSession(world, "ann");
  ({ directory } = ann.mailbox);
});

const startIn = (name: string, cwd: string) => startSession(world, name, fakeAgent({ cwd }));
const resolve = (...to: string[]) => directory.resolve(to, false).map((recipient) => recipient.to);
const refusal = (message: RegExp, hint: string) => (error: unknown) => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.message, message);
  assert.equal(error.hint, hint);
  return true;
};

test("`here` means each other session of the project, and nobody elsewhere", async () => {
  await startIn("bob", "/work/other");
  assert.throws(() => resolve("here"), refusal(/no other session works in this/, "list-sessions"));
  await startSession(world, "cleo");
  await startSession(world, "dora");
  assert.deepEqual(resolve("@Here", "dora"), ["cleo", "dora"]);
});

test("a message without a recipient is refused", () => {
  assert.throws(() => resolve(), refusal(/^Not sent: no recipient is named\.$/, "list-sessions"));
});

test("the project is the same in each folder of one repository", async () => {
  await startIn("bob", "/work/shop/src");
  assert.throws(() => resolve("here"));
  world.disk.makeFolder("/work/shop/.git");
  assert.deepEqual(resolve("here"), ["bob"]);
});

test("a session on another machine or in an unknown folder is not known to work here", async () => {
  const bob = await startSession(world, "bob");
  const { name, entry } = bob.heartbeats.online()[1] ?? assert.fail("not online");
  const worksHere = (changed: Partial<Entry> = {}) =>
    directory.worksHere({ name, entry: { ...entry, ...changed } });
  assert.deepEqual([name, worksHere()], ["bob", true]);
  for (const changed of [{ cwd: undefined }, { host: "other" }]) {
    assert.equal(worksHere(changed), false);
  }
});

test("a session that is online is found by any of its names in any spelling", async () => {
  const bob = await startSession(world, "bob");
  await world.time.wait(bob.presence.rename(named("robert"), undefined));
  for (const text of ["robert", "@BOB"]) assert.equal(directory.findOnline(text)?.name, "robert");
  assert.equal(directory.findOnline("cleo"), undefined);
});

test("a session means itself by each of its names, and by a word for it", async () => {
  await world.time.wait(ann.presence.rename(named("anna"), undefined));
  assert.deepEqual(
    ["ann", "ANNA", "me", "bob"].map((text) => directory.isOwnName(text)),
    [true, true, true, false],
  );
});

test("a refusal says if nobody else is online", () => {
  const message = /no session named bob has been here\. Nobody else is online\.$/;
  assert.throws(() => resolve("bob"), refusal(message, "allow-unknown"));
});

test("a name that is nobody's is refused with the names that exist, at most 30", async () => {
  for (let n = 2; n <= 30; n++) world.disk.put(`${FOLDER.read}/name-${n}`, "");
  const message = /name "bob"\. Names that exist: ann, name-2, .*, name-30\.$/;
  assert.throws(() => directory.namesOf("bob"), refusal(message, "list-sessions"));
  world.disk.put(`${FOLDER.read}/name-31`, "");
  const more = /, name-30 and 1 more\.$/;
  assert.throws(() => directory.namesOf("bob"), refusal(more, "list-sessions"));
  await world.time.wait(ann.presence.leave());
  world.disk.erase(FOLDER.read);
  assert.throws(() => directory.namesOf("bob"), refusal(/name "bob"\.$/, "list-sessions"));
});
