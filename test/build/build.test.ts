import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { envOf, homeOf, tempDir } from "../support/folder.ts";
import { startSession, startSessions } from "../support/session.ts";
import { buildCopy, copySources } from "./copy.ts";

/** What a build makes. Nothing else stays in dist. */
const BUILT = [
  ".claude-plugin",
  ".claude-plugin/marketplace.json",
  ".claude-plugin/plugin.json",
  "main.js",
  "server.js",
  "statusline.js",
];

const filesIn = (dist: string): string[] =>
  (readdirSync(dist, { recursive: true }) as string[]).map((path) => path.replaceAll("\\", "/"));

describe("a build", () => {
  test("fails no start that happens meanwhile", async (t) => {
    const dir = tempDir(t);
    const clone = join(dirname(dir), "clone");
    copySources(clone);
    const env = envOf(dir);
    let isBuilding = true;
    let starts = 0;
    const keepStarting = async (): Promise<void> => {
      while (isBuilding) {
        const args = [join(clone, "dist/server.js"), "--version"];
        await promisify(execFile)(process.execPath, args, { env, cwd: homeOf(dir) });
        starts++;
      }
    };
    const builds = async (): Promise<void> => {
      for (let i = 0; i < 4; i++) {
        const inodes = () =>
          ["main.js", "server.js"].map(
            (name) => statSync(join(clone, "dist", name), { bigint: true }).ino,
          );
        const [main, server] = inodes();
        await buildCopy(clone);
        const [newMain, newServer] = inodes();
        // Replaced, not written to: whoever is reading the former file reads all of it.
        assert.ok(newMain !== main && newServer !== server);
      }
    };
    const building = builds().finally(() => {
      isBuilding = false;
    });
    await Promise.all([building, keepStarting(), keepStarting()]);
    assert.ok(starts > 4, `only ${starts} starts`);
  });

  test("that fails leaves the former one as it was", async (t) => {
    const clone = join(dirname(tempDir(t)), "clone");
    copySources(clone);
    const dist = join(clone, "dist");
    const contents = () => BUILT.slice(1).map((name) => readFileSync(join(dist, name), "utf8"));
    const before = contents();
    appendFileSync(join(clone, "src/config.ts"), "export const = 1;\n");
    await assert.rejects(buildCopy(clone), /src\/config\.ts/);
    assert.deepEqual(contents(), before);
    assert.deepEqual(filesIn(dist).sort(), BUILT);
  });

  test("removes what earlier builds left, but no file that another build is writing", async (t) => {
    const clone = join(dirname(tempDir(t)), "clone");
    copySources(clone);
    const dist = join(clone, "dist");
    for (const name of ["chunk-2VGXEKVV.js", "main.js.1.tmp", "main.js.2.tmp"])
      writeFileSync(join(dist, name), "");
    utimesSync(join(dist, "main.js.1.tmp"), 0, 0);
    await buildCopy(clone);
    assert.deepEqual(filesIn(dist).sort(), [...BUILT, "main.js.2.tmp"].sort());
  });

  test("and even its removal leave a running server all it needs", async (t) => {
    const dir = tempDir(t);
    const clone = join(dirname(dir), "clone");
    copySources(clone);
    const command = [process.execPath, join(clone, "dist/server.js")];
    const [alpha, beta] = await startSessions(["alpha", "beta"], { dir, command });
    writeFileSync(join(clone, "src/server.ts"), "process.exit(3);\n");
    await buildCopy(clone);
    await assert.rejects(startSession("gamma", { dir, command }));
    const check = async (when: string): Promise<void> => {
      const answers = [
        await alpha.call("who"),
        await alpha.call("send", { to: "beta", subject: `one, ${when}`, body: "still here" }),
        await beta.call("unread"),
        await beta.call("broadcast", { subject: `all, ${when}`, body: "still here" }),
        await alpha.call("unread"),
        await alpha.call("set_name", { name: "alpha" }),
      ];
      assert.ok(!answers.some(({ isError }) => isError), JSON.stringify(answers));
      assert.ok(answers[2]?.text.includes(`one, ${when}`), answers[2]?.text);
      assert.ok(answers[4]?.text.includes(`all, ${when}`), answers[4]?.text);
    };
    await check("after a build");
    rmSync(clone, { recursive: true });
    await check("after the removal");
  });
});
