import * as z from "zod";
import type { Outgoing } from "../mail/draft.ts";
import { PRIORITIES } from "../mail/message.ts";
import { readAgain, readUnread, sentText, whoText } from "./answers.ts";
import type { LiveSession } from "./session.ts";

const text = (about: string) => z.string().describe(about);
/** The limits are the mailbox's (mailbox.ts, message.ts), where they are checked; here they are only told. */
const message = {
  subject: text(
    "What it is about, in a few words: shown to the recipient first. At most 200 characters.",
  ),
  body: text("The message. At most 10240 characters.").default(""),
  priority: z
    .enum(PRIORITIES)
    .describe(
      "critical and high are read first. low wakes nobody: it is told on the recipient's next tool call.",
    )
    .default("normal"),
};
const ONE_OR_THE_OTHER =
  "file returns one message, session_id lists another's mail: give one of them";
const ESCALATION =
  "escalation: a human should look; forwarded to Telegram where the user has set that up.";

export interface Tool<Schema extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly annotations: Record<string, boolean>;
  /** Passed on as it is: see `ALWAYS_LOADED`. */
  readonly _meta: Record<string, unknown>;
  readonly schema: Schema;
  /** Its answer speaks of unread mail itself. */
  readonly tellsUnread?: true;
  /** Throws Refusal. */
  run(session: LiveSession, args: z.output<Schema>): Promise<Answer>;
}

/** Plain text for Claude; `markRead` is called once it is sure that the client has not cancelled the call. */
type Answer = { readonly text: string; markRead?(): void };

/** Makes the arguments of `run` those that the schema lets through. */
const tool = <Schema extends z.ZodObject>(about: Tool<Schema>): Tool => about;

/**
 * Claude Code keeps the tools of servers out of the model's sight until it searches for them. A session that mail has
 * woken could not read in its next turn, so the tools to read and to answer with are always there. The others are
 * found by their hints.
 */
const ALWAYS_LOADED = { "anthropic/alwaysLoad": true };
const foundBy = (hint: string) => ({ "anthropic/searchHint": hint });

const WRITES = {
  readOnlyHint: false,
  destructiveHint: false,
  idempotentHint: false,
  openWorldHint: false,
};

export const TOOLS: readonly Tool[] = [
  tool({
    name: "t9_ipc_who",
    title: "Who is online",
    description:
      "Lists every session that is online on this mailbox: name, folder, what it works on, whether it is idle, how mail reaches it, and how much of what you sent it has not read. Use it when the user asks who else is there, before sending, for the exact name, and to see whether your mail was read.",
    annotations: { readOnlyHint: true, openWorldHint: false },
    _meta: foundBy("list the other sessions, agents and colleagues that are online"),
    schema: z.strictObject({}),
    run: async ({ mailbox, config }) => ({
      text: await whoText(mailbox, config, mailbox.owner.name),
    }),
  }),
  tool({
    name: "t9_ipc_send",
    title: "Send a message to a session",
    description:
      "Sends a message to another session: to ask, to answer, to hand over, to warn. It is stored as a file; an offline session finds it when it returns. Do not acknowledge an acknowledgement.",
    annotations: WRITES,
    _meta: ALWAYS_LOADED,
    schema: z.strictObject({
      to: text('Exact name of a session, as t9_ipc_who lists it, or "all".'),
      ...message,
      reply_to: text(
        "The file name of the message that this one answers, as it came with that message.",
      ).optional(),
      type: z.enum(["ipc", "escalation"]).default("ipc").describe(ESCALATION),
      allow_unknown: z
        .boolean()
        .default(false)
        .describe(
          "true: store it for a name nobody has used yet. Otherwise that is refused, as a typing error.",
        ),
    }),
    run: (session, { type, allow_unknown: allowUnknown, ...args }) =>
      send(session, { ...args, escalate: type === "escalation", allowUnknown }),
  }),
  tool({
    name: "t9_ipc_broadcast",
    title: "Send a message to every session",
    description:
      "Sends one message to every session: for what all of them must know. News that nobody waits for goes with priority low, which wakes nobody. For one session use t9_ipc_send, which disturbs nobody else.",
    annotations: WRITES,
    _meta: foundBy("tell every session, all agents, everybody at once"),
    schema: z.strictObject({
      ...message,
      type: z.enum(["broadcast", "escalation"]).default("broadcast").describe(ESCALATION),
    }),
    run: (session, { type, ...args }) =>
      send(session, { ...args, to: "all", escalate: type === "escalation", allowUnknown: false }),
  }),
  tool({
    name: "t9_ipc_unread",
    tellsUnread: true,
    title: "Read unread messages",
    description:
      "Returns this session's unread messages with their bodies and marks exactly those as read. Use it when told of new messages, when starting or resuming work, and again while it says more are left.",
    // Its only effect is our own record of what it has shown. Plan mode would ask the user before anything else.
    annotations: { readOnlyHint: true, openWorldHint: false },
    _meta: ALWAYS_LOADED,
    schema: z
      .strictObject({
        session_id: text(
          "Another session's name: only looks, marks nothing. Default: this session.",
        ).optional(),
        file: text(
          "A message's file name: returns that one again, read or not, from inbox or archive.",
        ).optional(),
      })
      .refine(
        ({ session_id: id, file }) => id === undefined || file === undefined,
        ONE_OR_THE_OTHER,
      ),
    run: ({ mailbox }, { session_id, file }) =>
      file === undefined ? readUnread(mailbox, session_id) : readAgain(mailbox, file),
  }),
  tool({
    name: "t9_ipc_set_name",
    tellsUnread: true,
    title: "Name this session",
    description:
      "Gives this session a name the others can address, and says what it works on. Use it at the start of work and when the work changes; the name comes back when the conversation is resumed. Mail to the earlier name still arrives.",
    annotations: { ...WRITES, idempotentHint: true },
    _meta: foundBy("name or rename this session, say what it works on"),
    schema: z.strictObject({
      name: text(
        'What this session does, for example "api-tests". 3 to 64 letters, digits, "_" or "-".',
      ),
      working_on: text("What it works on, in a few words: shown by t9_ipc_who.").optional(),
    }),
    async run(session, args) {
      const unread = await session.setName(args.name, args.working_on);
      const waiting =
        unread === 1 ? "1 unread message is" : `${unread || "No"} unread messages are`;
      const next = unread > 0 ? ": call t9_ipc_unread" : "";
      return { text: `This session is now ${session.presence.name}. ${waiting} waiting${next}.` };
    },
  }),
];

async function send(session: LiveSession, message: Outgoing): Promise<Answer> {
  const sent = await session.mailbox.send(message);
  if (!message.escalate) return { text: sentText(sent) };
  void session.forward(sent.header, message.body);
  const forwarded = session.config.telegram
    ? "It is being forwarded to Telegram; while this session lives, a failure will come as a message."
    : "Not forwarded to a phone: Telegram is not set up (the user sets IPC_TG_TOKEN and IPC_TG_CHAT for this server).";
  return { text: `${sentText(sent)} ${forwarded}` };
}
