import * as z from "zod"; // `{ z }` would bundle its 50 languages
import { splitNames, toAddress } from "../core/addresses.ts";
import { messageOf, UserError } from "../core/errors.ts";
import type { Session } from "../core/heartbeats.ts";
import type { Mailbox, SendRequest } from "../core/mailbox.ts";
import { MAX_BODY_LENGTH, MAX_SUBJECT_LENGTH, PRIORITIES } from "../core/message.ts";
import { explainInvalidName, isEveryone, isName, isSameName, toName } from "../core/names.ts";
import { lengthOf, oneLine, plural, quote, quoteInput } from "../core/text.ts";
import type { WatchAnswer } from "../notify/idle-watch.ts";
import { messageAgainText, otherMailText, ownMailText, unreadableLines } from "./mail-text.ts";
import { sentText } from "./sent-text.ts";
import type { ToolContext } from "./session.ts";
import { whoText } from "./who-text.ts";

const MAX_WORKING_ON = 200;

export interface Answer {
  readonly text: string;
  /** Called once it is sure that the client has not cancelled the call. */
  readonly afterShown?: () => void;
  /** True if the answer itself lists or counts the unread mail. */
  readonly coversUnread?: boolean;
  /** True if messages are in the answer. They get all its room, so no notes are added. */
  readonly showsMail?: boolean;
  /** The answer is about somebody else's mail, which must not be taken for one's own. */
  readonly isOthersMail?: boolean;
}

export interface Tool<Schema extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly annotations: Readonly<Record<string, boolean>>;
  readonly _meta: Readonly<Record<string, unknown>>;
  readonly schema: Schema;
  /** Throws UserError. */
  run(context: ToolContext, args: z.output<Schema>): Promise<Answer> | Answer;
}

/** Gives `run` the arguments that its schema describes. */
const defineTool = <Schema extends z.ZodObject>(tool: Tool<Schema>): Tool =>
  tool as unknown as Tool;

/**
 * Claude Code hides tools until the model searches for them. A session that mail has woken reads
 * and answers in its next turn, so these tools are always there; the others are found by hints.
 */
const ALWAYS_LOADED = { "anthropic/alwaysLoad": true };
const searchHint = (hint: string) => ({ "anthropic/searchHint": hint });

const READS = { readOnlyHint: true, openWorldHint: false };
const WRITES = {
  readOnlyHint: false,
  destructiveHint: false,
  idempotentHint: false,
  openWorldHint: false,
};

const content = {
  subject: z.string().describe(`A few words; at most ${MAX_SUBJECT_LENGTH} characters.`),
  body: z.string().default("").describe(`At most ${MAX_BODY_LENGTH} characters.`),
  priority: z.enum(PRIORITIES).default("normal").describe("low wakes nobody."),
};
const ESCALATION = "escalation: a human should look; forwarded to Telegram if set up.";

