// @ts-check

/** The terminal colours that the programs here use, on a dark background. */
const COLOURS = /** @type {const} */ ({
  31: '#ff7b72',
  32: '#7ee787',
  33: '#e3b341',
  34: '#79c0ff',
  35: '#d2a8ff',
  36: '#76e3ea',
  90: '#8b949e',
});

const CHARACTER = 8.43; // the font's advance at 14 px
const LINE = 20;
const MARGIN = 16;

/**
 * A picture of what a program writes to a terminal.
 * @param {string} text with the escape sequences for bold, dim and colours; other sequences are left out
 * @param {string} title what a screen reader reads aloud
 */
export function terminalSvg(text, title) {
  const lines = text
    .replace(/\r/g, '')
    .trimEnd()
    .split('\n')
    .map((line) => spans(line));
  const columns = Math.max(...lines.map((line) => line.reduce((sum, { text }) => sum + text.length, 0)));
  const width = Math.ceil(columns * CHARACTER + 2 * MARGIN);
  const height = lines.length * LINE + 2 * MARGIN;
  const rows = lines.map((line, index) => {
    const parts = line.map(({ text, style }) => `<tspan${style}>${escaped(text)}</tspan>`).join('');
    return `<text x="${MARGIN}" y="${MARGIN + LINE * index + 14}">${parts}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#e6edf3">
${rows.join('\n')}
</g>
</svg>
`;
}

/**
 * Splits a line into pieces with one style each.
 * @param {string} line
 */
function spans(line) {
  let look = { bold: false, dim: false, colour: '' };
  // The escape character begins each sequence.
  const [first = '', ...pieces] = line.split('\u001b[');
  const found = [{ text: first, style: '' }];
  for (const piece of pieces) {
    const [, codes = '', end, text = ''] = /^([\d;?]*)([A-Za-z])(.*)$/.exec(piece) ?? [];
    if (end === 'm') look = changed(look, codes.split(';').map(Number));
    found.push({ text, style: attributes(look) });
  }
  return found.filter(({ text }) => text !== '');
}

/**
 * @param {{ bold: boolean, dim: boolean, colour: string }} look
 * @param {number[]} codes
 */
function changed(look, codes) {
  let { bold, dim, colour } = look;
  for (const code of codes) {
    if (code === 0) [bold, dim, colour] = [false, false, ''];
    else if (code === 1) bold = true;
    else if (code === 2) dim = true;
    else if (code === 22) [bold, dim] = [false, false];
    else if (code === 39) colour = '';
    else if (code in COLOURS) colour = COLOURS[/** @type {keyof typeof COLOURS} */ (code)];
  }
  return { bold, dim, colour };
}

/** @param {{ bold: boolean, dim: boolean, colour: string }} look */
function attributes({ bold, dim, colour }) {
  return [
    bold ? ' font-weight="bold"' : '',
    dim ? ' opacity="0.65"' : '',
    colour === '' ? '' : ` fill="${colour}"`,
  ].join('');
}

/**
 * Multiple spaces are kept, as no-break spaces.
 * @param {string} text
 */
function escaped(text) {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll(' ', '\u00a0');
}
