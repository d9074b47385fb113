// A session is a conversation: what Claude Code itself shows of it, in its registry and
// transcripts.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "../../support/wait.ts";
import { call, isTold, needsClient, needsTerminal, reading, scene } from "./scene.ts";
import { descendants, haveEnded, send } from "./terminal.ts";

export function conversations(): void {
  test(
    "/resume in a running session brings the conversation's name and mail",
    needsTerminal,
    async (t) => {
      const { api, client, startPeer, online, sessions } = await scene(t, {
        script: (request) => {
          const asked = /call yourself (\w+)/.exec(request.last)?.[1];
          if (asked) return call("set_name", { name: asked });
          return isTold(request) ? reading(request) : "ok";
        },
      });
      const peer = await startPeer("peer_api");
      const first = await client.print("call yourself writer", ["--output-format", "json"]);
      const { session_id } = JSON.parse(first.stdout) as { session_id: string };
      const sent = { to: "writer", subject: "schema moved", body: "for the resumed one" };
      assert.match(await peer.call("send", sent), /offline/);
      const session = await client.open();
      await session.type("call yourself present");
      await online("present");
      await session.waitForScreen(/ok/);
      await session.type(`/resume ${session_id}`);
      await online("writer");
      await api.waitFor("the body", ({ last }) => last.includes("for the resumed one"));
      assert.deepEqual(Object.keys(sessions()).sort(), ["peer_api", "writer"]);
    },
  );

  test("two background sessions are two sessions with a mailbox each", needsClient, async (t) => {
    const { api, client, home, startPeer, sessions } = await scene(t, {
      script: (request) => {
        // The first turns of a background session are without our tools: a model searches then.
        const unread = call("unread");
        if (request.results[0]?.tool === "ToolSearch") return unread;
        if (!isTold(request)) return "ok";
        const search = { tool: "ToolSearch", input: { query: `select:${unread.tool}` } };
        return request.tools.includes(unread.tool) ? unread : search;
      },
    });
    const pids = (): number[] => {
      const folder = join(home, ".claude", "sessions");
      const files = existsSync(folder) ? readdirSync(folder) : [];
      return files
        .filter((file) => file.endsWith(".json"))
        .map((file) => Number.parseInt(file, 10));
    };
    try {
      const peer = await startPeer("peer_api");
      for (const task of ["the parser", "the lexer"]) {
        const { code, stdout, stderr } = await client.run(["--bg", "-n", task, `work on ${task}`]);
        assert.equal(code, 0, stdout + stderr);
      }
      const isThere = () => "the-parser" in sessions() && "the-lexer" in sessions();
      await waitFor(isThere, () => `two entries, have ${JSON.stringify(sessions())}`);
      const [parser, lexer] = [sessions()["the-parser"], sessions()["the-lexer"]];
      assert.notEqual(parser?.claude_pid, lexer?.claude_pid);
      assert.notEqual(parser?.claude_session, lexer?.claude_session);
      await peer.call("send", {
        to: "the-parser",
        subject: "schema moved",
        body: "for the parser",
      });
      const { transcript } = await api.waitFor("the body", ({ last }) =>
        last.includes("for the parser"),
      );
      assert.match(transcript, /work on the parser/);
      assert.doesNotMatch(transcript, /work on the lexer/);
    } finally {
      // Their daemon lives on by itself, would start them again, and writes into the home.
      const daemons = new Set(pids().map(topOf));
      const all = [...daemons].flatMap((pid) => [pid, ...descendants(pid)]);
      for (const pid of all) send(pid, "SIGKILL");
      await haveEnded(all, 5000);
    }
  });

  test(
    "what a sub-agent reads stays unread for the main conversation",
    needsTerminal,
    async (t) => {
      const isSubAgent = (transcript: string) => /you are the helper/.test(transcript);
      const { api, client, startPeer, online, sessions, marks } = await scene(t, {
        name: "claude_main",
        script: (request) => {
          const { last, results, transcript } = request;
          if (isSubAgent(transcript.split("[assistant]")[0] ?? "")) {
            if (results.length === 0) return call("set_name", { name: "helper" });
            return results[0]?.tool.endsWith("set_name") ? call("unread") : "the helper has read";
          }
          if (/get help/.test(last)) {
            const prompt = "you are the helper: read the mail";
            return {
              tool: request.tools.find((tool) => /^(Task|Agent)$/.test(tool)) ?? "Task",
              input: { description: "read mail", prompt, subagent_type: "general-purpose" },
            };
          }
          if (/any mail/.test(last)) return call("unread");
          return "ok";
        },
      });
      const peer = await startPeer("peer_api");
      const session = await client.open();
      await online("claude_main");
      await peer.call("send", {
        to: "claude_main",
        subject: "schema moved",
        body: "the port is 8123",
        priority: "low", // wakes nobody: the sub-agent is the first to read
      });
      await session.type("get help");
      const shown = await api.waitFor("the body for the helper", ({ results }) =>
        results.some(({ text }) => text.includes("the port is 8123")),
      );
      assert.ok(isSubAgent(shown.transcript), "the sub-agent was shown it");
      const refused = api.requests
        .flatMap(({ results }) => results)
        .find(({ tool }) => tool.endsWith("set_name"));
      assert.match(refused?.text ?? "", /Not renamed: a sub-agent is not the session/);
      assert.ok("claude_main" in sessions());
      await session.waitForScreen(/ok/);
      assert.deepEqual(marks("claude_main"), []);
      await session.type("any mail?");
      await api.waitFor("the body for the session", ({ results, transcript }) => {
        const isShown = results.some(({ text }) => text.includes("the port is 8123"));
        return isShown && !isSubAgent(transcript.split("[assistant]")[0] ?? "");
      });
      await waitFor(() => marks("claude_main").length === 1, "the mark");
    },
  );
}

/** The process above this one that has no parent any more. */
function topOf(pid: number): number {
  const parent = Number(
    execFileSync("ps", ["-o", "ppid=", "-p", String(pid)], { encoding: "utf8" }),
  );
  return parent > 1 ? topOf(parent) : pid;
}
