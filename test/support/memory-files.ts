// Files in memory, with a folder watch. They behave as those on a disk do: `test/core` holds both
// to the same contract.

import { posix } from "node:path";
import type { FileStat, Files, FileText } from "../../src/core/files.ts";
import type { FolderListener, WatchFolder } from "../../src/core/system.ts";

/** On Windows the core joins its paths with backslashes, and resolves them to a drive. */
export const slashed: (path: string) => string =
  process.platform === "win32"
    ? (path) => path.replace(/^[a-z]:/i, "").replaceAll("\\", "/")
    : (path) => path;
const dirname = (path: string): string => posix.dirname(slashed(path));
const basename = (path: string): string => posix.basename(slashed(path));

/** Finds a path in any spelling. */
class PathMap<T> extends Map<string, T> {
  override get(path: string): T | undefined {
    return super.get(slashed(path));
  }
  override has(path: string): boolean {
    return super.has(slashed(path));
  }
  override set(path: string, value: T): this {
    return super.set(slashed(path), value);
  }
  override delete(path: string): boolean {
    return super.delete(slashed(path));
  }
}

interface Node {
  readonly kind: "file" | "folder" | "link" | "fifo";
  readonly id: string;
  bytes: Buffer;
  version: number;
  mtimeMs: number;
  isDenied: boolean;
}

