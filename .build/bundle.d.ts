import type { BuildOptions } from "esbuild";

export const ROOT: string;
export function bundle(
  options: BuildOptions,
  replaced?: ReadonlyMap<string, string>,
): Promise<void>;
