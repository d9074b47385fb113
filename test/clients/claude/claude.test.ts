// The whole of t9-ipc in the real Claude Code. A scripted model stands in for the real one, so that
// each test says what the model does and sees what the model is shown. Needs the built server, and
// the client: see findClaude. Nothing here leaves loopback.

import { describe } from "node:test";
import { conversations } from "./conversations.ts";
import { inbound } from "./inbound.ts";
import { names } from "./names.ts";
import { plugin } from "./plugin.ts";
import { sessions } from "./sessions.ts";
import { setup } from "./setup.ts";
import { tools } from "./tools.ts";
import { waking } from "./waking.ts";

// Each test has a home, a model and a data folder of its own, and waits most of its time.
describe("the real Claude Code", { concurrency: 3 }, () => {
  tools();
  waking();
  inbound();
  sessions();
  conversations();
  names();
  plugin();
  setup();
});
