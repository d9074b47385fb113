import { spawnSync } from "node:child_process";
import { childEnv } from "./environment.ts";

/** False if this system has no FIFOs. */
export const mkfifoSync = (path: string): boolean =>
  spawnSync("mkfifo", [path], { env: childEnv() }).status === 0;
