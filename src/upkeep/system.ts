import type { Config } from "../config.ts";
import { systemClock } from "../core/clock.ts";
import { diskFiles } from "../core/files.ts";
import { createLock, type Lock } from "../core/lock.ts";
import { createProcessTable } from "../core/process.ts";
import type { System } from "../core/system.ts";
import { watchFolder } from "../core/watch.ts";
import { networkFiles } from "./network.ts";

/** The real world, for `config`: its disk, its clock, its processes. */
export function createSystem(config: Config): System & Pick<Lock, "whenIdle"> {
  const { poll, log } = config;
  const files = poll === undefined ? diskFiles : networkFiles(diskFiles, config);
  return {
    files,
    clock: systemClock,
    processes: createProcessTable(),
    ...createLock(files, log),
    watchFolder,
    log,
  };
}
