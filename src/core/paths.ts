import { normalize } from "node:path";

/**
 * The same for all spellings of one path, which on Windows may differ in letter case and the kind
 * of slash. Shells disagree about the case of a drive's letter.
 */
const pathKey = (path: string): string =>
  process.platform === "win32" ? normalize(path).toLowerCase() : path;

export const isSamePath = (a: string, b: string): boolean => pathKey(a) === pathKey(b);
