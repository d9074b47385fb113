// Everything in the data folder is damaged, replaced and taken away while sessions send and read.

import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mkfifoSync } from "../support/fifo.ts";
import { noPermissions, withoutRoot } from "../support/process.ts";
import { Actor } from "./actor.ts";
import { finish } from "./finish.ts";
import { tryRead } from "./ledger.ts";
import type { World } from "./world.ts";

const SESSIONS = 6;
const BLOCKERS = ["folder", "link", "loop", "fifo"] as const;
const DAMAGES = ["bytes", "cut", "delete", ...BLOCKERS] as const;
const BAIT = "not ours\n";
const ODD_NAMES = ["..md", " .md", "a\nb.md", "ü".repeat(120), `${"x".repeat(251)}.md`, "-rf.md"];

export async function fuzz(world: World, minutes: number): Promise<void> {
  if (noPermissions) console.log(`fuzz: rights do not count: ${noPermissions}`);
  const names = Array.from({ length: SESSIONS }, (_, n) => `fuzz-${n}`);
  const actors = names.map((name) => new Actor(world, name, { name, prefix: withoutRoot }));
  await Promise.all(actors.map((actor) => actor.start()));
  world.ledger.sentWithoutLock = Number.POSITIVE_INFINITY; // .order is damaged as well
  const damage = new Damage(world);
  await world.play(minutes, [
    ...actors.map((actor) => ({
      pause: [100, 900] as const,
      step: () => act(world, actor, names),
    })),
    { pause: [50, 400], step: () => damage.file() },
    { pause: [200, 1500], step: () => damage.addFile() },
    { pause: [1000, 5000], step: () => damage.folder() },
  ]);
  damage.clear();
  if (tryRead(damage.bait) !== BAIT) world.fail("somebody has written through a link");
  await finish(world);
}

function act(world: World, actor: Actor, names: readonly string[]): Promise<unknown> {
  // A rename to its own name writes the list and conversations.json.
  const action = world.draw({ send: 5, broadcast: 0.5, read: 4, who: 1, rename: 0.3 });
  return actor.perform(action, {
    to: () => world.pick(names.filter((name) => name !== actor.label)),
  });
}

/** Damages files, and keeps account of what it destroys. */
class Damage {
  /** What stands in the way, and is to be taken away at the end at the latest. */
  readonly #obstacles = new Set<string>();

  /** Links lead to this file, which nobody must ever write to. */
  readonly bait: string;

  constructor(private readonly world: World) {
    this.bait = join(dirname(world.dir), "bait");
    fs.writeFileSync(this.bait, BAIT);
  }

  /** Any file or lock of ours. */
  async file(): Promise<void> {
    const { world } = this;
    const { dir } = world;
    const folder = world.pick([dir, dir, dir, join(dir, "inbox"), join(dir, "read")]);
    const files = list(folder).filter(
      (name) => !["inbox", "read", "archive", "wake"].includes(name),
    );
    if (files.length === 0) return;
    // Old messages were read long ago: the last ones are those under way.
    const path = join(folder, world.pick(basename(folder) === "inbox" ? files.slice(-20) : files));
    if (this.#obstacles.has(path)) return;
    const isMessage = basename(folder) === "inbox" || basename(path).startsWith(".tmp-");
    // Not a message: what others have put there, and what nobody has finished writing.
    if (isMessage && !this.#canDestroy(path)) return;
    if (isMessage && world.random() < 0.5) return this.#forbid(path);
    if (isMessage) world.ledger.onMessageDestroyed(tryRead(path));
    if (basename(folder) === "read") world.ledger.onMarksDestroyed(basename(path), tryRead(path));
    const kind = world.pick(DAMAGES);
    world.count(`damaged ${basename(folder)}: ${kind}`);
    world.log(`${kind}: ${path}`);
    this.#damage(path, kind);
    if (basename(path) === "heartbeats.json") world.names.onLost();
    // Nobody promises to take away what a person has put in the place of marks or of a lock.
    const isKept = basename(folder) === "read" || path.endsWith(".lock");
    if (isKept && (BLOCKERS as readonly string[]).includes(kind)) {
      this.#obstacles.add(path);
      await sleep(world.between(200, 2500));
      this.#remove(path);
    }
  }

  #canDestroy(path: string): boolean {
    return /^soak \d+ /m.test(tryRead(path));
  }

  #damage(path: string, kind: (typeof DAMAGES)[number]): void {
    try {
      if (kind === "bytes") overwrite(path, randomBytes(this.world.between(1, 5000)));
      else if (kind === "cut") overwrite(path, undefined, this.world.random());
      else fs.rmSync(path, { recursive: true, force: true });
      if (kind !== "bytes" && kind !== "cut" && kind !== "delete") put(path, kind, this.bait);
    } catch {
      // It has gone, or is a folder.
    }
  }

