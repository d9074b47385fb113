/** One line of `doctor`. */
export interface Finding {
  readonly state: "ok" | "warning" | "broken";
  /** The thing that was checked. */
  readonly what: string;
  readonly problem?: string;
  /** The step that fixes the problem. */
  readonly remedy?: string;
}

export const ok = (what: string): Finding => ({ state: "ok", what });

/** Mail still arrives, but not always, or late. */
export const warning = (what: string, problem: string, remedy: string): Finding => ({
  state: "warning",
  what,
  problem,
  remedy,
});

/** Mail does not arrive. */
export const broken = (what: string, problem: string, remedy: string): Finding => ({
  state: "broken",
  what,
  problem,
  remedy,
});
