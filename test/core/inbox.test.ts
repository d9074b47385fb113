import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { type HeaderCache, Inbox, InDoubtError, PartlyStoredError } from "../../src/core/inbox.ts";
import type { Draft, Header } from "../../src/core/message.ts";
import type { FolderListener } from "../../src/core/system.ts";
import {
  createWorld,
  type FakeSystem,
  FOLDER,
  named,
  systemOf,
  type World,
} from "../support/fake-system.ts";
import { systemError } from "../support/memory-files.ts";
import { START } from "../support/virtual-clock.ts";

const file = (n: number, to = "ann"): string => `20261122T15000000000${n}-0a1b2c3d-bob-${to}-x.md`;
const path = (n: number): string => `${FOLDER.inbox}/${file(n)}`;
const TEXT = "---\nfrom: bob\nto: ann\n---\nhi\n";

let world: World;
let system: FakeSystem;
let inbox: Inbox;
let events: string[];

beforeEach(() => {
  world = createWorld();
  world.disk.makeFolder(FOLDER.inbox);
  system = systemOf(world);
  inbox = listening(new Inbox({ folder: FOLDER }, system));
});

function listening(each: Inbox): Inbox {
  events = [];
  each.on("message", (name) => events.push(`message ${name}`));
  each.on("unstamped", (name) => events.push(`unstamped ${name}`));
  each.on("stored", (names) => events.push(`stored ${names.length}`));
  return each;
}

const draft = (to = "ann", body = "hi"): Draft => ({
  from: named("bob"),
  to: named(to),
  type: "ipc",
  subject: "news",
  body,
  priority: "normal",
});
/** Faults at the n-th rename into the inbox. */
function failRename(n: number, code: string, isAfter = false): void {
  let left = n;
  system.fault = (call, from) => {
    if (call !== "rename" || !from.includes(".tmp-") || --left > 0) return;
    system.fault = undefined;
    if (isAfter) world.disk.rename(from, path(9));
    throw systemError(code);
  };
}
const temporaries = () => world.disk.paths().filter((each) => each.includes(".tmp-"));
const messages = () => world.disk.list(FOLDER.inbox).filter((each) => each.endsWith(".md"));

test("each file is announced once, whether an event or a scan finds it", async () => {
  world.disk.put(path(1), TEXT);
  inbox.start();
  await world.time.settle();
  world.disk.put(path(2), TEXT);
  world.disk.put(path(2), TEXT);
  await world.time.advance(5000);
  assert.deepEqual(events, [`message ${file(1)}`, `message ${file(2)}`]);
});

test("a file whose event was lost is found by a scan within two seconds", async () => {
  inbox.start();
  world.disk.deliver = () => {};
  world.disk.put(path(1), TEXT);
  await world.time.advance(2000);
  assert.deepEqual(events, [`message ${file(1)}`]);
});

test("a network folder is not watched, and listed at once and then at its own interval", async () => {
  world.disk.put(path(1), TEXT);
  inbox = listening(new Inbox({ folder: FOLDER, poll: 300 }, system));
  inbox.start();
  assert.deepEqual(events, [`message ${file(1)}`]);
  for (const n of [2, 3]) {
    world.disk.put(path(n), TEXT);
    assert.equal(events.length, n - 1);
    await world.time.advance(300);
    assert.equal(events.length, n);
  }
});

test("nothing is announced after close", async () => {
  inbox.start();
  inbox.close();
  world.disk.put(path(1), TEXT);
  await world.time.advance(10_000);
  assert.deepEqual(events, []);
});

test("a removed file is forgotten, and announced again if it comes back", async () => {
  world.disk.put(path(1), TEXT);
  inbox.start();
  await world.time.settle();
  assert.equal(inbox.header(file(1))?.from, "bob");
  world.disk.erase(path(1));
  assert.equal(inbox.header(file(1)), undefined);
  assert.equal(inbox.files.has(file(1)), false);
  world.disk.put(path(1), TEXT.replace("bob", "cleo"));
  await world.time.settle();
  assert.equal(inbox.header(file(1))?.from, "cleo");
  assert.deepEqual(events, [`message ${file(1)}`, `message ${file(1)}`]);
});

