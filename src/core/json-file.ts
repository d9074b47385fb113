import { isTransient, messageOf } from "./errors.ts";
import { CachedFile, writeFileAtomic } from "./files.ts";
import type { System } from "./system.ts";
import { timestampNow } from "./timestamps.ts";

const MAX_BYTES = 8 << 20;

type Entries = ReadonlyMap<string, unknown>;

/** A JSON object that several processes change, each while it holds the file's lock. */
export class JsonFile<T> {
  readonly #file: CachedFile<T>;

  /** @param parse parses the object's entries, of which a missing or unusable file has none */
  constructor(
    private readonly path: string,
    private readonly system: System,
    private readonly parse: (entries: Entries) => T,
  ) {
    this.#file = new CachedFile(system.files, path, MAX_BYTES, (text) => parse(toEntries(text)));
  }

  /**
   * Without the lock. An unusable file counts as empty, and the next change moves it aside. Throws
   * if the file system does not answer, which says nothing about the file.
   */
  read(): T {
    try {
      return this.#file.read();
    } catch (error) {
      if (isTransient(error)) throw error;
      return this.parse(new Map());
    }
  }

  /** Under the lock, before a change. Moves an unusable file aside. Throws as `read` does. */
  readLocked(): T {
    const { clock, files, log } = this.system;
    try {
      return this.#file.readAgain();
    } catch (error) {
      if (isTransient(error)) throw error;
      const aside = `${this.path}.bad-${timestampNow(clock)}`;
      files.rename(this.path, aside);
      log(`${this.path} cannot be read (${messageOf(error)}): moved to ${aside}`);
      return this.parse(new Map());
    }
  }

  /** Under the lock. */
  write(entries: Entries): void {
    // A null prototype: `__proto__` is a name like any other.
    const json = Object.assign(Object.create(null), Object.fromEntries(entries));
    writeFileAtomic(this.system.files, this.path, `${JSON.stringify(json, null, 2)}\n`);
  }
}

/** Throws if the text is not a JSON object. */
function toEntries(text: string | undefined): Entries {
  if (text === undefined) return new Map();
  const json: unknown = JSON.parse(text);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new Error("it is not a JSON object");
  }
  return new Map(Object.entries(json));
}
