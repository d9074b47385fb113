// A session beside the interactive Claude Code under Wine: `peer.mjs NAME SUBJECT BODY` waits until
// NAME is online, sends it a message, and prints what `who` and the send say.

import { childEnv } from "../../support/environment.ts";
import { heartbeats } from "../../support/mail.ts";
import { startSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

const [to = "", subject = "", body = ""] = process.argv.slice(2);
const dir = process.env.IPC_DIR ?? "";
const home = process.env.T9_IPC_HOME ?? "";
const env = childEnv(home);
const session = await startSession("peer_api", { dir, cwd: home, env });
await waitFor(() => heartbeats(dir)[to], `${to} is online`);
console.log((await session.call("who")).text);
console.log(`sent at ${Date.now()}`);
console.log((await session.call("send", { to, subject, body })).text);
await session.close();
