import type { styleText } from "node:util";
import type { Config } from "../config.ts";

export type Print = (what: unknown, style?: Parameters<typeof styleText>[0]) => number;

/** Takes one finding of `doctor`: what was looked at, what is wrong if anything is, what to do then, how bad it is. */
export type Report = (
  what: string,
  problem?: string | false,
  remedy?: string,
  bad?: "warning" | "broken",
) => void;
/** A part of `doctor`. What it throws is reported as broken, and the parts after it still run. */
export type Check = (report: Report, config: Config) => void | Promise<void>;
