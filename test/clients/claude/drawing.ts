// A terminal's screens, as tmux captures them with their escape sequences, drawn as an SVG.

interface Style {
  colour?: string | undefined;
  background?: string | undefined;
  bold?: boolean;
  dim?: boolean;
  italic?: boolean;
  inverse?: boolean;
}

/** A piece of a line in one style, and the column it starts at. */
interface Piece extends Style {
  at: number;
  text: string;
}

const CHARACTER = 8; // px, whichever font the reader has: each text is fitted to its length
const LINE = 18;
const MARGIN = 16;
const TITLE = 32;
const INK = "#d6deeb";
const PAPER = "#0b1622";
const EDGE = "#33445a";
/** xterm's first sixteen colours, in shades that read well on PAPER. */
const SIXTEEN =
  "#000000 #cd3131 #0dbc79 #e5e510 #2472c8 #bc3fbc #11a8cd #e5e5e5 #666666 #f14c4c #23d18b #f5f543 #3b8eea #d670d6 #29b8db #ffffff".split(
    " ",
  );

/**
 * The screens one below the other, each in a window with a title; `label` says what is seen, for
 * those who do not see.
 */
export function drawScreens(
  screens: { title: string; screen: string }[],
  columns: number,
  label: string,
): string {
  const width = columns * CHARACTER + 2 * MARGIN;
  const windows: string[] = [];
  let top = 0;
  for (const { title, screen } of screens) {
    const lines = linesOf(screen);
    const height = TITLE + lines.length * LINE + MARGIN;
    windows.push(
      `<g transform="translate(0 ${top})">\n${drawWindow(title, lines, width, height)}\n</g>`,
    );
    top += height + MARGIN;
  }
  const size = `width="${width}" height="${top - MARGIN}" viewBox="0 0 ${width} ${top - MARGIN}"`;
  const font = `13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace`;
  return `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" ${size} role="img" aria-label="${encode(label)}">
<style>text{font:${font};white-space:pre}</style>
${windows.join("\n")}
</svg>
`;
}

function drawWindow(title: string, lines: Piece[][], width: number, height: number): string {
  const dots = ["#ff5f56", "#ffbd2e", "#27c93f"].map(
    (fill, n) => `<circle cx="${20 + n * 18}" cy="16" r="5" fill="${fill}"/>`,
  );
  return [
    // The edge shows where the window ends on a dark page.
    `<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8" fill="${PAPER}" stroke="${EDGE}"/>`,
    dots.join(""),
    `<text x="${width / 2}" y="20" text-anchor="middle" fill="#8091a5">${encode(title)}</text>`,
    ...lines
      .map((line, n) => line.map((piece) => drawPiece(piece, TITLE + (n + 1) * LINE - 5)).join(""))
      .filter(Boolean),
  ].join("\n");
}

/** `y` is the line the letters stand on. */
function drawPiece(piece: Piece, y: number): string {
  const { colour = INK, background, bold, dim, italic, inverse } = piece;
  const [fill, behind] = inverse ? [background ?? PAPER, colour] : [colour, background];
  const look = `${bold ? ' font-weight="bold"' : ""}${italic ? ' font-style="italic"' : ""}${dim ? ' opacity=".65"' : ""}`;
  const lengthOf = (part: string): number => [...part].length * CHARACTER;
  const left = MARGIN + piece.at * CHARACTER;
  const text = piece.text.trim();
  const x = left + lengthOf(piece.text) - lengthOf(piece.text.trimStart());
  const box = behind
    ? `<rect x="${left}" y="${y - LINE + 5}" width="${lengthOf(piece.text)}" height="${LINE}" fill="${behind}"/>`
    : "";
  if (text === "") return box;
  // A rule is one line: the dashes of a font need not meet.
  if (/^[─━]+$/.test(text))
    return `${box}<path d="M${x} ${y - 4}h${lengthOf(text)}" stroke="${fill}"${look}/>`;
  return `${box}<text x="${x}" y="${y}" textLength="${lengthOf(text)}" fill="${fill}"${look}>${encode(text)}</text>`;
}

/** The lines of a screen; several empty ones become one, and those at the end none. */
function linesOf(screen: string): Piece[][] {
  let style: Style = {};
  const lines = screen
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { pieces, after } = piecesOf(line, style);
      style = after; // tmux repeats no style that goes on in the next line
      return pieces;
    });
  const isEmpty = (line: Piece[] | undefined) =>
    line?.every(({ text }) => text.trim() === "") ?? true;
  return lines.filter((line, n) => !isEmpty(line) || !isEmpty(lines[n - 1]));
}

function piecesOf(line: string, before: Style): { pieces: Piece[]; after: Style } {
  const pieces: Piece[] = [];
  let style = before;
  let at = 0;
  const add = (text: string): void => {
    if (text !== "") pieces.push({ ...style, at, text });
    at += [...text].length;
  };
  const [plain = "", ...escaped] = line.split("\u001b");
  add(plain);
  for (const part of escaped) {
    // A style (`[1;31m`), or an end of a hyperlink (`]8;;URL`, then `\`), which has no place in a
    // picture.
    const [sequence = "", codes] = /^\[([\d;:]*)m/.exec(part) ?? /^(?:\]8;.*|\\)/.exec(part) ?? [];
    if (codes !== undefined) style = styleAfter(style, codes.split(/[;:]/).map(Number));
    add(part.slice(sequence.length));
  }
  return { pieces, after: style };
}

/** The style after a sequence of "select graphic rendition" codes. */
function styleAfter(before: Style, codes: number[]): Style {
  let style = { ...before };
  const rest = [...codes];
  while (rest.length > 0) {
    const code = rest.shift() ?? 0;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 3) style.italic = true;
    else if (code === 7) style.inverse = true;
    else if (code === 22) Object.assign(style, { bold: false, dim: false });
    else if (code === 23) style.italic = false;
    else if (code === 27) style.inverse = false;
    else if (code === 38) style.colour = takeColour(rest);
    else if (code === 48) style.background = takeColour(rest);
    else if (code === 39) style.colour = undefined;
    else if (code === 49) style.background = undefined;
    else if (code >= 90 && code < 108)
      style[code < 98 ? "colour" : "background"] = SIXTEEN[8 + (code % 10)];
    else if (code >= 30 && code < 48)
      style[code < 38 ? "colour" : "background"] = SIXTEEN[code % 10];
  }
  return style;
}

/**
 * What follows 38 or 48: `2;red;green;blue`, or `5;number` in xterm's table of 256. Takes it from
 * the front.
 */
function takeColour(rest: number[]): string {
  if (rest.shift() === 2) return rgb(rest.splice(0, 3));
  const number = rest.shift() ?? 0;
  if (number < 16) return SIXTEEN[number] ?? INK;
  if (number >= 232) return rgb(Array(3).fill(8 + (number - 232) * 10));
  const steps = [
    Math.floor((number - 16) / 36),
    Math.floor((number - 16) / 6) % 6,
    (number - 16) % 6,
  ];
  return rgb(steps.map((step) => (step === 0 ? 0 : 55 + step * 40)));
}

function rgb(values: number[]): string {
  return `#${values.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

function encode(text: string): string {
  return text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
