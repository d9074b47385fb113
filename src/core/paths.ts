import { normalize } from "node:path";

/**
 * What all spellings of one path have in common: on Windows neither letter case nor the kind of
 * slash tells files apart, and shells disagree about the case of a drive's letter.
 */
const pathKey = (path: string): string =>
  process.platform === "win32" ? normalize(path).toLowerCase() : path;

export const isSamePath = (a: string, b: string): boolean => pathKey(a) === pathKey(b);
