import assert from "node:assert/strict";
import { test } from "node:test";
import { projectOf } from "../../src/core/project.ts";
import { MemoryDisk, slashed } from "../support/memory-files.ts";

function diskWithRepositories(): MemoryDisk {
  const disk = new MemoryDisk();
  disk.makeFolder("/repo/.git/worktrees");
  for (const [path, text] of [
    ["/tree/.git", "gitdir: /repo/.git/worktrees/tree\n"],
    ["/repo/near/.git", "gitdir: ../.git/worktrees/near\n"],
    ["/repo/module/.git", "gitdir: ../.git/modules/module\n"],
    ["/odd/.git", "something else\n"],
    ["/denied/.git", "gitdir: /repo/.git/worktrees/denied\n"],
  ] as const) {
    disk.put(path, text);
  }
  disk.deny("/denied/.git");
  return disk;
}

for (const [what, folder, expected] of [
  ["a repository", "/repo", "/repo"],
  ["a folder in a repository", "/repo/src/core", "/repo"],
  ["a folder outside of all repositories", "/home/ann", "/home/ann"],
  ["a worktree", "/tree/src", "/repo"],
  ["a worktree that names its repository by a relative path", "/repo/near/src", "/repo"],
  ["a submodule", "/repo/module/src", "/repo/module"],
  ["a folder below a .git file that is not git's", "/odd/src", "/odd"],
  ["a folder below a .git file that cannot be read", "/denied/src", "/denied"],
] as const) {
  test(`the project of ${what} is ${expected}`, () => {
    assert.equal(slashed(projectOf(folder, diskWithRepositories())), expected);
  });
}