export function systemError(code: string, path = ""): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, call '${path}'`), { code });
}

/** Where an event goes: at once, or later, or nowhere. */
type Deliver = (listener: FolderListener, file: string) => void;

export class MemoryDisk implements Files {
  readonly #nodes = new PathMap<Node>();
  readonly #listeners = new Map<FolderListener, string>();
  #count = 0;
  deliver: Deliver = (listener, file) => listener.onChange(file);

  constructor(private readonly now: () => number = () => Date.now()) {
    this.#put("/", "folder");
  }

  #put(path: string, kind: Node["kind"], bytes = Buffer.alloc(0)): Node {
    const node: Node = {
      kind,
      id: `1:${++this.#count}`,
      bytes,
      version: this.#count,
      mtimeMs: this.now(),
      isDenied: false,
    };
    this.#nodes.set(path, node);
    this.#changed(path);
    return node;
  }

  #changed(path: string): void {
    for (const [listener, folder] of this.#listeners) {
      if (slashed(folder) === dirname(path)) this.deliver(listener, basename(path));
    }
  }

  #parentOf(path: string): void {
    const parent = this.#nodes.get(dirname(path));
    if (!parent) throw systemError("ENOENT", path);
    if (parent.kind !== "folder") throw systemError("ENOTDIR", path);
    if (parent.isDenied) throw systemError("EACCES", path);
  }

  /** Undefined if there is no such file. */
  #find(path: string): Node | undefined {
    const node = this.#nodes.get(path);
    if (!node && path !== "/") this.#parentOf(path);
    return node;
  }

  #fileToWrite(path: string): Node {
    this.#parentOf(path);
    const node = this.#find(path) ?? this.#put(path, "file");
    if (node.isDenied) throw systemError("EACCES", path);
    if (node.kind === "link") throw systemError("ELOOP", path);
    if (node.kind === "folder") throw systemError("EISDIR", path);
    if (node.kind === "fifo") throw systemError("ENXIO", path);
    return node;
  }

  #write(path: string, node: Node, bytes: Buffer): void {
    node.bytes = bytes;
    node.version = ++this.#count;
    node.mtimeMs = this.now();
    this.#changed(path);
  }

  list = (folder: string): string[] => {
    const node = this.#find(folder);
    if (!node) throw systemError("ENOENT", folder);
    if (node.kind !== "folder") throw systemError("ENOTDIR", folder);
    if (node.isDenied) throw systemError("EACCES", folder);
    return [...this.#nodes.keys()]
      .filter((path) => path !== "/" && dirname(path) === slashed(folder))
      .map((path) => basename(path));
  };

  stat = (path: string): FileStat | undefined => {
    let node: Node | undefined;
    try {
      node = this.#find(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") throw error;
    }
    return (
      node && {
        isFile: node.kind === "file",
        isFolder: node.kind === "folder",
        id: node.id,
        version: `${node.id}:${node.version}`,
        mtimeMs: node.mtimeMs,
      }
    );
  };

  read = (path: string, maxBytes: number): FileText => {
    const node = this.#find(path);
    if (!node) throw systemError("ENOENT", path);
    if (node.kind !== "file") throw new Error(`it is not a regular file (${node.kind})`);
    if (node.isDenied) throw systemError("EACCES", path);
    if (node.bytes.length > maxBytes) throw new Error(`it has ${node.bytes.length} bytes`);
    const text = node.bytes.toString("utf8");
    const isUtf8 = Buffer.from(text).equals(node.bytes);
    return { text: text.replace(/^\ufeff/, ""), isUtf8, mtimeMs: node.mtimeMs };
  };

  create = (path: string, text: string): void => {
    this.#parentOf(path);
    if (this.#nodes.has(path)) throw systemError("EEXIST", path);
    this.#put(path, "file", Buffer.from(text));
  };

  append = (path: string, text: string): void => {
    const node = this.#fileToWrite(path);
    this.#write(path, node, Buffer.concat([node.bytes, Buffer.from(text)]));
  };

  overwrite = (path: string, text: string): void => {
    const node = this.#fileToWrite(path);
    const bytes = Buffer.from(text);
    this.#write(path, node, Buffer.concat([bytes, node.bytes.subarray(bytes.length)]));
  };

  rename = (from: string, to: string): void => {
    const node = this.#find(from);
    if (!node) throw systemError("ENOENT", from);
    this.#parentOf(to);
    if (this.#nodes.get(to)?.kind === "folder") throw systemError("EISDIR", to);
    this.#nodes.delete(from);
    this.#nodes.set(to, node);
    node.version = ++this.#count; // renaming sets the change time
    for (const path of [...this.#nodes.keys()]) {
      if (node.kind !== "folder" || !path.startsWith(`${slashed(from)}/`)) continue;
      this.#nodes.set(
        slashed(to) + path.slice(slashed(from).length),
        this.#nodes.get(path) as Node,
      );
      this.#nodes.delete(path);
    }
    this.#changed(from);
    this.#changed(to);
  };

  remove = (path: string): void => {
    let node: Node | undefined;
    try {
      node = this.#find(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") throw error;
    }
    if (!node) return;
    if (node.kind === "folder") throw systemError("EISDIR", path);
    this.#nodes.delete(path);
    this.#changed(path);
  };

  touch = (path: string, ms: number): void => {
    const node = this.#find(path);
    if (!node) throw systemError("ENOENT", path);
    node.mtimeMs = ms;
    node.version = ++this.#count;
  };

  makeFolder = (path: string): void => {
    const node = this.#nodes.get(path);
    if (node?.kind === "folder") return;
    if (node) throw systemError("EEXIST", path);
    if (!this.#nodes.has(dirname(path))) this.makeFolder(dirname(path));
    this.#parentOf(path);
    this.#put(path, "folder");
  };

  // What a person does to the folder, and what no program of ours does:

  /** Writes a file as any other program would. */
  put(path: string, content: string | Buffer): void {
    if (!this.#nodes.has(dirname(path))) this.makeFolder(dirname(path));
    const node = this.#nodes.get(path);
    if (node?.kind === "file") this.#write(path, node, Buffer.from(content));
    else this.#put(path, "file", Buffer.from(content));
  }

  putOther(path: string, kind: "link" | "fifo"): void {
    this.#nodes.delete(path);
    this.#put(path, kind);
  }

  text(path: string): string | undefined {
    return this.#nodes.get(path)?.bytes.toString("utf8");
  }

  /** Removes a file, or a folder with all that is in it. */
  erase(path: string): void {
    for (const each of [...this.#nodes.keys()]) {
      if (each === slashed(path) || each.startsWith(`${slashed(path)}/`)) this.#nodes.delete(each);
    }
    this.#changed(path);
  }

  /** Takes away, or gives back, the right to read and write a file. */
  deny(path: string, isDenied = true): void {
    const node = this.#nodes.get(path);
    if (!node) return;
    node.isDenied = isDenied;
    node.version = ++this.#count;
    this.#changed(path);
  }

  paths(): string[] {
    return [...this.#nodes.keys()];
  }

  watchFolder: WatchFolder = (folder, listener) => {
    this.#listeners.set(listener, folder);
    queueMicrotask(() => this.#listeners.has(listener) && listener.onReady());
    return { close: () => void this.#listeners.delete(listener) };
  };
}