test("files without a timestamp are unstamped at each scan, and hidden files are nothing", () => {
  world.disk.put(`${FOLDER.inbox}/note.md`, TEXT);
  world.disk.put(`${FOLDER.inbox}/.note.md`, TEXT);
  world.disk.put(`${FOLDER.inbox}/note.txt`, TEXT);
  inbox.scan();
  inbox.scan();
  assert.deepEqual(events, ["unstamped note.md", "unstamped note.md"]);
});

test("a file that cannot be looked at hides no other, and is not passed over in silence", () => {
  for (const n of [1, 2, 3]) world.disk.put(path(n), TEXT);
  world.disk.put(`${FOLDER.inbox}/note.md`, TEXT);
  system.fault = (_call, each) => {
    if (each === path(2) || each.endsWith("note.md")) throw systemError("EIO");
  };
  inbox.scan();
  assert.match(world.log[1] ?? "", /cannot be looked at: EIO/);
  const { headers, unreadable } = inbox.headers(() => true);
  assert.deepEqual([headers[0]?.file, headers[1]?.file], [file(1), file(3)]);
  assert.deepEqual(unreadable, [{ file: file(2), reason: "EIO: simulated" }]);
  system.fault = undefined;
  inbox.scan();
  assert.equal(inbox.headers(() => true).headers.length, 3);
  assert.equal(events.filter((each) => each.startsWith("message")).length, 3);
});

test("a message whose file name does not pass the filter is not opened", () => {
  for (const n of [1, 2]) world.disk.put(path(n), TEXT);
  inbox.scan();
  const opened: string[] = [];
  system.fault = (call, each) => {
    if (call === "read") opened.push(each);
  };
  inbox.headers((each) => each === file(1));
  assert.deepEqual(opened, [path(1)]);
});

test("a folder that cannot be listed changes nothing", () => {
  world.disk.put(path(1), TEXT);
  inbox.scan();
  system.fault = (call) => {
    if (call === "list") throw systemError("EIO");
  };
  assert.throws(() => inbox.scan(), /EIO/);
  inbox.tryScan();
  assert.equal(inbox.files.has(file(1)), true);
  assert.match(world.log.join(), /cannot be listed: EIO/);
});

test("a missing folder is created", () => {
  world.disk.erase(FOLDER.inbox);
  inbox.scan();
  assert.equal(world.disk.stat(FOLDER.inbox)?.isFolder, true);
});

test("a message is read, with the file's time for a missing `created`", () => {
  world.disk.put(path(1), TEXT);
  inbox.scan();
  assert.equal(inbox.read(file(1))?.body, "hi");
  assert.equal(inbox.header(file(1))?.created, "2026-11-22 15:30:00");
  assert.equal(inbox.storedAt(file(1)), START);
  assert.equal(inbox.storedAt(file(2)), undefined);
  assert.equal(inbox.read(file(2)), undefined);
});

for (const code of ["EIO", "EMFILE", "ENFILE", "ENOMEM", "ETIMEDOUT", "ESTALE"]) {
  test(`a message whose first read fails with ${code} is read by the next try`, () => {
    world.disk.put(path(1), TEXT);
    inbox.scan();
    system.fault = (call) => {
      if (call === "read") throw systemError(code);
    };
    assert.throws(() => inbox.read(file(1)), new RegExp(code));
    assert.throws(() => inbox.header(file(1)));
    assert.deepEqual(
      inbox.headers(() => true).unreadable.map((each) => each.file),
      [file(1)],
    );
    system.fault = undefined;
    assert.equal(inbox.header(file(1))?.from, "bob");
  });
}

