import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import type { Caller } from "../agents/agent.ts";
import { isUnreachable, messageOf, UserError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Clock } from "../core/system.ts";
import { quoteInput } from "../core/text.ts";
import { mailNotice } from "../notify/notice.ts";
import { parseArguments } from "./arguments.ts";
import { refusalText } from "./hints.ts";
import type { ToolContext } from "./session.ts";
import { type Answer, TOOLS, type Tool } from "./tools.ts";

/** How long a mark waits to know who made the call; then it counts as the session's. */
const MARK_PATIENCE_MS = 10_000;
/** How long a rename waits to know who made the call. */
const RENAME_PATIENCE_MS = 1000;

export interface ToolRequest {
  readonly name: string;
  readonly arguments?: unknown;
  readonly meta: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

/** Runs one tool call. Never rejects: a refusal is an answer with `isError`. */
export async function callTool(
  context: ToolContext,
  request: ToolRequest,
  clock: Clock,
  log: Log,
): Promise<CallToolResult> {
  const tool = TOOLS.find(({ name }) => name === request.name);
  try {
    if (!tool) throw unknownTool(request.name);
    const { text, notice } = await run(context, tool, request, clock);
    return toResult(notice ? `${text}\n\n${notice}` : text);
  } catch (error) {
    // A refusal must not end the thought that mail is waiting.
    const notice = ownMailNotice(context);
    const text = explain(error, request.name, log);
    return { ...toResult(notice ? `${text}\n\n${notice}` : text), isError: true };
  }
}

const toResult = (text: string): CallToolResult => ({ content: [{ type: "text", text }] });

async function run(context: ToolContext, tool: Tool, request: ToolRequest, clock: Clock) {
  const { agent, presence, notifier } = context;
  const isRename = tool.name === "t9_ipc_set_name";
  const caller = agent.identifyCaller(
    request.meta,
    isRename ? RENAME_PATIENCE_MS : MARK_PATIENCE_MS,
  );
  notifier.onToolCall({ tool: tool.name, meta: request.meta });
  await context.start();
  await presence.onCall(caller === "sub-agent");
  const args = parseArguments(tool.name, tool.schema, request.arguments);
  if (isRename && (await caller) === "sub-agent") throw refuseSubAgent();
  const work = async () => {
    const answer = await tool.run(context, args);
    const isShown = !(await isCancelled(request.signal, clock));
    if (isShown) markShown(answer, caller);
    return { ...answer, isShown };
  };
  const answer = await (tool.name === "t9_ipc_unread" ? context.unreadTurns.run(work) : work());
  // Nobody sees the answer, so nothing that is said once is added to it.
  if (!answer.isShown) return { text: answer.text };
  const notes = answer.showsMail ? [] : context.sessionNotes();
  const text = [answer.text, ...notes].join("\n\n");
  // Another session's mail must not be taken for all that waits.
  if (answer.isOthersMail) return { text, notice: ownMailNotice(context) };
  const notice = answer.coversUnread ? undefined : notifier.noticeForToolResult();
  return { text, notice };
}

/**
 * True if the client has cancelled the call: it drops the answer. A cancellation that came while
 * the tool was busy is read after this turn of the event loop, so it is known after the next.
 */
async function isCancelled(signal: AbortSignal, clock: Clock): Promise<boolean> {
  await clock.nextTurn();
  await clock.nextTurn();
  return signal.aborted;
}

function markShown({ afterShown }: Answer, caller: Caller | Promise<Caller>): void {
  if (!afterShown) return;
  if (caller === "session") afterShown();
  else void Promise.resolve(caller).then((known) => known === "session" && afterShown());
}

const unknownTool = (name: string): UserError =>
  new UserError(
    `There is no tool ${quoteInput(name)}. Call one of ${TOOLS.map((tool) => tool.name).join(", ")}.`,
  );

const refuseSubAgent = (): UserError =>
  new UserError(
    "Not renamed: a sub-agent is not the session, and only the main conversation names it. Go on without a name.",
  );

function explain(error: unknown, tool: string, log: Log): string {
  if (error instanceof UserError) return refusalText(error);
  if (!isUnreachable(error)) {
    log(`${tool}: ${error instanceof Error ? error.stack : error}`);
  }
  return `${tool} failed: ${messageOf(error)}. Nothing is lost; call again.`;
}

/** Mentions all unread mail, whatever was announced before. */
function ownMailNotice({ mailbox, agent }: ToolContext): string | undefined {
  try {
    const { headers } = mailbox.unread();
    return headers.length > 0 ? mailNotice(headers, agent.toolPrefix) : undefined;
  } catch {
    return undefined; // the answer reports the problem with the folder
  }
}
