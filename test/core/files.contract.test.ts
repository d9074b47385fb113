// The same rules hold for files on the disk and for those in memory that other tests use.

import assert from "node:assert/strict";
import { once } from "node:events";
import fs, {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { isTransient } from "../../src/core/errors.ts";
import { CachedFile, diskFiles, type Files, writeFileAtomic } from "../../src/core/files.ts";
import { mkfifoSync } from "../support/fifo.ts";
import { tempDir } from "../support/folder.ts";
import { MemoryDisk } from "../support/memory-files.ts";

const isWindows = process.platform === "win32";

interface Setup {
  readonly files: Files;
  readonly dir: string;
  link(path: string): void;
  fifo(path: string): boolean;
  bytes(path: string, bytes: Buffer): void;
  deny(path: string): void;
}

function onDisk(): Setup {
  const dir = mkdtempSync(join(tmpdir(), "t9-ipc-files-"));
  return {
    files: diskFiles,
    dir,
    link: (path) => symlinkSync(join(dir, "elsewhere"), path),
    fifo: mkfifoSync,
    bytes: (path, bytes) => writeFileSync(path, bytes),
    deny: (path) => chmodSync(path, 0),
  };
}

function inMemory(): Setup {
  const disk = new MemoryDisk();
  disk.makeFolder("/data");
  return {
    files: disk,
    dir: "/data",
    link: (path) => disk.putOther(path, "link"),
    fifo: (path) => {
      disk.putOther(path, "fifo");
      return true;
    },
    bytes: (path, bytes) => disk.put(path, bytes),
    deny: (path) => disk.deny(path),
  };
}

const code = (value: string) => (error: NodeJS.ErrnoException) => error.code === value;

for (const [where, create] of [
  ["on the disk", onDisk],
  ["in memory", inMemory],
] as const) {
  describe(`files ${where}`, () => {
    let setup: Setup;
    let files: Files;
    let path: (name: string) => string;

    beforeEach(() => {
      setup = create();
      ({ files } = setup);
      path = (name) => join(setup.dir, name);
    });

    afterEach(() => {
      if (create === onDisk) rmSync(setup.dir, { recursive: true, force: true });
    });

    test("a created file is listed, and has its text", () => {
      files.create(path("a"), "text 가\n");
      assert.deepEqual(files.list(setup.dir), ["a"]);
      assert.equal(files.read(path("a"), 100).text, "text 가\n");
      assert.equal(files.stat(path("a"))?.isFile, true);
    });

    test("a file is not created over another", () => {
      files.create(path("a"), "1");
      assert.throws(() => files.create(path("a"), "2"), code("EEXIST"));
      assert.equal(files.read(path("a"), 100).text, "1");
    });

    test("a missing file has no stat, cannot be read, and is removed without an error", () => {
      assert.equal(files.stat(path("a")), undefined);
      assert.equal(files.stat(path("b/a")), undefined);
      assert.throws(() => files.read(path("a"), 100), code("ENOENT"));
      files.remove(path("a"));
      assert.throws(() => files.list(path("b")), code("ENOENT"));
      assert.throws(() => files.create(path("b/a"), ""), code("ENOENT"));
      assert.throws(() => files.rename(path("a"), path("b")), code("ENOENT"));
    });

    test("a file in the place of a folder counts as missing, or is ENOTDIR", () => {
      files.create(path("a"), "");
      assert.equal(files.stat(path("a/b")), undefined);
      assert.throws(() => files.list(path("a")), code("ENOTDIR"));
      // Windows says ENOENT.
      assert.throws(() => files.create(path("a/b"), ""), { code: /^(ENOTDIR|ENOENT)$/ });
    });

    test("an append creates the file, and then adds to it", () => {
      files.append(path("a"), "1\n");
      files.append(path("a"), "2\n");
      assert.equal(files.read(path("a"), 100).text, "1\n2\n");
    });

    test("an overwrite replaces the start and keeps the rest", () => {
      files.overwrite(path("a"), "1234");
      files.overwrite(path("a"), "ab");
      assert.equal(files.read(path("a"), 100).text, "ab34");
    });

    test("a rename replaces the file that is there", () => {
      files.create(path("a"), "new");
      files.create(path("b"), "old");
      files.rename(path("a"), path("b"));
      assert.deepEqual(files.list(setup.dir), ["b"]);
      assert.equal(files.read(path("b"), 100).text, "new");
    });

    test("the version changes with the content, and with a file that takes its place", () => {
      files.create(path("a"), "1");
      const first = files.stat(path("a"))?.version;
      files.append(path("a"), "2");
      const second = files.stat(path("a"))?.version;
      files.create(path("b"), "12");
      files.rename(path("b"), path("a"));
      const third = files.stat(path("a"))?.version;
      assert.equal(new Set([first, second, third]).size, 3);
    });

    test("the time that was set is the file's time", () => {
      files.create(path("a"), "1");
      files.touch(path("a"), 1_700_000_000_000);
      assert.equal(files.stat(path("a"))?.mtimeMs, 1_700_000_000_000);
      assert.equal(files.read(path("a"), 100).mtimeMs, 1_700_000_000_000);
    });

    test("a folder is created with those above it, and again without an error", () => {
      files.makeFolder(path("x/y/z"));
      files.makeFolder(path("x/y/z"));
      assert.equal(files.stat(path("x/y/z"))?.isFolder, true);
      // Created on the way to itself, as if another process were faster.
      files.makeFolder(`${path("v")}/../v`);
      assert.equal(files.stat(path("v"))?.isFolder, true);
      files.create(path("f"), "");
      assert.throws(() => files.makeFolder(path("f")));
    });

    test("a file that is too large is not read", () => {
      files.create(path("a"), "12345");
      assert.equal(files.read(path("a"), 5).text, "12345");
      assert.throws(() => files.read(path("a"), 4), /5 bytes/);
    });

    test("a byte-order mark is dropped, and bytes that are not UTF-8 are replaced", () => {
      setup.bytes(path("a"), Buffer.from("\ufeffx"));
      assert.equal(files.read(path("a"), 100).text, "x");
      setup.bytes(path("b"), Buffer.from([0xc3, 0x28]));
      const { text, isUtf8 } = files.read(path("b"), 100);
      assert.deepEqual([text, isUtf8], ["\ufffd(", false]);
    });

    test("a link is neither read nor written through, and a rename replaces it", (t) => {
      if (create === onDisk && isWindows) return t.skip("links need rights on Windows");
      setup.link(path("a"));
      assert.throws(() => files.read(path("a"), 100), { message: /^it is .*link/ });
      assert.throws(() => files.append(path("a"), "x"), code("ELOOP"));
      assert.throws(() => files.overwrite(path("a"), "x"), code("ELOOP"));
      assert.equal(files.stat(path("a"))?.isFile, false);
      writeFileAtomic(files, path("a"), "own");
      assert.equal(files.read(path("a"), 100).text, "own");
      assert.equal(files.stat(path("elsewhere")), undefined);
    });

    test("a FIFO is not waited for", (t) => {
      if (!setup.fifo(path("a"))) return t.skip("this system has no FIFOs");
      assert.throws(() => files.read(path("a"), 100), /regular file/);
      assert.throws(() => files.append(path("a"), "x"));
    });

    test("a file without rights cannot be read or appended to", (t) => {
      if (create === onDisk && process.getuid?.() === 0) return t.skip("root may read everything");
      if (create === onDisk && isWindows) return t.skip("Windows has no file modes");
      files.create(path("a"), "1");
      setup.deny(path("a"));
      assert.throws(() => files.read(path("a"), 100), code("EACCES"));
      assert.throws(() => files.append(path("a"), "x"), code("EACCES"));
      assert.equal(files.stat(path("a"))?.isFile, true);
    });

    test("an atomic write leaves no temporary file, also if it fails", () => {
      writeFileAtomic(files, path("x/a"), "1");
      assert.deepEqual(files.list(path("x")), ["a"]);
      files.makeFolder(path("x/b"));
      files.create(path("x/b/inside"), "");
      assert.throws(() => writeFileAtomic(files, path("x/b"), "1"));
      const create = (each: string): void => {
        files.create(each, "");
        throw new Error("the disk is full");
      };
      assert.throws(() => writeFileAtomic({ ...files, create }, path("x/a"), "2"), /full/);
      assert.deepEqual(files.list(path("x")).sort(), ["a", "b"]);
      assert.equal(files.read(path("x/a"), 100).text, "1");
    });

    test("a cached file is parsed once for each version, and when it is to be read again", () => {
      let parsed = 0;
      const cached = new CachedFile(files, path("a"), 100, (text) => {
        parsed++;
        return text ?? "missing";
      });
      assert.deepEqual([cached.read(), cached.read(), parsed], ["missing", "missing", 1]);
      files.create(path("a"), "1");
      assert.deepEqual([cached.read(), cached.read(), parsed], ["1", "1", 2]);
      files.remove(path("a"));
      assert.deepEqual([cached.read(), parsed], ["missing", 3]);
      assert.deepEqual([cached.readAgain(), parsed], ["missing", 4]);
    });

    test("a cached file that could not be parsed is read again, though it has not changed", () => {
      let isBroken = true;
      const cached = new CachedFile(files, path("a"), 100, (text) => {
        if (isBroken) throw new Error("broken");
        return text;
      });
      files.create(path("a"), "1");
      assert.throws(() => cached.read(), /broken/);
      isBroken = false;
      assert.equal(cached.read(), "1");
    });
  });
}

test("a socket is not a regular file, and not a network that is down", {
  skip: isWindows && "Windows has no sockets among its files",
}, async (t) => {
  const path = join(tempDir(t), "..", "a");
  const server = createServer().listen(path);
  t.after(() => server.close());
  await once(server, "listening");
  assert.throws(
    () => diskFiles.read(path, 100),
    (error) => /^Error: it is not a regular file$/.test(String(error)) && !isTransient(error),
  );
});

test("a file of another user is not read", {
  skip: process.getuid?.() !== 0 && "only root can give a file away",
}, (t) => {
  const path = join(tempDir(t), "a");
  writeFileAtomic(diskFiles, path, "1");
  chownSync(path, 12345, 12345);
  assert.throws(() => diskFiles.read(path, 100), /belongs to another user \(12345\)/);
});

test("a file is closed after it was read or refused", {
  skip: process.platform !== "linux" && "/proc is Linux's",
}, (t) => {
  const path = join(tempDir(t), "a");
  const openFiles = () => readdirSync("/proc/self/fd").length;
  writeFileAtomic(diskFiles, path, "12");
  const before = openFiles();
  for (let n = 0; n < 10; n++) {
    diskFiles.read(path, 2);
    assert.throws(() => diskFiles.read(path, 1));
  }
  assert.ok(openFiles() < before + 10);
});

test("an append that the system takes in pieces is whole", (t) => {
  const path = join(tempDir(t), "..", "a");
  const { writeSync } = fs;
  /** As on a disk that is nearly full: half of it, and no error. */
  const writeHalf = (fd: number, data: string | Uint8Array, start = 0, length = data.length) => {
    const rest = Buffer.from(data).subarray(start, start + length);
    return writeSync(fd, rest.subarray(0, Math.ceil(rest.length / 2)));
  };
  t.mock.method(fs, "writeSync", writeHalf);
  diskFiles.append(path, "a line of a file\n");
  assert.equal(diskFiles.read(path, 100).text, "a line of a file\n");
});

test("a folder that takes the place of another has another id, even with its inode", (t) => {
  const path = dirname(tempDir(t));
  const { lstatSync } = fs;
  const idFrom = (birthtimeMs: number): string | undefined => {
    const { mock } = t.mock.method(fs, "lstatSync", (each: string) =>
      Object.assign(lstatSync(each), { ino: 7, birthtimeMs }),
    );
    const id = diskFiles.stat(path)?.id;
    mock.restore();
    return id;
  };
  assert.equal(idFrom(1000), idFrom(1000));
  assert.notEqual(idFrom(1000), idFrom(1001));
});