export const TOOLS: readonly Tool[] = [
  defineTool({
    name: "t9_ipc_who",
    title: "Who is online",
    description:
      "Lists every session that is online: name, folder, work, idle or busy, how mail reaches it, and how much of what you sent it has not read. Use it when asked who else is there, for a name to send to, and to see whether your mail was read.",
    annotations: READS,
    _meta: searchHint("list the other sessions, agents and colleagues that are online"),
    schema: z.strictObject({
      notify_when_idle: z
        .string()
        .optional()
        .describe(
          "Names, with commas: one notice to you when each goes idle, waits for its user or ends.",
        ),
    }),
    run: ({ around, idleWatch, mailbox }, { notify_when_idle: names }) => {
      const watched = splitNames(names ?? "").map((name) => {
        const meant = mailbox.directory.findOnline(name);
        return watchText(meant?.name ?? name, meant ? idleWatch.watch(meant.name) : "offline");
      });
      return { text: [whoText(around, true), ...watched].join("\n") };
    },
  }),

  defineTool({
    name: "t9_ipc_send",
    title: "Send a message to a session",
    description:
      "Sends a message to other sessions: to ask, answer, hand over or warn. An offline session finds it when it returns. Do not acknowledge an acknowledgement.",
    annotations: WRITES,
    _meta: ALWAYS_LOADED,
    schema: z.strictObject({
      to: z
        .string()
        .describe('A name from t9_ipc_who, several with commas, "here" (this project) or "all".'),
      ...content,
      reply_to: z.string().optional().describe("File name of the message that this answers."),
      type: z.enum(["ipc", "escalation"]).default("ipc").describe(ESCALATION),
      notify_when_idle: z
        .boolean()
        .default(false)
        .describe("true: tell me when the recipient has read it and is idle again."),
      allow_unknown: z
        .boolean()
        .default(false)
        .describe("true: also for a name that nobody has used yet."),
    }),
    run: (context, { to, type, allow_unknown: allowUnknown, notify_when_idle, ...message }) =>
      send(
        context,
        { ...message, to: splitNames(to), escalate: type === "escalation", allowUnknown },
        notify_when_idle,
      ),
  }),

  defineTool({
    name: "t9_ipc_broadcast",
    title: "Send a message to every session",
    description:
      "Sends one message to every session: what all must know. News that nobody waits for goes with priority low.",
    annotations: WRITES,
    _meta: searchHint("tell every session, all agents, everybody at once"),
    schema: z.strictObject({
      ...content,
      to: z.string().default("all").describe("Some sessions only: use t9_ipc_send."),
      type: z.enum(["broadcast", "escalation"]).default("broadcast").describe(ESCALATION),
    }),
    run: (context, { type, to, ...message }) => {
      if (toAddress(to) !== "all") {
        throw new UserError(
          `Not sent: t9_ipc_broadcast goes to every session, not to ${quoteInput(to)} alone. Call t9_ipc_send with this "to".`,
        );
      }
      return send(context, { ...message, to: ["all"], escalate: type === "escalation" });
    },
  }),

  defineTool({
    name: "t9_ipc_unread",
    title: "Read unread messages",
    description:
      "Returns this session's unread messages with their bodies, and marks exactly those as read. Use it when told of new messages, when starting or resuming work, and again while more are left.",
    // Its only effect is our own record. Plan mode would ask the user before anything else.
    annotations: READS,
    _meta: ALWAYS_LOADED,
    schema: z.strictObject({
      session_id: z.string().optional().describe("Another session's name: only looks at its mail."),
      file: z.string().optional().describe("A message's file name: shows that one again."),
    }),
    run: unread,
  }),

  defineTool({
    name: "t9_ipc_set_name",
    title: "Name this session",
    description:
      "Gives this session a name that others can address. Use it at the start and when the work changes. Mail to the earlier name still arrives; the name comes back when the conversation is resumed.",
    annotations: { ...WRITES, idempotentHint: true },
    _meta: searchHint("name or rename this session, say what it works on"),
    schema: z.strictObject({
      name: z
        .string()
        .describe('What it does, like "api-tests": 3 to 64 letters, digits, "_", "-".'),
      working_on: z.string().optional().describe("Its work in a few words, for t9_ipc_who."),
    }),
    run: setName,
  }),
];

function tryOnline({ directory }: Mailbox): readonly Session[] {
  try {
    return directory.online();
  } catch {
    return [];
  }
}

/** A name that nobody has here may be that of a session that runs without t9-ipc. */
function withUnlisted(
  error: unknown,
  to: readonly string[],
  { around, mailbox }: ToolContext,
): unknown {
  if (!(error instanceof UserError) || error.hint !== "allow-unknown") return error;
  const names = around.unlisted(tryOnline(mailbox)).flatMap(({ name }) => name ?? []);
  const meant = names.find((name) => to.some((each) => isSameName(toName(each), toName(name))));
  if (meant === undefined) return error;
  const text = `A Claude Code session called ${quote(meant)} runs without t9-ipc: restart it, or use SendMessage.`;
  return new UserError(`${error.message} ${text}`, error.hint);
}

