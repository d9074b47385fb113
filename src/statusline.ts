// The entry of dist/statusline.js: `t9-ipc statusline [-- COMMAND]`, without the modules of a
// server.

import { statusLine } from "./cli/statusline.ts";
import { readConfig, workingFolder } from "./config.ts";

const command = process.argv.slice(4); // after `node SCRIPT statusline --`
await statusLine(readConfig(process.env, workingFolder()), command);
