import { spawnSync } from "node:child_process";

/** False if this system has no FIFOs. */
export const mkfifoSync = (path: string): boolean => spawnSync("mkfifo", [path]).status === 0;
