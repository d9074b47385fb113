import { FSWatcher } from "chokidar";
import type { WatchFolder } from "./system.ts";

/**
 * chokidar lists the folder and stats every file in it at each change: 147 ms at 10,000 files. The
 * inbox keeps its own list, so all it needs is the documented `raw` event. `_readdirp` is the one
 * private method that is overridden; the version of chokidar is pinned, and a test counts listings.
 */
class UnlistedFolder extends FSWatcher {
  override _readdirp(): undefined {
    return undefined;
  }
}

export const watchFolder: WatchFolder = (folder, { onChange, onReady, onError }) => {
  const watcher = new UnlistedFolder({ ignoreInitial: true, depth: 0 });
  watcher
    .on("raw", (_event, file: string | null) => onChange(file ?? undefined))
    .on("ready", onReady)
    .on("error", onError)
    .add(folder);
  return { close: () => void watcher.close() };
};
