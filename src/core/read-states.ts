import type { Header } from "./message.ts";
import { isEveryone, type Name } from "./names.ts";
import { type NameNotes, ReadState, type ReadView } from "./read-state.ts";
import type { DataFolder, System } from "./system.ts";

/** Whose mailbox it is: this server's session, or a person at the command line. */
export interface Owner {
  readonly name: Name;
  /** The name and earlier names. */
  readonly names: readonly Name[];
  /** Noted with each name while it is in use. */
  readonly notes: NameNotes;
  /** Throws UserError while it is unknown who holds the names. */
  check(): void;
}

/** The read states of all names: the owner's, which change here, and those of others. */
export class ReadStates {
  readonly #states = new Map<Name, ReadState>();
  /** Messages that the owner has sent to everyone, and in which conversation. */
  readonly #broadcasts = new Map<string, string | undefined>();

  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
    private readonly owner: Owner,
  ) {}

  /** The present marks of any name. */
  viewOf(name: Name): ReadView {
    return this.#of(name).view();
  }

  #of(name: Name): ReadState {
    const known = this.#states.get(name);
    if (known) return known;
    const state = new ReadState(this.folder, this.system, name);
    this.#states.set(name, state);
    return state;
  }

  /** The present marks of the owner's names. */
  ownViews(): ReadView[] {
    return this.#own().map((state) => state.view());
  }

  #own(): ReadState[] {
    return this.owner.names.map((name) => {
      const state = this.#of(name);
      state.defaultSince = this.owner.notes.since;
      return state;
    });
  }

  /** True if one of the owner's names has read the file. */
  hasRead(file: string): boolean {
    return this.ownViews().some(({ hasRead }) => hasRead(file));
  }

  /** False if the marks of one of the owner's names could not be read for the last view. */
  get areKnown(): boolean {
    return this.#own().every((state) => state.problem === undefined);
  }

  /** How many parts of a long message the owner was shown. */
  partsShown(file: string): number {
    return Math.max(...this.ownViews().map((view) => view.partsShown(file)));
  }

  /** The owner was shown a part under these names. `save` writes it to the disk. */
  markPart(file: string, part: number, names: readonly Name[]): void {
    for (const name of names) this.#of(name).markPart(file, part);
  }

  /** The owner has read these under these names. `save` writes it to the disk. */
  markRead(headers: readonly Header[], names: readonly Name[]): void {
    const files = headers.map(({ file }) => file);
    for (const name of names) this.#of(name).markRead(files);
  }

  /** The owner has sent this to everyone, so it counts as read by the owner. */
  markSent(header: Header): void {
    this.#broadcasts.set(header.file, this.owner.notes.conversation);
    this.markRead([header], this.owner.names);
  }

  /**
   * The owner takes a name. Its own messages to everyone are read under that name too, and its
   * unread ones stay unread, even if a former holder of the name has read them.
   */
  take(name: Name, unreadBefore: readonly Header[]): void {
    const { conversation } = this.owner.notes;
    const sent = [...this.#broadcasts].filter(([, sentIn]) => sentIn === conversation);
    const unread = unreadBefore.filter(({ to }) => isEveryone(to)).map(({ file }) => file);
    this.#of(name).unmark(unread);
    this.#of(name).markRead(sent.map(([file]) => file));
  }

  /**
   * Notes that the owner's names are in use, so that mail for them is accepted while it is away.
   */
  async register(): Promise<void> {
    await Promise.all(this.#own().map((state) => state.save(this.owner.notes)));
  }

  /** Writes the marks. Never rejects: the next call tries again if that failed. */
  async save(): Promise<void> {
    await Promise.all([...this.#states.values()].map((state) => state.save()));
  }

  /** Writes the marks once the answer to the present call is out. */
  saveLater(): void {
    void this.system.clock.nextTurn().then(() => this.save());
  }

  /** Writes the marks. Resolves when all locks of read states are released. */
  async close(): Promise<void> {
    await this.system.clock.nextTurn(); // by then `saveLater` has begun its save
    await this.save();
  }
}
