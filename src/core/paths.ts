import { normalize } from "node:path";

/**
 * A key that is equal for all spellings of a path: on Windows letter case and the kind of slash do
 * not count. Shells disagree about the case of a drive's letter.
 */
const pathKey = (path: string): string =>
  process.platform === "win32" ? normalize(path).toLowerCase() : path;

export const isSamePath = (a: string, b: string): boolean => pathKey(a) === pathKey(b);