test("a file that is not a message is said once, and announced when it has changed", () => {
  world.disk.put(path(1), "hello");
  inbox.scan();
  for (let n = 0; n < 2; n++) assert.equal(inbox.read(file(1)), undefined);
  assert.equal(inbox.header(file(1)), undefined);
  inbox.scan();
  assert.deepEqual(
    inbox.headers(() => true),
    { headers: [], unreadable: [] },
  );
  assert.equal(world.log.filter((line) => line.includes("not a message")).length, 1);
  world.disk.put(path(1), TEXT);
  inbox.scan();
  assert.equal(inbox.read(file(1))?.body, "hi");
  assert.equal(inbox.header(file(1))?.from, "bob");
  assert.deepEqual(events, [`message ${file(1)}`, `message ${file(1)}`]);
});

test("a file that is not UTF-8 is not a message", () => {
  world.disk.put(path(1), Buffer.concat([Buffer.from(TEXT), Buffer.from([0xc3, 0x28])]));
  inbox.scan();
  assert.equal(inbox.read(file(1)), undefined);
  assert.match(world.log[0] ?? "", /not UTF-8/);
});

test("a broken file that can no longer be examined is unreadable, since it may have changed", () => {
  world.disk.put(path(1), "hello");
  inbox.scan();
  inbox.read(file(1));
  system.fault = (_call, each) => {
    if (each === path(1)) throw systemError("EIO");
  };
  inbox.scan();
  assert.equal(inbox.headers(() => true).unreadable[0]?.file, file(1));
});

test("a file without rights is read once they are given", () => {
  world.disk.put(path(1), TEXT);
  world.disk.deny(path(1));
  inbox.scan();
  assert.equal(inbox.read(file(1)), undefined);
  world.disk.deny(path(1), false);
  inbox.scan();
  assert.equal(inbox.read(file(1))?.body, "hi");
});

test("a message that is removed just before it is read is missing, and not broken", () => {
  world.disk.put(path(1), TEXT);
  inbox.scan();
  system.fault = (call) => {
    if (call === "read") world.disk.erase(path(1));
  };
  assert.equal(inbox.read(file(1)), undefined);
  assert.deepEqual(world.log, []);
});

class MapCache implements HeaderCache {
  readonly headers = new Map<string, Header>();
  gets = 0;

  get(name: string): Header | undefined {
    this.gets++;
    return this.headers.get(name);
  }

  set(header: Header): void {
    this.headers.set(header.file, header);
  }

  delete(name: string): void {
    this.headers.delete(name);
  }
}

test("a known header is not read again, and the cache keeps it over restarts", () => {
  const cache = new MapCache();
  world.disk.put(path(1), TEXT);
  inbox = new Inbox({ folder: FOLDER, cache }, system);
  inbox.scan();
  inbox.header(file(1));
  system.fault = (call) => {
    if (call === "read") throw systemError("EIO");
  };
  const again = new Inbox({ folder: FOLDER, cache }, system);
  again.scan();
  cache.gets = 0;
  for (let n = 0; n < 2; n++) assert.equal(again.header(file(1))?.from, "bob");
  assert.equal(cache.gets, 1);
  world.disk.erase(path(1));
  const later = new Inbox({ folder: FOLDER, cache }, system);
  later.scan();
  assert.equal(later.header(file(1)), undefined, "the message is gone");
  again.scan();
  assert.equal(cache.headers.size, 0);
});

test("a message that was broken for a while has the header that it has now", () => {
  inbox = new Inbox({ folder: FOLDER, cache: new MapCache() }, system);
  world.disk.put(path(1), TEXT);
  inbox.scan();
  assert.equal(inbox.header(file(1))?.from, "bob");
  world.disk.put(path(1), "hello");
  assert.equal(inbox.read(file(1)), undefined);
  world.disk.put(path(1), TEXT.replace("bob", "cleo"));
  inbox.scan();
  assert.equal(inbox.header(file(1))?.from, "cleo");
});

test("stored messages are in the inbox in the order given, and announced with their headers", async () => {
  const headers = await inbox.store([draft("ann", "1"), draft("cleo", "2")]);
  assert.deepEqual(
    messages(),
    headers.map((header) => header.file),
  );
  assert.ok((headers[0]?.file ?? "") < (headers[1]?.file ?? ""));
  assert.deepEqual(events.slice(-1), ["stored 2"]);
  assert.equal(inbox.read(headers[1]?.file ?? "")?.body, "2");
  assert.deepEqual(inbox.header(headers[0]?.file ?? ""), headers[0]);
  assert.deepEqual(temporaries(), []);
});

