// A folder that cannot be read is never called empty.

import assert from "node:assert/strict";
import { chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { mail, stamp, writeMail } from "../../support/mail.ts";
import { noPermissions, SERVE, withoutRoot } from "../../support/process.ts";
import { startSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

describe("a folder without permissions", { concurrency: true, skip: noPermissions }, () => {
  const command = [...withoutRoot, ...SERVE];

  for (const [what, path, mode] of [
    ["the inbox lost all its permissions", "inbox", 0],
    ["the inbox can be entered but not listed", "inbox", 0o300],
    ["the data folder lost all its permissions", "", 0],
  ] as const) {
    test(`unread says that ${what}`, async (t) => {
      const dir = tempDir(t);
      const alpha = await startSession("alpha", { dir, command });
      const folder = join(dir, path);
      await waitFor(() => statSync(join(dir, "inbox"), { throwIfNoEntry: false }), "the inbox");
      // Even if the folder has not changed for so long that its listing is known to be complete.
      await waitFor(
        () => Date.now() - statSync(join(dir, "inbox")).mtimeMs > 1000,
        "a second of quiet",
      );
      for (let n = 0; n < 2; n++)
        assert.match((await alpha.call("unread")).text, /^No unread messages/);
      chmodSync(folder, mode);
      try {
        for (let n = 0; n < 3; n++) {
          const { text, isError } = await alpha.call("unread");
          assert.ok(isError, text);
          assert.match(text, /The inbox cannot be read: .*(EACCES|permission)/);
        }
      } finally {
        chmodSync(folder, 0o700);
      }
      const answers = async () =>
        (await alpha.call("unread")).text.startsWith("No unread messages");
      await waitFor(answers, "an answer when the permissions are back");
    });
  }

  for (const [what, mode] of [
    ["nothing can be done with it", 0],
    ["it can be entered but not listed", 0o300],
    ["it can be listed but not entered", 0o600],
  ] as const) {
    test(`unread says "none" of no inbox if ${what}`, async (t) => {
      const dir = tempDir(t);
      const alpha = await startSession("alpha", { dir, command });
      writeMail(
        dir,
        `${stamp(0, 1)}-0a1b2c3d-hand-alpha-x.md`,
        mail({ from: "hand", to: "alpha", subject: "waits" }),
      );
      await alpha.waitForPush();
      chmodSync(join(dir, "inbox"), mode);
      try {
        for (let n = 0; n < 3; n++) {
          const { text, isError } = await alpha.call("unread");
          assert.ok(isError || /subject: waits|permission|EACCES/.test(text), text);
          if (!isError && /subject: waits/.test(text)) return; // it could be read after all
        }
      } finally {
        chmodSync(join(dir, "inbox"), 0o700);
      }
      const returned = async () => (await alpha.call("unread")).text.includes("subject: waits");
      await waitFor(returned, "the message when the permissions are back");
    });
  }
});
