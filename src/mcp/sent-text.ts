import type { Session } from "../core/heartbeats.ts";
import type { Delivery, Sent } from "../core/mailbox.ts";
import type { Header } from "../core/message.ts";
import { isEveryone } from "../core/names.ts";
import { oneLine } from "../core/text.ts";
import { describeRoute } from "../notify/routes.ts";
import { activityText, lastCallText, type Surroundings } from "./surroundings.ts";

/** Above this many messages in ten minutes, the answer says that they are many. */
const MANY_SENT = 20;
const LOW = "low priority wakes nobody";

/** The result of a send: the file names, and the sessions that are online to receive it. */
export function sentText({ deliveries, recentCount }: Sent, around: Surroundings): string {
  const lines = deliveries.map((delivery) => deliveryText(delivery, around));
  const many =
    recentCount > MANY_SENT
      ? [
          `You have sent ${recentCount} messages in ten minutes. If nothing is left to be done, do not answer: silence is an answer too.`,
        ]
      : [];
  return [...lines, ...many].join("\n");
}

function deliveryText({ header, online }: Delivery, around: Surroundings): string {
  const stored = `Stored as ${header.file}.`;
  const isLow = header.priority === "low";
  const route = ({ entry }: Session): string =>
    isLow ? "on its next tool call" : oneLine(describeRoute(entry.push, entry.push_note));
  if (isEveryone(header.to)) {
    if (online.length === 0) {
      return `${stored} Nobody else is online; sessions that were here before find it when they return, within 7 days.`;
    }
    const names = online.map((session) => {
      const waits = waitsText(session, around);
      return `${session.name} (${route(session)}${waits ? `; ${waits}` : ""})`;
    });
    const elsewhere = online.filter(
      (session) => !around.mailbox.directory.worksHere(session),
    ).length;
    const hint =
      elsewhere > 0
        ? ` ${elsewhere} of them ${elsewhere === 1 ? "works" : "work"} in another project: to "here" reaches only this one.`
        : "";
    const low = isLow ? ` ${LOW}.` : "";
    return `${stored} Online to receive it: ${names.join(", ")}.${low}${hint}`;
  }
  const [session] = online;
  if (!session) return `${stored} ${offlineText(header, around)}`;
  const now = session.name === header.to ? "" : `, now named ${session.name},`;
  const facts = [
    lastCallText(session.entry, around),
    waitsText(session, around),
    `mail reaches it: ${route(session)}`,
    isLow && LOW,
  ];
  return `${stored} ${header.to}${now} is online, ${facts.filter(Boolean).join("; ")}. Not read yet.`;
}

/** Only for a session that waits for its user: it does nothing before the user answers. */
function waitsText({ entry }: Session, around: Surroundings): string | undefined {
  const { status } = around.statusOf(entry) ?? {};
  return status === "waiting" ? activityText(entry, around) : undefined;
}

function offlineText({ to }: Header, { mailbox }: Surroundings): string {
  const neighbours = mailbox.directory.sessionsInFolderOf(to).map(({ name }) => name);
  const others =
    neighbours.length > 0 ? ` Online in the folder it worked in: ${neighbours.join(", ")}.` : "";
  return `${to} is offline: the message waits in the inbox until it returns, for up to 30 days.${others}`;
}
