import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../../support/command.ts";
import { tempDir } from "../../support/folder.ts";

test("demo shows each step with its time and the message's file, and leaves nothing behind", async (t) => {
  const dir = tempDir(t);
  const temporary = join(dir, "..", "tmp");
  mkdirSync(temporary);
  const { code, stdout, stderr } = await run(dir, ["demo"], {
    env: { TMPDIR: temporary, TEMP: temporary },
  });
  assert.equal(code, 0, stderr);
  const steps = [...stdout.matchAll(/^ *([\d.]+) ms {2}(.+)$/gm)];
  assert.equal(steps.length, 5, stdout);
  assert.match(steps[3]?.[2] ?? "", /channel notification is there/);
  const [, path = ""] =
    /^The message is a file, (\S+\/inbox\/\S+-api-web-schema_moved\.md):$/m.exec(stdout) ?? [];
  assert.ok(path.startsWith(temporary), stdout);
  assert.match(stdout, /^---\nfrom: api\nto: web\n.+\n---\n\nusers\.id is a uuid now.+\n$/ms);
  assert.ok(!existsSync(dir), "the real folder is left alone");
  assert.deepEqual(
    readdirSync(temporary).filter((name) => name.startsWith("t9-ipc")),
    [],
  );
});

test("demo ends with 1 and says what did not come", async (t) => {
  const dir = tempDir(t);
  const missing = join(dir, "..", "none");
  const { code, stderr } = await run(dir, ["demo"], { env: { TMPDIR: missing, TEMP: missing } });
  assert.equal(code, 1);
  assert.match(stderr, /^t9-ipc: ENOENT: .+\n$/);
});
