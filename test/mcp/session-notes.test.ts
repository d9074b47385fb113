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
  const presence: { name: string; lostName?: LostName } = { name: "api-2" };
  const mailbox = { abandonedIn: () => abandoned };
  const notes = createSessionNotes(
    mailbox as unknown as Mailbox,
    presence as unknown as Presence,
    () => "/home/shop",
  );
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
  assert.match(note, /^1 message waits for web-2f1c, .*session_id "web-2f1c".*name "web-2f1c"\.$/);
  assert.deepEqual([others, notes()], [[], []]);
});