test("the header of a stored message is known, and is in the cache for the next start", async () => {
  const cache = new MapCache();
  inbox = new Inbox({ folder: FOLDER, cache }, system);
  const [header] = await inbox.store([draft()]);
  assert.deepEqual([...cache.headers.values()], [header]);
  assert.equal(inbox.header(header?.file ?? ""), header);
  assert.equal(cache.gets, 0);
});

test("each stored message is told at once, before others can see it", async () => {
  const told: boolean[] = [];
  await inbox.store([draft(), draft()], (header) => told.push(inbox.files.has(header.file)));
  assert.deepEqual(told, [false, false]);
});

test("messages are stored without the lock, too", async () => {
  world.lock.held.add(FOLDER.inbox);
  assert.equal((await inbox.store([draft()])).length, 1);
});

test("nothing is stored if a temporary file cannot be written", async () => {
  let creates = 0;
  system.fault = (call) => {
    if (call === "create" && ++creates === 2) throw systemError("ENOSPC");
  };
  await assert.rejects(inbox.store([draft(), draft()]), /ENOSPC/);
  assert.deepEqual([messages(), temporaries(), events], [[], [], []]);
});

test("nothing is stored if the first rename fails", async () => {
  failRename(1, "EACCES");
  await assert.rejects(inbox.store([draft(), draft()]), /EACCES/);
  assert.deepEqual([messages(), temporaries(), events], [[], [], []]);
});

test("what was stored before a rename failed is said", async () => {
  failRename(2, "ENOSPC");
  const error = await inbox.store([draft(), draft(), draft()]).catch((each) => each);
  assert.ok(error instanceof PartlyStoredError);
  assert.deepEqual(
    error.stored.map((header) => header.file),
    messages(),
  );
  assert.equal(error.inDoubt, undefined);
  assert.deepEqual([messages().length, temporaries(), events.at(-1)], [1, [], "stored 1"]);
});

test("a network failure in the middle of a rename leaves the message in doubt", async () => {
  failRename(1, "EIO", true);
  const error = await inbox.store([draft()]).catch((each) => each);
  assert.ok(error instanceof InDoubtError);
  assert.equal(error.code, "EIO");
  assert.equal(messages().length, 1);
  failRename(2, "EIO");
  const partly = await inbox.store([draft(), draft(), draft()]).catch((each) => each);
  assert.ok(partly instanceof PartlyStoredError);
  assert.equal(partly.stored.length, 1);
  assert.match(partly.inDoubt ?? "", /\.md$/);
  assert.deepEqual(temporaries(), []);
});

test("a message is found in the inbox and in the archive", async () => {
  world.disk.put(path(1), TEXT);
  inbox.scan();
  assert.equal(inbox.find(file(1))?.isArchived, false);
  inbox.archive(file(1));
  assert.equal(inbox.find(file(1))?.isArchived, true);
  assert.equal(inbox.files.has(file(1)), false);
  inbox.archive(file(1)); // another server was faster
  assert.equal(inbox.find(file(2)), undefined);
  world.disk.put(`${FOLDER.dir}/note.md`, TEXT);
  assert.equal(inbox.find("../note.md"), undefined);
});

test("an archive that cannot be read just now is an error", () => {
  world.disk.put(`${FOLDER.archive}/${file(1)}`, TEXT);
  system.fault = (call) => {
    if (call === "read") throw systemError("EIO");
  };
  assert.throws(() => inbox.find(file(1)), /EIO/);
});

test("a failed move to the archive leaves the message where it is", () => {
  world.disk.put(path(1), TEXT);
  inbox.scan();
  system.fault = (call) => {
    if (call === "rename") throw systemError("EACCES");
  };
  assert.throws(() => inbox.archive(file(1)), /EACCES/);
  assert.equal(inbox.files.has(file(1)), true);
});

