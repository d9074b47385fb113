import type { Config } from "../config.ts";
import { namesOf, type Session } from "../sessions/entry.ts";
import { isForAll, isName, type Name } from "../sessions/names.ts";
import { stampIn, stampOf, wallOf } from "../stamp.ts";
import type { Owner } from "./draft.ts";
import type { Inbox } from "./inbox.ts";
import { type Header, inOrder, mayBeFrom, mayBeTo } from "./message.ts";
import { ReadMarks } from "./read-marks.ts";

/** Two who exchange more messages than this within that time may be models that answer each other for ever. */
export const MANY_EXCHANGED = 20;
const EXCHANGE_MS = 10 * 60_000;

/** What became of the mail that somebody sent to a session: messages in the inbox, and which of them are unread there. */
export interface Fate {
  readonly sent: readonly Header[];
  readonly unread: readonly Header[];
}

/**
 * How many messages these two, by all their names, have sent each other in the ten minutes up to this file, with it.
 * Counted by stamps, since clocks may differ.
 */
export function exchangedLately(
  inbox: Inbox,
  ours: readonly string[],
  theirs: readonly string[],
  file: string,
): number {
  const since = stampOf(wallOf(stampIn(file)) - EXCHANGE_MS * 1000);
  const [isOurs, isTheirs, isToUs, isToThem] = [
    mayBeFrom(ours),
    mayBeFrom(theirs),
    mayBeTo(ours),
    mayBeTo(theirs),
  ];
  const mayBeBetween = (each: string): boolean =>
    each > since && ((isOurs(each) && isToThem(each)) || (isTheirs(each) && isToUs(each)));
  const isBetween = ({ from, to }: Header): boolean =>
    (ours.includes(from) && theirs.includes(to)) || (theirs.includes(from) && ours.includes(to));
  return inbox.select(mayBeBetween).filter(isBetween).length;
}

/** What became of the owner's mail, for each of these sessions and for each offline name that has some of it waiting. */
export function fates(
  config: Config,
  inbox: Inbox,
  { names: own }: Owner,
  online: readonly Session[],
) {
  const mine = inbox.select(mayBeFrom(own)).filter(({ from }) => own.some((name) => name === from));
  const fateOf = (names: readonly Name[], sent: readonly Header[]): Fate => {
    const marks = sent.length > 0 ? names.map((name) => new ReadMarks(config, name)) : [];
    const got = sent.filter((header) => marks.some((each) => each.covers(header)));
    return {
      sent: got,
      unread: got.filter((header) => marks.some((each) => each.lacks(header))).sort(inOrder),
    };
  };
  const toNames = new Map<string, Header[]>();
  for (const header of mine) {
    const others = toNames.get(header.to);
    if (others) others.push(header);
    else toNames.set(header.to, [header]);
  }
  const toAll = mine.filter(({ to }) => isForAll(to));
  const sessions = new Map<string, Fate>();
  for (const session of online) {
    const names = namesOf(session);
    sessions.set(
      session.name,
      fateOf(names, [...names.flatMap((name) => toNames.get(name) ?? []), ...toAll]),
    );
    for (const name of names) toNames.delete(name);
  }
  const offline = new Map<string, Fate>();
  for (const [name, sent] of toNames) if (isName(name)) offline.set(name, fateOf([name], sent));
  return { sessions, offline };
}
