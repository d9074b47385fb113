import type { Config } from "../config.ts";

/** Prints a line for the user. */
export type Print = (line: string) => void;

/** Takes one finding of `doctor`: what was looked at, what is wrong if anything is, what to do then, how bad it is. */
export type Report = (
  what: string,
  problem?: string | false,
  remedy?: string,
  bad?: "warning" | "broken",
) => void;
/** A part of `doctor`. What it throws is reported as broken, and the parts after it still run. */
export type Check = (report: Report, config: Config) => void | Promise<void>;
