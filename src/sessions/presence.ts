import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config.ts";
import { reasonOf } from "../files.ts";
import type { Stamp } from "../stamp.ts";
import { type Entry, entryOf, holderOf, namesOf, type Session } from "./entry.ts";
import type { Entries, Heartbeats } from "./heartbeats.ts";
import { fit, type Name } from "./names.ts";
import { type FirstName, firstName, freeName, inClaude, remember, whyTaken } from "./naming.ts";
import type { Agent } from "./process.ts";
import { Pulse } from "./pulse.ts";

/** Leaving waits no longer for the lock: the process ends, and its PID then tells the others. */
const LEAVE_MS = 500;

/**
 * - joining: not on the list yet. A Codex session stays so until its first tool call, which tells its conversation.
 * - serving: on the list; mail is received and pushed.
 * - superseded: a newer server of the same agent process serves the session (after a reconnect). No beats, no pushes;
 *   serving again when that one is gone.
 * - left: off the list for good.
 */
export type State = "joining" | "serving" | "superseded" | "left";

/** This server's own session: its name, its heartbeat, and whether another server has taken it over. */
export class Presence {
  name: Name;
  /** Earlier names: what is sent to them is delivered here for as long as the session lives. */
  earlier: Name[] = [];
  state: State = "joining";
  /** This server took the session over from an earlier one of its agent, which has pushed what came before `since`. */
  tookOver = false;

  #conversation: string | undefined;
  #namedBy: FirstName["by"] = "folder";
  #workingOn = "";
  #reached: { push: string; push_note: string };
  #lastCall: number | undefined;
  /** Our entry as it was last written, and the version of heartbeats.json that was last looked at. */
  #entry: Entry | undefined;
  #version = "";
  readonly #pulse = new Pulse(() => this.#beat());

  /**
   * `agent`: the process that started this server; `push`: how mail reaches this session, in the words that the others
   * are told; `since`: from when mail to all is its own, where its name is new.
   */
  constructor(
    private readonly config: Config,
    private readonly heartbeats: Heartbeats,
    readonly agent: Agent | undefined,
    push: string,
    readonly since: Stamp,
  ) {
    this.#reached = { push, push_note: "" };
    this.#conversation = config.claudeSession;
    this.name = this.#takeFirstName();
  }

  get names(): Name[] {
    return [this.name, ...this.earlier];
  }

  /** Is mail for these names this server's to receive? Also before the first beat could be written. */
  get isReceiving(): boolean {
    return this.state === "serving" || (this.state === "joining" && this.agent?.kind !== "codex");
  }

