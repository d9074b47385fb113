// What a session has to know at a call, whatever it asked for.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mailbox } from "../../src/core/mailbox.ts";
import type { Name } from "../../src/core/names.ts";
import type { LostName, Presence } from "../../src/core/presence.ts";
import { createSessionNotes } from "../../src/mcp/session-notes.ts";

const lost = (name: string, holder: string): LostName => ({
  name: name as Name,
  holder: holder as Name,
});

function scene(abandoned: { name: string; unread: number }[] = []) {
  const agent = { folder: () => "/home/shop" };
  const presence: { name: string; agent: object; lostName?: LostName } = { name: "api-2", agent };
  const mailbox = { abandonedIn: () => abandoned };
  const notes = createSessionNotes(mailbox as unknown as Mailbox, presence as unknown as Presence);
  return { presence, notes };
}

test("each lost name is told once, at whichever call comes next", () => {
  const { presence, notes } = scene();
  assert.deepEqual(notes(), []);
  presence.lostName = lost("api", "web");
  assert.deepEqual(notes(), [
    "The name api, which this conversation had, belongs to web now, with its mail. This session is api-2.",
  ]);
  assert.deepEqual(notes(), []);
  presence.lostName = lost("api", "api");
  assert.match(notes()[0] ?? "", /belongs to another session now/);
});

test("mail for names that nobody has now is told at the first call only", () => {
  const { notes } = scene([{ name: "web-2f1c", unread: 1 }]);
  const [note = "", ...others] = notes();
  assert.match(note, /: web-2f1c \(1 message\)\. .*session_id "web-2f1c".*name "web-2f1c"\.$/);
  assert.deepEqual([others, notes()], [[], []]);
});

test("however many names nobody has now, one short note is about all of them", () => {
  const { notes } = scene(Array.from({ length: 50 }, (_, n) => ({ name: `web-${n}`, unread: 2 })));
  const [note = "", ...others] = notes();
  assert.match(note, /: web-0 \(2 messages\), web-1 .*, web-2 \(2 messages\) and 47 more\. /);
  assert.ok(note.length < 400, `${note.length} characters`);
  assert.deepEqual(others, []);
});
