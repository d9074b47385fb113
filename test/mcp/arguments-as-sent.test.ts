// Arguments as models send them: what is meant is done, and a refusal names a next step that works.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseArguments } from "../../src/mcp/arguments.ts";
import { TOOLS, type Tool } from "../../src/mcp/tools.ts";
import { tempDir } from "../support/folder.ts";
import { filesIn, readMail } from "../support/mail.ts";
import { startSession, startSessions, type TestSession } from "../support/session.ts";

const toolNamed = (name: string): Tool =>
  TOOLS.find((tool) => tool.name === `t9_ipc_${name}`) ?? assert.fail(name);

/** What a tool's arguments are taken for. */
function parse(name: string, sent: unknown): Record<string, unknown> {
  const tool = toolNamed(name);
  return parseArguments(tool.name, tool.schema, sent);
}

/** The text of the refusal. */
function refusal(name: string, sent: unknown): string {
  try {
    const taken = JSON.stringify(parse(name, sent));
    return assert.fail(`${name} takes ${JSON.stringify(sent)} as ${taken}`);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return (error as Error).message;
  }
}

const MAIL = { to: "beta", subject: "x" };

/** Tool, arguments as sent, and what is taken for them beside the defaults. */
const TAKEN: [string, unknown, Record<string, unknown>][] = [
  ["who", undefined, {}],
  ["who", null, {}],
  ["who", "", {}],
  ["who", "{}", {}],
  ["who", { notify_when_idle: ["beta", "gamma"] }, { notify_when_idle: "beta,gamma" }],
  ["unread", null, {}],
  ["unread", { session_id: "", file: "" }, {}],
  ["unread", { session_id: null, file: null }, {}],
  ["unread", { session_id: "web-1", file: "" }, { session_id: "web-1" }],
  ["unread", '{"session_id": "web-1"}', { session_id: "web-1" }],
  ["send", JSON.stringify(MAIL), MAIL],
  ["send", { ...MAIL, body: null, reply_to: "", type: "", priority: "" }, MAIL],
  ["send", { ...MAIL, body: "", reply_to: null, type: null, priority: null }, MAIL],
  ["send", { ...MAIL, allow_unknown: null }, { allow_unknown: false }],
  ["send", { ...MAIL, allow_unknown: "" }, { allow_unknown: false }],
  ["send", { ...MAIL, allow_unknown: "true" }, { allow_unknown: true }],
  ["send", { ...MAIL, allow_unknown: "False" }, { allow_unknown: false }],
  ["send", { ...MAIL, priority: "HIGH" }, { priority: "high" }],
  ["send", { ...MAIL, priority: " Low " }, { priority: "low" }],
  ["send", { ...MAIL, priority: "urgent" }, { priority: "critical" }],
  ["send", { ...MAIL, priority: "medium" }, { priority: "normal" }],
  ["send", { ...MAIL, type: "Escalation" }, { type: "escalation" }],
  ["send", { ...MAIL, type: "message" }, { type: "ipc" }],
  ["send", { ...MAIL, to: "beta, gamma" }, { to: "beta, gamma" }],
  ["send", { ...MAIL, to: ["beta"] }, { to: "beta" }],
  ["send", { ...MAIL, to: ["beta", "gamma"] }, { to: "beta,gamma" }],
  ["send", { ...MAIL, to: '["beta", "gamma"]' }, { to: "beta,gamma" }],
  ["broadcast", { subject: "x", to: "all" }, { to: "all" }],
  ["broadcast", { subject: "x", to: "" }, { to: "all" }],
  ["broadcast", { subject: "x", type: null }, { type: "broadcast" }],
  ["set_name", { name: "gamma", working_on: "" }, { name: "gamma" }],
  ["set_name", { name: "gamma", working_on: null }, { name: "gamma" }],
];