  /** Takes away the rights for a while, which destroys nothing. */
  async #forbid(path: string): Promise<void> {
    const mode = mayChange(path, 0);
    if (mode === undefined) return;
    this.world.count("forbidden for a while");
    this.world.log(`forbidden: ${path}`);
    await sleep(this.world.between(200, 3000));
    mayChange(path, mode);
  }

  addFile(): void {
    const { world } = this;
    const folder = join(world.dir, world.pick(["", "inbox", "read", "archive"]));
    const stamped = `20261122T15300000${world.between(1000, 9999)}-ffffffff-odd-all-odd.md`;
    const path = join(
      folder,
      world.pick([...ODD_NAMES, stamped, `odd-${world.between(0, 99)}.md`]),
    );
    world.count("odd files added");
    try {
      if (world.random() < 0.5) put(path, world.pick(BLOCKERS), this.bait);
      else fs.writeFileSync(path, randomBytes(world.between(0, 3000)), { flag: "wx" });
    } catch {
      // It is there, or the folder is not.
    }
  }

  /** A folder that is forbidden, or away, or something else, for a while. */
  async folder(): Promise<void> {
    const { world } = this;
    const name = world.pick(["inbox", "inbox", "read", "read", "archive", "."]);
    const path = join(world.dir, name);
    const kind = world.pick(["forbidden", "away", ...BLOCKERS] as const);
    if (kind === "forbidden" || name === ".") return this.#forbid(path);
    const aside = join(dirname(world.dir), `aside-${name}`);
    if (!mayRename(path, aside)) return;
    world.count(`folder ${name}: ${kind}`);
    world.log(`${kind}: ${path}`);
    if (name === "read") world.ledger.onMarksAway();
    if (kind !== "away") put(path, kind, this.bait);
    await sleep(world.between(200, 2500));
    if (name === "read") this.#loseMarks(path);
    // What was written meanwhile: a server may have made a folder before `put` was there.
    for (const file of list(path)) mayRename(join(path, file), join(aside, file));
    this.#remove(path);
    mayRename(aside, path);
    world.log(`back: ${path}`);
  }

  /** Marks that were written while the folder was away take the place of the others. */
  #loseMarks(path: string): void {
    for (const name of list(path)) {
      const before = join(dirname(this.world.dir), "aside-read", name);
      this.world.ledger.onMarksDestroyed(name, tryRead(before));
    }
  }

  #remove(path: string): void {
    this.#obstacles.delete(path);
    try {
      fs.rmSync(path, { recursive: true, force: true });
    } catch {
      // The folder around it is something else just now, and `clear` finds the rest.
    }
  }

  /** Takes away all that nobody else would, and gives all rights back. */
  clear(): void {
    const { dir } = this.world;
    for (const path of this.#obstacles) this.#remove(path);
    for (const folder of ["", "inbox", "read", "archive", "wake"]) {
      mayChange(join(dir, folder), 0o700);
      for (const path of list(join(dir, folder)).map((name) => join(dir, folder, name))) {
        const isOurs = !path.endsWith(".lock") && (folder !== "read" || isFile(path));
        if (!isOurs) this.#remove(path);
        else if (mayChange(path, 0o600) === undefined) continue;
        else if (fs.lstatSync(path).isDirectory()) fs.chmodSync(path, 0o700);
      }
    }
  }
}

function put(path: string, kind: (typeof BLOCKERS)[number], bait: string): void {
  if (kind === "folder") fs.mkdirSync(path);
  else if (kind === "fifo") mkfifoSync(path);
  else fs.symlinkSync(kind === "link" ? bait : path, path);
}

/** Writes into a regular file, or cuts it. A link is never followed, and a FIFO not waited for. */
function overwrite(path: string, bytes: Buffer | undefined, share = 0): void {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const fd = fs.openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = fs.fstatSync(fd);
    if (!stats.isFile()) return;
    fs.ftruncateSync(fd, Math.floor(stats.size * share));
    if (bytes) fs.writeSync(fd, bytes);
  } finally {
    fs.closeSync(fd);
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  try {
    return fs.lstatSync(path).isFile();
  } catch {
    return false;
  }
}

/** Sets the mode; returns the one before. A link is not followed. */
function mayChange(path: string, mode: number): number | undefined {
  try {
    const before = fs.lstatSync(path);
    if (before.isSymbolicLink()) return undefined;
    fs.chmodSync(path, mode);
    return before.mode & 0o777;
  } catch {
    return undefined;
  }
}

function mayRename(from: string, to: string): boolean {
  try {
    fs.renameSync(from, to);
    return true;
  } catch {
    return false;
  }
}
