// What all simulated processes share, and what is known of the truth: which message was stored,
// shown and marked.

import type { AgentSession } from "../../src/core/agent.ts";
import type { HeaderCache } from "../../src/core/inbox.ts";
import type { Header } from "../../src/core/message.ts";
import { isEveryone, nameKey } from "../../src/core/names.ts";
import { FOLDER, Processes } from "../support/fake-system.ts";
import { MemoryDisk } from "../support/memory-files.ts";
import { START, VirtualClock, VirtualTime } from "../support/virtual-clock.ts";
import { Server, type Shown } from "./server.ts";
import { Truth } from "./truth.ts";

export const FAULTS = [
  "EIO",
  "EMFILE",
  "ENOSPC",
  "EACCES",
  "short",
  "kill",
  "kill-after",
  "EIO-after",
] as const;

export interface Fault {
  readonly kind: (typeof FAULTS)[number];
  /** Calls that still succeed. */
  skip: number;
  readonly only: "any" | "read" | "write";
  /** Only calls for paths that start so. */
  readonly on: string;
  isDue?: boolean;
}

/** Breaks one of the promises. */
export class Violation extends Error {}

export interface Entry {
  readonly pid: number;
  readonly host?: string;
  readonly names?: readonly string[];
  readonly borrowed?: Readonly<Record<string, string>>;
  readonly claude_pid?: number;
  readonly claude_session?: string;
}

/** A program with a conversation in it, and the servers that it has started. */
export class Agent {
  readonly clock: VirtualClock;
  readonly servers: Server[] = [];
  readonly session: AgentSession;
  conversation: string;
  given: string | undefined;
  /** True once its conversation has changed. */
  hasMoved = false;
  outageUntil = 0;
  lastShown: string | undefined;

  constructor(
    readonly world: World,
    readonly pid: number,
    conversation: string,
    readonly env: string | undefined,
    readonly expectsChannel: boolean,
    readonly hasWaker: boolean,
  ) {
    this.clock = new VirtualClock(world.time);
    this.clock.skewMs = world.skewMs;
    this.conversation = conversation;
    this.session = {
      pid,
      client: undefined,
      mayJoin: () => true,
      conversation: () => {
        const { opened } = this.world;
        opened.set(this.conversation, (opened.get(this.conversation) ?? new Set()).add(this));
        return this.conversation;
      },
      givenName: () => this.given,
      folder: () => "/work/shop",
    };
  }

  /** Starts a server, as at the start of the program or after a lost connection. */
  async startServer(): Promise<void> {
    const server = new Server(this.world, this);
    this.servers.push(server);
    await this.world.time.wait(server.start().catch(() => {})).catch(() => {});
  }

  live(): Server[] {
    return this.servers.filter((server) => server.isLive);
  }
}

export class World {
  readonly time = new VirtualTime();
  readonly truth = new Truth(this);
  readonly disk = new MemoryDisk(() => START + this.time.elapsed + this.skewMs);
  readonly processes = new Processes();
  /** Headers by file, as cache.db keeps them beyond the life of a server. */
  readonly #headers = new Map<string, Header>();
  readonly cache: HeaderCache = {
    get: (file) => this.#headers.get(file),
    set: (header) => void this.#headers.set(header.file, header),
    delete: (file) => void this.#headers.delete(file),
  };
  /** Files that lie on a bad sector: nobody can look at them or read them. */
  readonly broken = new Set<string>();
  /** Files and folders that nobody has the right to read or write. */
  readonly denied = new Set<string>();
  /** Locks left behind, and until when. */
  readonly locks = new Map<string, number>();
  /** When processes have ended. */
  readonly endedAt = new Map<number, number>();
  readonly agents: Agent[] = [];
  /** Sessions of the Python original, by their processes. */
  readonly originals = new Set<number>();
  /** The clock of this machine, which a session's own may differ from. */
  readonly clock = new VirtualClock(this.time);
  /** By body: what was answered. */
  readonly sent = new Map<string, { stored: string[] | undefined; count: number; from: Server }>();
  readonly #shown = new Map<string, Set<string>>();
  /** Which programs have had a conversation open. */
  readonly opened = new Map<string, Set<Agent>>();
  readonly traced: string[] = [];
  /** All clocks together: the machine has slept. */
  skewMs = 0;
  lostEvents = 0;
  doubledEvents = 0;
  isListLost = false;
  areRecordsLost = false;
  wereMarksDenied = false;
  failure: string | undefined;
  #pid = 100;