/** Tool, arguments, and what the refusal says. */
const REFUSED: [string, unknown, RegExp][] = [
  ["who", { verbose: true }, /"verbose".* It takes: notify_when_idle.*Leave it out/],
  ["send", {}, /to is missing.*t9_ipc_who.*subject is missing.*"subject": "/],
  ["send", { to: "beta" }, /subject is missing/],
  ["send", { subject: "x" }, /to is missing/],
  ["send", { ...MAIL, to: 5 }, /to is a number and has to be a text/],
  ["send", { ...MAIL, to: null }, /to is missing/],
  ["send", { ...MAIL, to: [] }, /to is missing/],
  ["send", { ...MAIL, to: ["beta", 5] }, /to is a list/],
  ["send", { ...MAIL, subject: "" }, /subject is missing/],
  ["send", { ...MAIL, subject: 7 }, /subject is a number and has to be a text/],
  ["send", { ...MAIL, subject: { toString: "x" } }, /subject is an object/],
  ["send", { ...MAIL, body: 1 }, /body is a number and has to be a text/],
  ["send", { ...MAIL, body: ["a", "b"] }, /body is a list/],
  ["send", { ...MAIL, priority: "asap" }, /priority is one of low, normal, high, critical/],
  ["send", { ...MAIL, priority: ["high"] }, /priority is one of/],
  ["send", { ...MAIL, priority: 2 }, /priority is one of/],
  ["send", { ...MAIL, type: "broadcast" }, /type is one of ipc, escalation.*"type": "ipc"/],
  ["send", { ...MAIL, allow_unknown: "yes" }, /allow_unknown is true or false/],
  ["send", { ...MAIL, cc: "gamma" }, /"cc".* It takes: to, subject, body.*Leave it out/],
  ["send", { ...MAIL, constructor: "x" }, /"constructor"/],
  ["send", { ...MAIL, "\u202e\u001b[1m": "x" }, /"\ufffd\ufffd\[1m"/],
  ["send", JSON.parse('{"__proto__":{"to":"beta"},"subject":"x"}'), /"__proto__"/],
  ["send", [], /the arguments are a list/],
  ["send", "to beta", /the arguments are a text.* It takes: to, subject/],
  ["send", 5, /the arguments are a number/],
  ["broadcast", { body: "x" }, /subject is missing/],
  ["broadcast", { subject: "" }, /subject is missing/],
  ["broadcast", { subject: "x", to: 5 }, /to is a number.* For example "to": "all"\.$/],
  ["unread", { limit: 3 }, /"limit".* It takes: session_id, file/],
  ["unread", { session_id: 5 }, /session_id is a number/],
  ["set_name", {}, /name is missing/],
  ["set_name", { name: "" }, /name is missing/],
  ["set_name", { name: {} }, /name is an object/],
  ["set_name", { name: "gamma", working_on: 5 }, /working_on is a number/],
];

/** Tool, a parameter that it does not have, and the nearest that it has. */
const NEAREST: [string, string, string][] = [
  ["send", "message", "body"],
  ["send", "content", "body"],
  ["send", "Title", "subject"],
  ["send", "recipient", "to"],
  ["send", "session_id", "to"],
  ["send", "replyTo", "reply_to"],
  ["send", "in_reply_to", "reply_to"],
  ["send", "allowUnknown", "allow_unknown"],
  ["broadcast", "message", "body"],
  ["unread", "session", "session_id"],
  ["unread", "sessionId", "session_id"],
  ["unread", "filename", "file"],
  ["unread", "message_id", "file"],
  ["set_name", "session_id", "name"],
  ["set_name", "new_name", "name"],
  ["set_name", "workingOn", "working_on"],
];

describe("the arguments of a tool", () => {
  for (const [tool, sent, meant] of TAKEN) {
    test(`${tool} takes ${JSON.stringify(sent)} as ${JSON.stringify(meant)}`, () => {
      const taken = parse(tool, sent);
      for (const [key, value] of Object.entries(meant)) assert.equal(taken[key], value, key);
      for (const key of ["session_id", "file", "reply_to", "working_on"]) {
        assert.equal(taken[key], meant[key], `${key} was not given`);
      }
    });
  }

  for (const [tool, sent, words] of REFUSED) {
    test(`${tool} refuses ${JSON.stringify(sent)}`, () => {
      const text = refusal(tool, sent);
      assert.match(text, words);
      assert.ok(text.startsWith(`t9_ipc_${tool}: `) && text.length < 400, text);
    });
  }

  for (const [tool, key, nearest] of NEAREST) {
    test(`${tool} refuses "${key}" and names "${nearest}"`, () => {
      assert.match(refusal(tool, { [key]: "x" }), new RegExp(`Use ${nearest} instead\\.$`));
    });
  }

  test("every parameter of another type is refused with what it has to be and what to do", () => {
    for (const { name, schema } of TOOLS) {
      for (const key of Object.keys(schema.shape)) {
        const text = refusal(name.slice("t9_ipc_".length), { ...MAIL_OF[name], [key]: { a: 1 } });
        assert.match(text, new RegExp(`: ${key} is .*\\. (For example|Leave it out|Copy) .*\\.$`));
      }
    }
  });

  test("every optional parameter may be empty or null", () => {
    for (const { name, schema } of TOOLS) {
      for (const key of Object.keys(schema.shape)) {
        if (MAIL_OF[name] && key in MAIL_OF[name]) continue;
        const given = { ...MAIL_OF[name] };
        const bare = parse(name.slice("t9_ipc_".length), given);
        for (const none of ["", null]) {
          const taken = parse(name.slice("t9_ipc_".length), { ...given, [key]: none });
          assert.deepEqual(taken, bare, `${name} ${key}`);
        }
      }
    }
  });
});

/** The parameters that a tool requires. */
const MAIL_OF: Record<string, Record<string, string>> = {
  t9_ipc_send: MAIL,
  t9_ipc_broadcast: { subject: "x" },
  t9_ipc_set_name: { name: "gamma" },
};

const unread = (session: TestSession, args: Record<string, unknown> = {}) =>
  session.call("unread", args);

describe("names and files as models write them", { concurrency: 2 }, () => {
  test("a model that fills in every parameter of `unread` reads its mail, and is not told of none", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await beta.call("send", { to: "alpha", subject: "first" });
    await alpha.waitForPush();
    // Somebody else's name that does not exist is an error, and the own mail is mentioned with it.
    for (const session_id of ["session", "   ", "all", "nobody-here"]) {
      const { text, isError } = await unread(alpha, { session_id, file: null });
      assert.ok(isError, text);
      assert.match(text, /alpha.*beta|beta.*alpha/);
      assert.match(text, /\n\nt9-ipc: 1 new message, from beta: “first”\./);
    }
    const others = await unread(alpha, { session_id: "BETA" });
    assert.match(others.text, /^No unread messages for beta\.\n\nt9-ipc: 1 new message, from beta/);
    const own = await unread(alpha, { session_id: "", file: "" });
    assert.match(own.text, /^1 unread message:.*subject: first/s);
    assert.match((await unread(alpha)).text, /^No unread messages\.$/);
  });

  test("one's own name in any spelling is one's own mailbox", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await alpha.call("set_name", { name: "API-tests" });
    const spellings = ["API-tests", "api-tests", "@api-tests", "alpha", "'ALPHA'", "self", "Me"];
    for (const session_id of spellings) {
      await beta.call("send", { to: "alpha", subject: `for ${session_id}` });
      const { text } = await unread(alpha, { session_id });
      assert.match(text, /^1 unread message:/, session_id);
      assert.match((await unread(alpha)).text, /^No unread/, `${session_id} marks what it shows`);
    }
    for (const to of spellings) {
      const { text, isError } = await alpha.call("send", { to, subject: "to myself" });
      assert.ok(isError && /is this session itself/.test(text), text);
    }
  });

  test("a name may come with quotes, marks and in other letters, alone or among several", async (t) => {
    const dir = tempDir(t);
    const [alpha] = await startSessions(["alpha", "beta", "Gamma-1"], { dir });
    const spellings = ["beta", " beta ", '"beta"', "`beta`", "@beta", "- beta", "beta:", "BETA"];
    for (const to of spellings) {
      const sent = await alpha.call("send", { to, subject: `as ${to}` });
      assert.match(sent.text, /^Stored as .* beta is online/, sent.text);
    }
    for (const to of ["@beta, gamma-1", ["Beta", "`Gamma-1`"], "- beta,\n- gamma-1,"]) {
      const before = filesIn(dir).length;
      const sent = await alpha.call("send", { to, subject: `to ${JSON.stringify(to)}` });
      assert.equal(sent.isError, false, sent.text);
      assert.match(sent.text, /beta is online.*\n.*Gamma-1 is online/);
      assert.equal(filesIn(dir).length, before + 2);
    }
    const twice = await alpha.call("send", { to: "beta, @BETA", subject: "once" });
    assert.equal(twice.text.match(/Stored as/g)?.length, 1, twice.text);
    const before = filesIn(dir);
    for (const to of ["beta, nobody-here", "beta, alpha", ", ,"]) {
      const refused = await alpha.call("send", { to, subject: "to nobody" });
      assert.ok(refused.isError, refused.text);
    }
    assert.deepEqual(filesIn(dir), before, "if one is refused, nothing is sent");
    for (const to of ["all", "Everyone", "@everybody", "*"]) {
      const sent = await alpha.call("broadcast", { to, subject: `to ${to}` });
      assert.match(sent.text, /Online to receive it: .*beta/);
      assert.match(readMail(dir, filesIn(dir).at(-1) ?? ""), /^to: all$/m);
    }
  });

  test("a message's file may come with a folder, quotes or no ending", async (t) => {
    const dir = tempDir(t);
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
    await beta.call("send", { to: "alpha", subject: "question" });
    await beta.call("send", { to: "nobody-yet", subject: "secret", allow_unknown: true });
    const [file = "", secret = ""] = filesIn(dir);
    const spellings = (name: string) => [
      name,
      `inbox/${name}`,
      `${dir}/inbox/${name}`,
      `../inbox/${name}`,
      `\`${name}\``,
      ` "${name}" `,
      name.replace(/\.md$/, ""),
    ];
    for (const spelling of spellings(file)) {
      const shown = await unread(alpha, { file: spelling });
      assert.match(shown.text, /subject: question/, spelling);
      const sent = await alpha.call("send", {
        to: "beta",
        subject: `answer to ${spelling}`.slice(0, 200),
        reply_to: spelling,
      });
      assert.equal(sent.isError, false, sent.text);
      assert.match(
        readMail(dir, filesIn(dir).at(-1) ?? ""),
        new RegExp(`^reply_to: ${file}$`, "m"),
      );
    }
    const outside = ["/etc/passwd", "../heartbeats.json", "inbox", "..", "\0", "x".repeat(300)];
    for (const spelling of [...spellings(secret), ...outside]) {
      for (const [tool, args] of [
        ["unread", { file: spelling }],
        ["send", { to: "beta", subject: "x", reply_to: spelling }],
      ] as const) {
        const { text, isError } = await alpha.call(tool, args);
        assert.ok(isError, `${tool} ${spelling}: ${text}`);
        assert.match(text, /is not a message that this session sent or received/);
        assert.doesNotMatch(text, /secret(?!\.md|["`\\]| ")/, "of somebody else's message");
      }
    }
  });
});