/** Counts watches, and lets a test fail them. */
function countWatches(): { listeners: FolderListener[]; closed: FolderListener[]; inbox: Inbox } {
  const listeners: FolderListener[] = [];
  const closed: FolderListener[] = [];
  const watchFolder: typeof system.watchFolder = (_folder, listener) => {
    listeners.push(listener);
    return { close: () => void closed.push(listener) };
  };
  const inbox = listening(new Inbox({ folder: FOLDER }, { ...system, watchFolder }));
  return { listeners, closed, inbox };
}

test("a folder that was replaced is watched again", async () => {
  const { listeners, closed, inbox } = countWatches();
  inbox.start();
  await world.time.advance(4000);
  assert.equal(listeners.length, 1);
  world.disk.erase(FOLDER.inbox);
  await world.time.advance(4000);
  assert.equal(listeners.length, 2);
  assert.deepEqual(closed, listeners.slice(0, 1));
});

test("a folder that was away for a while is watched again", async () => {
  const { listeners, inbox } = countWatches();
  inbox.start();
  system.fault = () => {
    throw systemError("EIO");
  };
  await world.time.advance(4000);
  system.fault = undefined;
  await world.time.advance(4000);
  assert.equal(listeners.length, 2);
});

test("without a watch the folder is listed twice a second, and a watch is asked for again", async () => {
  const { listeners, inbox } = countWatches();
  inbox.start();
  listeners[0]?.onError(systemError("ENOSPC"));
  listeners[0]?.onError(systemError("ENOSPC"));
  world.disk.put(path(1), TEXT);
  await world.time.advance(500);
  assert.deepEqual(events, [`message ${file(1)}`]);
  assert.equal(world.log.filter((line) => line.includes("not watched")).length, 1);
  await world.time.advance(119_000);
  assert.equal(listeners.length, 1);
  await world.time.advance(500);
  assert.equal(listeners.length, 2);
  world.disk.put(path(2), TEXT);
  await world.time.advance(1999);
  assert.equal(events.length, 1, "listed every two seconds again");
  await world.time.advance(1);
  assert.equal(listeners.length, 2);
  listeners[1]?.onError(systemError("ENOSPC"));
  assert.equal(world.log.filter((line) => line.includes("not watched")).length, 2);
});

test("a folder that could not be created is watched once it is there", async () => {
  const { listeners, inbox } = countWatches();
  world.disk.erase(FOLDER.inbox);
  system.fault = (call) => {
    if (call === "makeFolder") throw systemError("EACCES");
  };
  inbox.start();
  assert.equal(listeners.length, 0);
  system.fault = undefined;
  await world.time.advance(4000);
  assert.equal(listeners.length, 1);
});

test("an event without a name leads to a scan", () => {
  const { listeners, inbox } = countWatches();
  inbox.start();
  world.disk.put(path(1), TEXT);
  listeners[0]?.onChange(undefined);
  assert.deepEqual(events, [`message ${file(1)}`]);
});

test("an event of a file that is not a message is ignored", () => {
  const { listeners, inbox } = countWatches();
  inbox.start();
  world.disk.put(`${FOLDER.inbox}/.note.md`, TEXT);
  listeners[0]?.onChange(".note.md");
  assert.deepEqual(events, []);
});

test("an inbox on another device gets its temporary files inside it", async () => {
  const { stat } = system.files;
  const files = {
    ...system.files,
    stat: (each: string) => {
      const found = stat(each);
      return found && each === FOLDER.inbox ? { ...found, id: `2${found.id.slice(1)}` } : found;
    },
  };
  const created: string[] = [];
  system.fault = (call, each) => {
    if (call === "create") created.push(each);
  };
  await new Inbox({ folder: FOLDER }, { ...system, files }).store([draft()]);
  assert.match(created[0] ?? "", /^\/ipc\/inbox\/\.tmp-/);
  await inbox.store([draft()]);
  assert.match(created[1] ?? "", /^\/ipc\/\.tmp-/);
});