  constructor(
    private readonly random: () => number,
    private readonly isTraced: boolean,
  ) {
    this.disk.deliver = (listener, file) => {
      if (this.lostEvents > 0) return void this.lostEvents--;
      const times = this.doubledEvents > 0 ? 2 : 1;
      if (this.doubledEvents > 0) this.doubledEvents--;
      for (let n = 0; n < times; n++) {
        this.time.at(this.time.elapsed + Math.floor(this.random() * 3), () =>
          listener.onChange(file),
        );
      }
    };
  }

  endOriginal(pid: number): void {
    this.originals.delete(pid);
    this.processes.running.delete(pid);
  }

  nextPid = (): number => ++this.#pid;
  lockDelay = (): number => Math.floor(this.random() * 4);

  trace(line: string): void {
    if (this.isTraced) this.traced.push(`${Math.round(this.time.elapsed)} ${line}`);
  }

  fail(what: string): void {
    this.trace(`VIOLATION: ${what}`);
    this.failure ??= what;
  }

  loseCache(): void {
    this.#headers.clear();
  }

  deny(path: string, isDenied: boolean): void {
    this.disk.deny(path, isDenied);
    if (isDenied) this.denied.add(path);
    else this.denied.delete(path);
  }

  /** The message that was stored last, and is not in the archive yet. */
  newestMessage(): string | undefined {
    const file = [...this.messages(FOLDER.inbox).keys()].sort().at(-1);
    return file === undefined ? undefined : `${FOLDER.inbox}/${file}`;
  }

  /** True if two programs have had this one's conversation open. */
  isShared({ session }: Agent): boolean {
    const conversation = session.conversation() ?? "";
    return (this.opened.get(conversation)?.size ?? 0) > 1;
  }

  live(): Server[] {
    return this.agents.flatMap((agent) => agent.live());
  }

  /** Entries of processes that run, as they stand on the disk. */
  entries(): [string, Entry][] {
    try {
      const entries = JSON.parse(this.disk.text(FOLDER.heartbeats) ?? "{}");
      return Object.entries<Entry>(entries).filter(([, { pid }]) =>
        this.processes.running.has(pid),
      );
    } catch {
      return [];
    }
  }

  /** A server is about to show this message. */
  onRead(server: Server, { file, to }: Header): void {
    this.trace(`  ${server.pid} (${server.presence.names}): reads ${file}`);
    if (isEveryone(to)) return;
    const names = server.presence.names.map(nameKey);
    if (!names.includes(nameKey(to))) this.fail(`${file} was shown to ${names}`);
    for (const [name, entry] of this.entries()) {
      const isSame =
        entry.pid === server.pid ||
        entry.claude_pid === server.agent.pid ||
        entry.claude_session === server.presence.conversation;
      const held = [name, ...(entry.names ?? [])].map(nameKey);
      if (!isSame && held.includes(nameKey(to))) {
        this.fail(`${file} was shown to ${server.pid}, and ${name} (${entry.pid}) holds its name`);
      }
    }
  }

  onShown({ file, names }: Shown): void {
    const all = this.#shown.get(file) ?? new Set();
    for (const name of names) all.add(name);
    this.#shown.set(file, all);
  }

  wasShown = (file: string, name: string): boolean => this.#shown.get(file)?.has(name) ?? false;

  /** Message files in a folder by name, with their texts. */
  messages(folder: string): Map<string, string> {
    const files = this.disk.paths().filter((path) => path.startsWith(`${folder}/`));
    return new Map(
      files
        .map((path): [string, string] => [
          path.slice(folder.length + 1),
          this.disk.text(path) ?? "",
        ])
        .filter(([file]) => /^\d{8}T\d{12}-.*\.md$/.test(file)),
    );
  }

  /** Which names have read which files, by the lines on the disk. */
  marks(): Map<string, Set<string>> {
    const marks = new Map<string, Set<string>>();
    for (const path of this.disk.paths()) {
      if (!path.startsWith(`${FOLDER.read}/`) || path.includes("/.tmp-")) continue;
      const lines = (this.disk.text(path) ?? "").split("\n").slice(0, -1);
      const files = new Set<string>();
      for (const line of lines) {
        if (line.startsWith("# unread ")) files.delete(line.slice(9));
        else if (line[0] !== "#") files.add(line);
      }
      marks.set(path.slice(FOLDER.read.length + 1), files);
    }
    return marks;
  }
}
