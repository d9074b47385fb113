import type { Header } from "./message.ts";
import type { Name } from "./names.ts";
import { type NameNotes, ReadState, type ReadView } from "./read-state.ts";
import type { DataFolder, System } from "./system.ts";

/** Whose mailbox it is: this server's session, or a person at the command line. */
export interface Owner {
  readonly name: Name;
  /** The name and earlier names. */
  readonly names: readonly Name[];
  /** Noted with each name while it is in use. */
  readonly notes: NameNotes;
  /** Stands for the conversation in the notes until the agent names one. */
  readonly standIn?: string | undefined;
  /** True if the marks of whoever used the name before are the owner's as well. */
  inherits(name: Name): boolean;
  /** Throws UserError while it is unknown who holds the names. */
  check(): void;
}

/** The read states of all names: the owner's, which change here, and those of others. */
export class ReadStates {
  readonly #states = new Map<Name, ReadState>();
  /** Messages that the owner has sent to everyone, and in which conversation. */
  readonly #broadcasts = new Map<string, string | undefined>();
  /** CONVERSATION/NAME once it was looked for marks of others. */
  readonly #checked = new Set<string>();

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

  /**
   * The present marks of the owner's names. What it has sent itself counts as read, even if another
   * conversation has taken one of the names and disregards its marks.
   */
  ownViews(): ReadView[] {
    const sent = new Set(this.#sentHere());
    return this.#own().map((state) => {
      const view = state.view();
      return { ...view, hasRead: (file) => sent.has(file) || view.hasRead(file) };
    });
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

  /** The owner has read these under these names, in this conversation. `save` writes it. */
  markRead(
    headers: readonly Header[],
    names: readonly Name[],
    conversation = this.owner.notes.conversation,
  ): void {
    const files = headers.map(({ file }) => file);
    for (const name of names) this.#of(name).markRead(files, conversation);
  }

  /** The owner has sent this to everyone, so it counts as read by the owner. */
  markSent(header: Header): void {
    this.#broadcasts.set(header.file, this.owner.notes.conversation);
    this.markRead([header], this.owner.names);
  }

  /**
   * Notes that the owner's names are in use, so that mail for them is accepted while it is away.
   * Some of them may have been another conversation's. Then mail to everyone that only the other
   * one has read is unread, if it came while the owner was here or went by its other names.
   *
   * @param unreadBy the mail to everyone that is or may be unread by these marks
   */
  async register(unreadBy: (views: readonly ReadView[]) => readonly string[]): Promise<void> {
    const { notes } = this.owner;
    // While a file cannot be read, it is unknown whose marks it has. The next call tries again.
    const states = this.#own().filter((state) => state.canBeRead());
    this.#dropMarksOfOthers(states, unreadBy);
    for (const state of states) {
      const key = this.#keyOf(state);
      if (!this.#checked.has(key)) state.markRead(this.#sentHere(), notes.conversation);
      this.#checked.add(key);
    }
    await Promise.all(states.map((state) => state.save(notes)));
    await this.save(); // names that were lost may have marks that could not be written
  }

  #dropMarksOfOthers(
    states: readonly ReadState[],
    unreadBy: (views: readonly ReadView[]) => readonly string[],
  ): void {
    const taken = states.filter((state) => this.#isTaken(state));
    if (taken.length === 0) return;
    const files = unreadBy(
      states.map((state) => (taken.includes(state) ? this.#viewOfTaken(state) : state.view())),
    );
    for (const state of taken) state.unmark(files);
  }

  #keyOf = ({ name }: ReadState): string => `${this.owner.notes.conversation}/${name}`;

  #isTaken(state: ReadState): boolean {
    const own = this.#ownConversations();
    const { notes, readers } = state.view();
    const isNew = !this.#checked.has(this.#keyOf(state)) || !own.has(notes.conversation);
    const hasOthers = [...readers()].some((readIn) => !own.has(readIn));
    return isNew && hasOthers && !this.owner.inherits(state.name);
  }

  /** The owner's own marks, and mail to everyone since it is here. */
  #viewOfTaken(state: ReadState): ReadView {
    const own = this.#ownConversations();
    const { since } = this.owner.notes;
    const { notes, ...view } = state.view();
    return {
      ...view,
      notes: { ...notes, since },
      hasRead: (file) => view.hasRead(file) && own.has(view.readIn(file)),
    };
  }

  #sentHere(): string[] {
    const own = this.#ownConversations();
    return [...this.#broadcasts].filter(([, sentIn]) => own.has(sentIn)).map(([file]) => file);
  }

  /** Whose marks count as the owner's. A person at the command line has no conversation. */
  #ownConversations(): Set<string | undefined> {
    return new Set([this.owner.notes.conversation, this.owner.standIn, undefined]);
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