/** The answer to the wish for a notice. With a message, being idle counts once it was read. */
function watchText(name: string, answer: WatchAnswer, hasMessage = false): string {
  const shown = oneLine(name, 80);
  switch (answer) {
    case "watching":
      return hasMessage
        ? `You get one notice when ${shown} has read it and is idle, or when ${shown} waits for its user or ends.`
        : `You get one notice when ${shown} is idle, waits for its user or ends.`;
    case "idle":
      return `${shown} is idle already: no notice follows.`;
    case "unknown":
      return `No notice will come of ${shown}: what it is doing cannot be known from here.`;
    case "offline":
      return `No notice will come of ${shown}: it is not online.`;
  }
}

async function send(
  context: ToolContext,
  request: SendRequest,
  notifyWhenIdle = false,
): Promise<Answer> {
  const sent = await context.mailbox.send(request).catch((error) => {
    throw withUnlisted(error, request.to, context);
  });
  const watched = notifyWhenIdle
    ? sent.deliveries.flatMap(({ header, online }) => {
        if (online.length === 0 && !isEveryone(header.to)) return [watchText(header.to, "offline")];
        return online.map(({ name }) =>
          watchText(name, context.idleWatch.watch(name, header.file), true),
        );
      })
    : [];
  const text = [sentText(sent, context.around), ...watched].join("\n");
  const [first] = sent.deliveries;
  if (!request.escalate || !first) return { text };
  // Once, for whichever of the recipients: the text is the same.
  void context.forward?.(first.header, request.body);
  const forwarded = context.forward
    ? "It is being forwarded to Telegram; while this session lives, a failure will come as a message."
    : "Not forwarded to a phone: Telegram is not set up (the user sets IPC_TG_TOKEN and IPC_TG_CHAT for this server).";
  return { text: `${text} ${forwarded}` };
}

function unread(
  { mailbox, around, notifier }: ToolContext,
  { session_id: whose, file }: { session_id?: string | undefined; file?: string | undefined },
): Answer {
  if (whose !== undefined && file !== undefined) {
    throw new UserError(
      "file shows one message and session_id another session's mail. Give only one of them, or neither to read your own mail.",
    );
  }
  if (file !== undefined) {
    const { text, shown, markRead } = messageAgainText(around, file);
    return { text, showsMail: true, afterShown: () => read(shown, markRead) };
  }
  const isOwn = whose === undefined || mailbox.directory.isOwnName(whose);
  const mail = isOwn ? ownMailText(around) : otherMailText(around, whose);
  const { text, showsMail, shown, markRead } = mail;
  return {
    text,
    showsMail,
    coversUnread: isOwn,
    isOthersMail: !isOwn,
    afterShown: () => read(shown, markRead),
  };

  function read(messages: typeof shown, mark: () => void): void {
    notifier.onRead(messages.map(({ header }) => header.file));
    mark();
  }
}

async function setName(
  { mailbox, presence }: ToolContext,
  { name, working_on }: { name: string; working_on?: string | undefined },
): Promise<Answer> {
  const refused = `Not renamed, this session is still ${presence.name}.`;
  const length = lengthOf(working_on ?? "");
  if (length > MAX_WORKING_ON) {
    throw new UserError(
      `${refused} working_on has ${length} characters, the limit is ${MAX_WORKING_ON}. Shorten it.`,
    );
  }
  const wanted = name.trim().normalize("NFC");
  if (!isName(wanted)) throw new UserError(`${refused} ${explainInvalidName(wanted)}`);
  const isKept = await presence.rename(wanted, working_on);
  await mailbox.register();
  const kept = isKept
    ? ""
    : " Its name is not saved for a resume yet: conversations.json cannot be written just now, and is tried again.";
  return {
    text: `This session is now ${presence.name}.${kept} ${waitingText(mailbox)}`,
    coversUnread: true,
  };
}

/** The name is taken, whether or not the mail can be counted. */
function waitingText(mailbox: Mailbox): string {
  try {
    const { headers, unreadable } = mailbox.unread();
    const { length: count } = headers;
    if (count === 0) return unreadableLines(unreadable)[0] ?? "No unread messages are waiting.";
    const are = count === 1 ? "is" : "are";
    return `${plural(count, "unread message")} ${are} waiting: call t9_ipc_unread.`;
  } catch (error) {
    return messageOf(error);
  }
}
