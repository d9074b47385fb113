import type { Message } from "../core/message.ts";
import { styled, toPlainLine } from "./print.ts";
import { colorOf, marksOf, recipientOf } from "./print-message.ts";

/** Characters that take two columns: East Asian scripts and pictographs. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u;

/** So many columns of a subject are shown even if the line is broken by it. */
const MIN_SUBJECT = 20;

/** One message in one line of a terminal: time, sender → recipient, subject, start of the body. */
export function messageLine({ header, body }: Message, columns: number): string {
  const time = timeOf(header.created);
  const names = toPlainLine(`${header.from} → ${recipientOf(header)}`);
  const room = columns - widthOf(`${time}  ${names}  `);
  const subject = fit(toPlainLine(header.subject + marksOf(header)), Math.max(room, MIN_SUBJECT));
  const start = fit(toPlainLine(body).trim(), room - widthOf(`${subject}  `));
  const head = `${styled("dim", time)}  ${styled(colorOf(header.from), names)}  ${subject}`;
  return start ? `${head}  ${styled("dim", start)}` : head;
}

/** An event that is not a message, in one line. */
export function eventLine(text: string, now = new Date()): string {
  return styled("dim", `${localTimeOf(now)}  ${toPlainLine(text)}`);
}

/** `14:03:22`; for another day `03-31 14:03`. As it was written, if that is not a time. */
function timeOf(created: string): string {
  const [, date, time] = /^\d{4}-(\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(created) ?? [];
  if (date === undefined || time === undefined) return toPlainLine(created);
  const now = new Date();
  const today = [now.getMonth() + 1, now.getDate()].map(twoDigits).join("-");
  return date === today ? time : `${date} ${time.slice(0, 5)}`;
}

const localTimeOf = (time: Date): string =>
  [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join(":");

const twoDigits = (number: number): string => String(number).padStart(2, "0");

const widthOf = (text: string): number =>
  [...text].reduce((width, character) => width + (WIDE.test(character) ? 2 : 1), 0);

/** As much of the text as fits; cut with `…`. Nothing if there is room for a few columns only. */
function fit(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  if (columns < 8) return "";
  let shown = "";
  let width = 1;
  for (const character of text) {
    width += widthOf(character);
    if (width > columns) break;
    shown += character;
  }
  return `${shown}…`;
}
