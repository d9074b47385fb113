import { dirname, join, resolve, sep } from "node:path";
import { type Files, tryStat } from "./files.ts";

const MAX_BYTES = 4096;

/**
 * What sessions of one project have in common: the git repository, whose worktrees count as one;
 * otherwise the folder itself.
 */
export function projectOf(folder: string, files: Files): string {
  for (let path = resolve(folder); ; path = dirname(path)) {
    const git = join(path, ".git");
    const stat = tryStat(files, git);
    if (stat?.isFolder) return path;
    if (stat?.isFile) return repositoryOfWorktree(git, files) ?? path;
    if (path === dirname(path)) return resolve(folder);
  }
}

/** A worktree's `.git` is a file: `gitdir: REPOSITORY/.git/worktrees/NAME`. */
function repositoryOfWorktree(git: string, files: Files): string | undefined {
  try {
    const [, named = ""] = /^gitdir: (.+)$/m.exec(files.read(git, MAX_BYTES).text) ?? [];
    const path = resolve(dirname(git), named); // with the system's own separators
    const [repository, worktree] = path.split(`${sep}.git${sep}worktrees${sep}`);
    return worktree === undefined ? undefined : repository;
  } catch {
    return undefined;
  }
}
