#!/usr/bin/env node
// Starts the bundle if this Node can run it, and says so if not. Built as dist/server.js.
// Node parses a whole file before it runs the first line. So the check has a file of its own, in
// syntax that Node 12 reads, and the bundle is imported only after it.

/** As in package.json's `engines`. */
const MINIMUM = [20, 19];

const [major, minor] = process.versions.node.split(".").map(Number);
if (major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])) start();
else refuse();

async function start() {
  try {
    // From Node 22.8 on: code that was compiled at one start is not compiled again at the next.
    const { enableCompileCache } = await import("node:module");
    if (enableCompileCache) enableCompileCache();
    await import(`./${bundleFor(process.argv.slice(2))}`);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}

/** Claude Code starts the status line often, so it loads nothing that it does not need. */
function bundleFor([command, separator]) {
  const isPlain = separator === undefined || separator === "--";
  return command === "statusline" && isPlain ? "statusline.js" : "main.js";
}

/** Writes to stderr why nothing starts, and answers an MCP client, which may show no stderr. */
function refuse() {
  const minimum = MINIMUM.join(".");
  const found = `${process.versions.node} (${process.execPath})`;
  const fix = "Install a newer Node, run t9-ipc setup with it, and reconnect";
  const problem = `t9-ipc needs Node ${minimum} or later; this is ${found}. ${fix}.`;
  console.error(problem);
  process.exitCode = 1;
  const isServer = process.argv.length === 2 && !process.stdin.isTTY;
  if (isServer) answerInitialize(problem);
}

function answerInitialize(problem) {
  let received = "";
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (text) => {
    const lines = (received + text).split("\n");
    received = lines.pop();
    lines.forEach(answer);
  });

  function answer(line) {
    const { id, method } = JSON.parse(line);
    if (id === undefined) return;
    // Claude Code asks for "server/discover" first, and initializes when that is not known.
    const isInitialize = method === "initialize";
    const error = isInitialize
      ? { code: -32000, message: problem }
      : { code: -32601, message: "Method not found" };
    const text = `${JSON.stringify({ jsonrpc: "2.0", id, error })}\n`;
    process.stdout.write(text, () => isInitialize && process.exit());
  }
}
