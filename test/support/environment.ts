// The environment of every child process that a test starts.

import { tmpdir } from "node:os";
import { parse } from "node:path";

/**
 * An environment made from nothing: PATH, and a home and temporary folder that are the test's own.
 * On Windows, libuv and the SDK's client add the variables that are missing there from their own
 * environment. So all that name a folder of the user are set.
 */
export function childEnv(home = tmpdir()): Record<string, string> {
  const { PATH = "", SYSTEMROOT, COMSPEC } = process.env;
  const drive = parse(home).root.replace(/[\\/]$/, "");
  return {
    PATH,
    HOME: home,
    TMPDIR: home,
    ...(process.platform === "win32" && {
      USERPROFILE: home,
      HOMEDRIVE: drive,
      HOMEPATH: home.slice(drive.length),
      APPDATA: `${home}\\AppData\\Roaming`,
      LOCALAPPDATA: `${home}\\AppData\\Local`,
      TEMP: home,
      TMP: home,
      // Without these, no program and no .cmd file starts.
      ...(SYSTEMROOT && { SYSTEMROOT }),
      ...(COMSPEC && { COMSPEC }),
    }),
  };
}
