// The whole of t9-ipc in the real Codex. A scripted model stands in for the real one, so that each
// test says what the model does and sees what it is shown. Needs the built server, and the client:
// see findCodex. Nothing leaves loopback.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { tempDir } from "../../support/folder.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";
import { noTerminal } from "../find.ts";
import { Api, type Reply, type Script } from "./api.ts";
import { Codex, findCodex } from "./client.ts";

const found = findCodex();
const needsCodex = { skip: found.reason ?? false, timeout: 120_000 };
const needsTerminal = { skip: found.reason ?? noTerminal, timeout: 120_000 };

/** What a session is told of its mail; all of it is from the peer. */
const POINTER = /^t9-ipc: \d+ new messages?, from peer: .*t9_ipc_unread/;
/** A body. It must never be in what is queued. */
const SECRET = "the port is 8123";

test(
  "an idle session is woken for each message, reads it and answers",
  needsTerminal,
  async (t) => {
    const { api, codex, peer } = await scene(t, ({ prompt, result }) => {
      if (prompt.includes("hello"))
        return { tool: "set_name", input: { name: "coder", working_on: "the parser" } };
      if (POINTER.test(prompt)) return { tool: "unread" };
      const subject = /subject: (question \d)/.exec(result)?.[1];
      return subject
        ? { tool: "send", input: { to: "peer", subject: `answer to ${subject}` } }
        : "done";
    });
    const terminal = await codex.open();
    assert.deepEqual(await others(peer), [], "before its first call nobody can know the session");
    await terminal.type("hello");
    await online(peer, ["coder"]);
    assert.match((await peer.call("who")).text, /^- coder: .*codex queue/m);

    for (const subject of ["question 1", "question 2"]) {
      await peer.call("send", { to: "coder", subject, body: SECRET });
      await waitFor(
        async () => (await peer.call("unread")).text.includes(`answer to ${subject}`),
        `the answer to ${subject}`,
      );
    }
    const prompts = api.prompts().slice(1);
    assert.equal(prompts.length, 2, `one turn for each message: ${prompts}`);
    for (const prompt of prompts) assert.match(prompt, POINTER);
    assert.doesNotMatch(prompts.join(), new RegExp(SECRET));
  },
);

test(
  "ten messages to a busy session are all read, in three more turns at most",
  needsTerminal,
  async (t) => {
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { api, codex, peer } = await scene(t, async ({ prompt }) => {
      if (prompt.includes("hello")) return { tool: "set_name", input: { name: "coder" } };
      if (prompt.includes("work")) await released;
      return POINTER.test(prompt) ? { tool: "unread" } : "done";
    });
    const terminal = await codex.open();
    await terminal.type("hello");
    await online(peer, ["coder"]);
    await terminal.type("work");
    await waitFor(() => api.prompts().some((prompt) => prompt.includes("work")), "the turn");
    for (let n = 1; n <= 10; n++)
      await peer.call("send", { to: "coder", subject: `message ${n}`, body: SECRET });
    release();
    const isRead = (subject: string) =>
      api.requests.some(({ result }) => result.includes(`subject: ${subject}\n`));
    for (let n = 1; n <= 10; n++)
      await waitFor(() => isRead(`message ${n}`), `message ${n} to be read`);

    // What is queued runs in order: once it is told of this one, no earlier turn is still to come.
    await peer.call("send", { to: "coder", subject: "the last one" });
    await waitFor(
      () => api.prompts().some((prompt) => prompt.includes("the last one")),
      "a turn for the last message",
    );
    const turns = api.prompts().filter((prompt) => POINTER.test(prompt)).length - 1;
    assert.ok(turns >= 1 && turns <= 3, `${turns} more turns`);
  },
);

test("`codex exec` lists, reads, answers and ends by itself", needsCodex, async (t) => {
  const steps: (() => Reply | Promise<Reply>)[] = [
    () => ({ tool: "who" }),
    () => ({ tool: "set_name", input: { name: "runner" } }),
    async () => {
      await peer.call("send", { to: "runner", subject: "question 1", body: SECRET });
      return { tool: "unread" };
    },
    () => ({ tool: "send", input: { to: "peer", subject: "answer to question 1" } }),
    () => "done",
  ];
  const { api, codex, peer } = await scene(
    t,
    () => steps[api.requests.length - 1]?.() ?? "too many turns",
  );
  const exec = codex.start("exec", "--skip-git-repo-check", "do it");
  assert.equal(await exec.ended, 0, exec.stderr);
  assert.match(exec.stdout, /done/);
  assert.deepEqual(api.errors, []);

  const [, who, , unread] = api.requests.map(({ result }) => result);
  assert.match(who ?? "", /^- peer: /m);
  assert.match(
    who ?? "",
    /\(you\): .*on its next tool call/,
    "what is queued for it would be cut off at its end",
  );
  assert.ok(unread?.includes(SECRET), unread);
  assert.equal(api.prompts().length, 1);
  assert.match((await peer.call("unread")).text, /answer to question 1/);
  assert.deepEqual(await others(peer), []);
});

test(
  "/new is another session, a helper is none, and a killed Codex is off the list",
  needsTerminal,
  async (t) => {
    const { api, codex, peer } = await scene(t, ({ prompt }) => {
      const [, name] = /be (\w+)/.exec(prompt) ?? [];
      if (name) return { tool: "set_name", input: { name } };
      if (prompt === "ask a helper") {
        return {
          namespace: "multi_agent_v1",
          tool: "spawn_agent",
          input: { message: "I am the helper" },
        };
      }
      return prompt === "I am the helper" ? { tool: "who" } : "done";
    });
    const terminal = await codex.open();
    await terminal.type("be first");
    await online(peer, ["first"]);
    await terminal.type("/new");
    await terminal.type("be second");
    await online(peer, ["first", "second"]);

    await terminal.type("ask a helper");
    const asked = () => api.requests.find(({ result }) => /^- first: /m.test(result))?.result;
    const answer = await waitFor(asked, "what the helper is told");
    assert.match(answer, /^- second \(you\)/m, "it speaks for the session that it helps");
    assert.deepEqual(await others(peer), ["first", "second"]);

    process.kill(codex.daemon(), "SIGKILL");
    await online(peer, []);
  },
);

async function scene(
  t: TestContext,
  script: Script,
): Promise<{ api: Api; codex: Codex; peer: TestSession }> {
  const dir = tempDir(t);
  const api = await new Api(script).listen(t);
  const codex = await new Codex(found.program ?? "", dir, api).setUp();
  return { api, codex, peer: await startSession("peer", { dir }) };
}

/** The names of all other sessions that are online, in order. */
async function others(peer: TestSession): Promise<string[]> {
  const { text } = await peer.call("who");
  return [...text.matchAll(/^- ([\w-]+): /gm)].map(([, name = ""]) => name).sort();
}

async function online(peer: TestSession, names: string[]): Promise<void> {
  let now: string[] = [];
  const isSo = async () => {
    now = await others(peer);
    return now.join() === names.join();
  };
  await waitFor(isSo, () => `${names} to be online, and nobody else; now it is ${now}`);
}
