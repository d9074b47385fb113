// Windows refuses a rename over a file that anybody has open, and all servers share one list.

import assert from "node:assert/strict";
import { closeSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { filesIn, heartbeats } from "../../support/mail.ts";
import { ask, makeFolder } from "./windows.ts";

const SERVERS = 8;
const CALLS = 152;

test(`${SERVERS} servers rename, send, read and list at once: no call is refused`, async (t) => {
  const { dir, start } = makeFolder(t);
  const names = Array.from({ length: SERVERS }, (_, n) => `server_${n}`);
  const sessions = await Promise.all(names.map((name) => start(name)));
  const rounds = CALLS / SERVERS;
  const refused: string[] = [];
  let sent = 0;

  const began = performance.now();
  const times: number[] = [];
  await Promise.all(
    sessions.map(async (session, n) => {
      const to = names[(n + 1) % SERVERS];
      for (let round = 0; round < rounds; round++) {
        const [tool, args] = (
          [
            ["set_name", { name: names[n], working_on: `round ${round}` }],
            ["send", { to, subject: `${n} ${round}`, body: "x" }],
            ["who", {}],
            ["unread", {}],
          ] as const
        )[round % 4] ?? ["who", {}];
        const start = performance.now();
        const { text, isError } = await session.call(tool, args);
        times.push(performance.now() - start);
        if (tool === "send") sent++;
        if (isError) refused.push(`${tool}: ${text}`);
      }
    }),
  );
  times.sort((a, b) => a - b);
  const ms = (part: number) => times[Math.floor((times.length - 1) * part)]?.toFixed(0);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  t.diagnostic(`${CALLS} calls in ${seconds} s: ${ms(0.5)} ms, p99 ${ms(0.99)} ms`);

  assert.deepEqual(refused, []);
  assert.deepEqual(Object.keys(heartbeats(dir)).sort(), names);
  assert.equal(filesIn(dir).length, sent);
  assert.deepEqual(temporaryFiles(dir), []);
  for (const session of sessions) assert.doesNotMatch(session.stderr(), /cannot be (read|written)/);
});

test("a list that another program has open for 300 ms is written all the same", async (t) => {
  const { dir, start } = makeFolder(t);
  const alpha = await start("alpha");
  const fd = openSync(join(dir, "heartbeats.json"), "r");
  setTimeout(() => closeSync(fd), 300);
  await ask(alpha, "set_name", { name: "alpha_two" });
  assert.deepEqual(Object.keys(heartbeats(dir)), ["alpha_two"]);
});

test("a list that another program keeps open is a refusal that changes nothing", async (t) => {
  const { dir, start } = makeFolder(t);
  const alpha = await start("alpha");
  const fd = openSync(join(dir, "heartbeats.json"), "r");
  const { text, isError } = await alpha.call("set_name", { name: "alpha_two" });
  closeSync(fd);
  assert.ok(isError, text);
  assert.match(text, /^Not renamed, this session is still alpha\..*EPERM/);
  assert.deepEqual(Object.keys(heartbeats(dir)), ["alpha"]);
  assert.deepEqual(temporaryFiles(dir), []);
});

const temporaryFiles = (dir: string): string[] =>
  readdirSync(dir).filter((file) => /\.bad-|^\.tmp-/.test(file));
