// Stands in until the last test has moved into its folder: see test/support.
export { tempDir } from "./support/folder.ts";
export { SERVER } from "./support/process.ts";
export { type Options, type Push, startSession, TestSession } from "./support/session.ts";
export { waitFor } from "./support/wait.ts";