  #takeFirstName(isFresh = false): Name {
    const { name, by, workingOn } = firstName(this.config, this.agent, this.#conversation, isFresh);
    [this.name, this.#namedBy, this.#workingOn] = [name, by, workingOn];
    return name;
  }

  /** Says to the others how mail reaches this session, and in `note` what is known against that. */
  reachedBy(push: string, note = ""): void {
    const { push: before, push_note } = this.#reached;
    this.#reached = { push, push_note: note };
    if (push !== before || note !== push_note) this.#pulse.soon();
  }

  /**
   * Takes a name and puts this session on the list; where it cannot, it tries again later. `conversation`: for agents
   * that tell it only with the first tool call. Does nothing where the session has joined already.
   */
  async join(conversation = this.#conversation): Promise<void> {
    if (this.#pulse.isStarted || this.state !== "joining") return;
    this.#conversation = conversation;
    this.#takeFirstName();
    await this.#pulse.start();
  }

  /** Speaks as the session of that conversation, which is its own server's to list and to push to. */
  speakFor(conversation: string): void {
    const session = this.heartbeats.find((entry) => entry.claude_session === conversation);
    if (!session || this.#pulse.isStarted) return;
    this.#yieldTo(session);
    this.state = "superseded";
  }

  /** Follows the name that the user gives the session in Claude Code. */
  async follow(): Promise<void> {
    if (this.state !== "serving" || this.#namedBy === "environment" || this.#namedBy === "set_name")
      return;
    const given = inClaude(this.config, this.agent)?.name;
    const name = given && fit(given);
    // A name with a number behind it is ours already: somebody else holds the name itself.
    if (
      !name ||
      this.name === name ||
      (this.#namedBy === "user" && this.name.startsWith(`${name}-`))
    )
      return;
    await this.#take((others) => ({ name: freeName(name, others) }));
    this.#namedBy = "user";
  }

  /** A tool was called: the others see when, soon after. */
  touch(): void {
    this.check();
    this.#lastCall = Date.now();
    this.#pulse.later();
  }

  async #beat(): Promise<boolean> {
    try {
      const isWritten = await this.heartbeats.update((entries, online) =>
        this.#claim(entries, online),
      );
      this.#version = this.heartbeats.version();
      return isWritten;
    } catch (error) {
      this.config.log(`heartbeat not written: ${reasonOf(error)}`);
      return false;
    }
  }

  /** Puts our entry in, under a name nobody else holds; not where a newer server serves our session. */
  #claim(entries: Entries, online: () => Session[]): boolean {
    if (this.state === "left") return false;
    this.#pulse.listed = entries.size;
    const known = entries.get(this.name);
    // Nearly always, nothing has changed since the last beat, and who else is online need not be asked.
    if (this.state === "serving" && known?.pid === process.pid && known.host === this.config.host) {
      this.#put(entries, [{ name: this.name, entry: known }]);
      return true;
    }
    const { own, sibling, others } = this.#split(online());
    if (sibling) {
      this.#yieldTo(sibling);
      if (this.state !== "joining") return false;
      this.tookOver = true;
    } else if (
      this.state === "joining" &&
      this.#namedBy === "set_name" &&
      holderOf(this.name, others)
    ) {
      this.#takeFirstName(true);
    }
    const wanted = this.name;
    this.name = freeName(wanted, others);
    if (this.name !== wanted)
      this.config.log(`the name ${wanted} is taken: this session is ${this.name}`);
    // The Python original takes a name without asking. We keep it as an alias, so our mail still arrives.
    if (this.name !== wanted && this.state !== "joining") this.earlier.push(wanted);
    this.#put(entries, [own, sibling]);
    return true;
  }

  /** Our own entry; that of another server of our agent process (a reconnect leaves the old one); all others. */
  #split(online: Session[]): {
    own: Session | undefined;
    sibling: Session | undefined;
    others: Session[];
  } {
    const { agent } = this;
    const here = online.filter(({ entry }) => entry.host === this.config.host);
    const own = here.find(({ entry }) => entry.pid === process.pid);
    const isSibling = ({ entry }: Session): boolean => {
      if (agent?.kind === "claude") return entry.claude_pid === agent.pid;
      if (!this.#conversation || entry.claude_session !== this.#conversation) return false;
      return agent !== undefined || entry.parent === process.ppid;
    };
    const sibling = here.find((session) => session !== own && isSibling(session));
    return {
      own,
      sibling,
      others: online.filter((session) => session !== own && session !== sibling),
    };
  }

  /** Goes by the name of the server that serves this session, and lets it serve. */
  #yieldTo(sibling: Session): void {
    if (this.state === "serving") this.state = "superseded";
    [this.name, ...this.earlier] = namesOf(sibling) as [Name, ...Name[]];
    this.#workingOn = sibling.entry.working_on;
  }

  /** Writes our entry in the place of these. */
  #put(entries: Entries, before: readonly (Session | undefined)[]): void {
    for (const session of before) if (session) entries.delete(session.name);
    this.#entry = entryOf(this.config, before.find((session) => session !== undefined)?.entry, {
      working_on: this.#workingOn,
      names: this.earlier,
      ...this.#reached,
      since: this.since,
      ...(this.agent?.kind === "codex" && { client: "Codex" }),
      ...(this.#lastCall && { last_call: this.#lastCall }),
      ...(this.agent && { claude_pid: this.agent.pid }),
      ...(this.#conversation && { claude_session: this.#conversation }),
    });
    entries.set(this.name, this.#entry);
    if (this.state !== "left") this.state = "serving";
  }

  /** Looks whether heartbeats.json still has us as we are; if not, lets a newer server serve, or beats. */
  check(): void {
    if (!this.#pulse.isStarted || !this.#entry) return;
    try {
      const version = this.heartbeats.version();
      if (version === this.#version) return;
      this.#version = version;
      if (this.heartbeats.has(this.name, this.#entry)) return;
      const { sibling } = this.#split(this.heartbeats.online());
      if (sibling) this.#yieldTo(sibling);
      else this.#pulse.soon();
    } catch (error) {
      this.config.log(`heartbeats.json cannot be read: ${reasonOf(error)}`);
    }
  }

  /** Takes a name. Resolves to a refusal, or undefined where the name is now ours. */
  async rename(name: Name, workingOn: string | undefined): Promise<string | undefined> {
    const conversation = inClaude(this.config, this.agent)?.id ?? this.#conversation;
    const onTaken = (): void => {
      this.#namedBy = "set_name";
      this.#workingOn = workingOn ?? this.#workingOn;
      if (conversation) remember(this.config, conversation, name, this.#workingOn);
    };
    return this.#take((others) => ({ name, refusal: whyTaken(name, others) }), onTaken);
  }

  async #take(
    choose: (others: Session[]) => { name: Name; refusal?: string | undefined },
    onTaken = (): void => {},
  ): Promise<string | undefined> {
    let refused: string | undefined =
      "heartbeats.json is locked by another process. Call again in a few seconds.";
    await this.heartbeats.update((entries, online) => {
      const { own, others } = this.#split(online());
      const { name, refusal } = choose(others);
      refused = refusal;
      if (refusal) return false;
      this.earlier = this.names.filter((old) => old !== name);
      this.name = name;
      onTaken();
      this.#put(entries, [own]);
      return true;
    });
    this.#version = this.heartbeats.version();
    return refused;
  }

  /** Takes this session off the list, within half a second or not at all. */
  async leave(): Promise<void> {
    this.state = "left";
    const remove = (entries: Entries): boolean =>
      entries.get(this.name)?.pid === process.pid && entries.delete(this.name);
    // A beat that is under way would leave its lock behind.
    const removed = this.#pulse.stop().then(() => this.heartbeats.update(remove));
    await Promise.race([removed.catch(() => false), sleep(LEAVE_MS)]);
  }
}
