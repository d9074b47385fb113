import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import { JsonFile } from "./json-file.ts";
import { isKnownForm, type Name } from "./names.ts";
import type { DataFolder, System } from "./system.ts";

/** A conversation loses its names after it was not open for this long. */
const MONTH_MS = 30 * 24 * 3600 * 1000;
const DAY_MS = 24 * 3600 * 1000;

/** The sources of a session's name, strongest first. */
const NAME_SOURCES = ["set_name", "environment", "user", "folder"] as const;
export type NameSource = (typeof NAME_SOURCES)[number];

const KnownName = z.custom<Name>((value) => typeof value === "string" && isKnownForm(value));

const StoredRecord = z.object({
  name: KnownName,
  /** Earlier names, which still receive mail. */
  names: z.array(KnownName).default([]),
  working_on: z.string().default(""),
  by: z.enum(NAME_SOURCES).default("set_name"),
  /** The name that the environment or the user asked for, also if nobody else held it. */
  asked: z.string().optional(),
  /** When the conversation was last open, in ms since 1970. */
  seen: z.number(),
});

/** The names of one conversation. They belong to it and not to the process that it is open in. */
export type ConversationRecord = z.output<typeof StoredRecord>;

/** conversations.json: which names each conversation took, for 30 days after it was last open. */
export class Conversations {
  readonly #file: JsonFile<ReadonlyMap<string, unknown>>;

  constructor(
    private readonly folder: DataFolder,
    private readonly system: System,
  ) {
    this.#file = new JsonFile(folder.conversations, system, (entries) => entries);
  }

  /** Undefined if the conversation has no names. Throws if the file cannot be read just now. */
  get(conversation: string | undefined): ConversationRecord | undefined {
    if (conversation === undefined) return undefined;
    return StoredRecord.safeParse(this.#file.read().get(conversation)).data;
  }

  /**
   * Keeps a conversation's names. Does nothing if they were kept today. Rejects if the file cannot
   * be read or written just now.
   */
  async remember(conversation: string, record: Omit<ConversationRecord, "seen">): Promise<void> {
    const { clock, withLock } = this.system;
    const known = this.get(conversation);
    const isRecent = known !== undefined && Math.abs(clock.now() - known.seen) < DAY_MS;
    if (isRecent && isDeepStrictEqual(known, { ...record, seen: known.seen })) return;
    await withLock(this.folder.conversations, (isLocked) => {
      if (!isLocked) throw new Error("conversations.json is locked by another process");
      const now = clock.now();
      const records = new Map(this.#file.readLocked());
      for (const [id, value] of records) {
        const { seen = 0 } = StoredRecord.safeParse(value).data ?? {};
        if (now - seen > MONTH_MS) records.delete(id);
      }
      records.set(conversation, { ...record, seen: now });
      this.#file.write(records);
    });
  }
}