type Call = readonly [string, Record<string, unknown>];

/** The next call, taken literally from the refusal; undefined if it takes thought. */
function nextCall(text: string, [tool, args]: Call): Call | undefined {
  const [advice = ""] = text.split("\n\n");
  const [, key = "", value = ""] = /For example "(\w+)": (true|".*?")[.;]/.exec(advice) ?? [];
  const [, nearest] = /Use (\w+) instead\.$/.exec(advice) ?? [];
  const [, unknown = ""] = /no parameter "(.*?)"/.exec(advice) ?? [];
  const { [unknown]: left, ...others } = args;
  if (nearest) return [tool, { ...others, [nearest]: left }];
  if (/Leave it out\.$/.test(advice)) return [tool, others];
  if (/repeat with allow_unknown: true\.$/.test(advice)) {
    return [tool, { ...args, allow_unknown: true }];
  }
  const [, name] = /(?:Try "|for example )([\w-]+)"?\.$/.exec(advice) ?? [];
  if (name) return [tool, { ...args, name }];
  const [, other] = /Call t9_ipc_(\w+) with this "to"\.$/.exec(advice) ?? [];
  if (other) return [other, args];
  const [, reader] = /t9_ipc_(\w+) (?:lists|shows) [^.]*\.$/.exec(advice) ?? [];
  if (reader) return [reader, {}];
  const [, first] = /Call one of t9_ipc_(\w+),/.exec(advice) ?? [];
  if (first) return [first, {}];
  return key ? [tool, { ...args, [key]: JSON.parse(value) }] : undefined;
}

const LONG = "x".repeat(10_241);
/** A call that is refused, and what a model does where the advice asks for its own words. */
const MISTAKES: [Call, ((advice: string) => Call)?][] = [
  [["send", { ...MAIL, to: "" }]],
  [["send", { to: "beta", body: "without a subject" }]],
  [["send", { ...MAIL, subject: 7 }]],
  [["send", { ...MAIL, body: 7 }]],
  [["broadcast", { subject: "to all", to: 7 }]],
  [["send", { ...MAIL, priority: "asap", body: "1" }]],
  [["send", { ...MAIL, type: "broadcast", body: "2" }]],
  [["send", { ...MAIL, allow_unknown: "yes", body: "3" }]],
  [["send", { ...MAIL, message: "run the tests" }]],
  [["send", { ...MAIL, cc: "gamma", body: "4" }]],
  [["send", { ...MAIL, to: "nobody-here" }]],
  [["send", { ...MAIL, to: "two words" }]],
  [["send", { ...MAIL, to: "user" }]],
  [["send", { ...MAIL, to: "user", allow_unknown: true }]],
  [["send", { ...MAIL, to: "alpha" }]],
  [["send", { ...MAIL, to: "me" }]],
  [["send", { ...MAIL, to: "," }]],
  [["send", { ...MAIL, reply_to: "no-such-file.md" }]],
  [
    ["send", { ...MAIL, reply_to: 5 }],
    (advice) => {
      assert.match(advice, /or leave it out\.$/);
      return ["send", { ...MAIL, body: "5" }];
    },
  ],
  [
    ["send", { ...MAIL, subject: "  " }],
    (advice) => {
      assert.match(advice, /Say in a few words/);
      return ["send", { ...MAIL, subject: "in a few words" }];
    },
  ],
  [
    ["send", { ...MAIL, body: LONG }],
    (advice) => {
      assert.match(advice, /10241.*10240.*Send it in parts/);
      return ["send", { ...MAIL, body: LONG.slice(0, 10_240) }];
    },
  ],
  [
    ["send", { ...MAIL, subject: "x".repeat(201) }],
    (advice) => {
      assert.match(advice, /Shorten it and put the rest into the body/);
      return ["send", { ...MAIL, subject: "x".repeat(200), body: "x" }];
    },
  ],
  [
    ["send", { ...MAIL, body: "nul \0" }],
    (advice) => {
      assert.match(advice, /Remove it/);
      return ["send", { ...MAIL, body: "nul " }];
    },
  ],
  [
    ["send", { to: "beta", subject: "sent before" }],
    (advice) => {
      assert.match(advice, /change the text/);
      return ["send", { to: "beta", subject: "sent before", body: "changed" }];
    },
  ],
  [["broadcast", { subject: "", body: "x" }]],
  [["broadcast", { subject: "only for one", to: "beta" }]],
  [["unread", { limit: 3 }]],
  [["unread", { session: "beta" }]],
  [["unread", { session_id: "session" }]],
  [["unread", { file: "no-such-file.md" }]],
  [
    ["unread", { session_id: 5 }],
    (advice) => {
      assert.match(advice, /Leave it out to read your own mail/);
      return ["unread", {}];
    },
  ],
  [
    ["unread", { session_id: "beta", file: "x.md" }],
    (advice) => {
      assert.match(advice, /or neither to read your own mail/);
      return ["unread", {}];
    },
  ],
  [["who", { verbose: true }]],
  [["set_name", {}]],
  [["set_name", { name: "two words" }]],
  [["set_name", { name: "../../etc/passwd" }]],
  [["set_name", { name: "claude" }]],
  [["set_name", { name: "here" }]],
  [["set_name", { name: "beta" }]],
  [["set_name", { session_name: "delta" }]],
  [
    ["set_name", { name: "gamma", working_on: "x".repeat(201) }],
    (advice) => {
      assert.match(advice, /201.*200.*Shorten it/);
      return ["set_name", { name: "gamma", working_on: "x".repeat(200) }];
    },
  ],
  [["no_such_tool", {}]],
];

test("the advice of every refusal, taken literally, succeeds at the next call", async (t) => {
  const dir = tempDir(t);
  const [alpha, beta] = await startSessions(["alpha", "beta"], { dir });
  await alpha.call("send", { to: "beta", subject: "sent before" });
  await beta.call("send", { to: "alpha", subject: "waiting" });
  await alpha.waitForPush();
  let isWaiting = true;
  for (const [call, bySense] of MISTAKES) {
    const [tool, args] = call;
    const refused = await alpha.call(tool, args);
    const what = `${tool} ${JSON.stringify(args).slice(0, 80)}: ${refused.text}`;
    assert.ok(refused.isError, what);
    assert.ok(refused.text.length < 1000, what);
    const [advice = "", notice = ""] = refused.text.split("\n\n");
    if (isWaiting) assert.match(notice, /^t9-ipc: 1 new message, from beta: “waiting”\. Read it/);
    const next = bySense ? bySense(advice) : nextCall(refused.text, call);
    assert.ok(next, `no advice in: ${what}`);
    const done = await alpha.call(...next);
    assert.equal(done.isError, false, `${what}\nthen ${JSON.stringify(next)}: ${done.text}`);
    if (next[0] === "unread" && !next[1].session_id) isWaiting = false;
  }
});

test("the five tools together take at most 1,200 tokens", async (t) => {
  const alpha = await startSession("alpha", { dir: tempDir(t) });
  const tokens = JSON.stringify(await alpha.client.listTools()).length / 4;
  assert.ok(tokens <= 1200, `${tokens} tokens`);
});
