// Patterns of numbers in text. The published schema of plans has them, so they use only what every validator's regular
// expressions have: no look-ahead, no back-reference.

/** The rest of a number after a whole part that leaves it free. */
const ANY_FRACTION = '(?:\\.[0-9]*)?';
const DIGITS = '[0-9]*';

/** A whole part of zero, and a fraction that isn't. */
const SMALL = '\\.0*[1-9][0-9]*';

/** The pattern of a decimal number: `12`, `.5`, `1.50`. */
export const NUMBER = '(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)';

/** The pattern of a decimal number above 0. */
export const POSITIVE = `0*(?:${SMALL}|[1-9][0-9]*${ANY_FRACTION})`;

/** The pattern of a decimal number above 0 and up to `most`, such as `99.9`. It is below `most` unless `inclusive`. */
export function upTo(most: string, inclusive: boolean): string {
  const [whole = '', fraction = ''] = trimmed(most).split('.');
  if (whole === '') return `0*\\.${oneOf(fractionsUpTo(fraction, inclusive, false))}`;
  const equal = fractionsUpTo(fraction, inclusive, true);
  return `0*${oneOf([
    SMALL,
    ...wholesBelow(whole).map((pattern) => pattern + ANY_FRACTION),
    ...(equal.length === 0 ? [] : [`${whole}(?:\\.${oneOf(equal)})?`]),
  ])}`;
}

/** The pattern of a whole number from `least`, which is 0 or 1, to `most`. */
export const wholeUpTo = (least: number, most: number): string =>
  `0*${oneOf([...(least === 0 ? ['0'] : []), ...wholesBelow(String(most)), String(most)])}`;

/** Patterns of whole numbers from 1 to below `whole`, without leading zeros. */
function wholesBelow(whole: string): string[] {
  const more = whole.length - 1;
  const shorter = more === 0 ? [] : [`[1-9]${repeated(more - 1, 0)}`];
  const alike = [...whole].flatMap((digit, i) =>
    range(i === 0 ? 1 : 0, Number(digit) - 1).map(
      (lower) => whole.slice(0, i) + lower + repeated(more - i, more - i),
    ),
  );
  return [...shorter, ...alike];
}

/** Patterns of the digits of fractions up to a fraction's digits. `zero`: whether a fraction of zero is one of them. */
function fractionsUpTo(fraction: string, inclusive: boolean, zero: boolean): string[] {
  const smaller = [...fraction].flatMap((digit, i) => {
    const same = fraction.slice(0, i);
    const most = Number(digit) - 1;
    if (zero || /[1-9]/.test(same)) return [same, ...range(0, most).map((lower) => same + lower + DIGITS)];
    return [
      ...(most < 0 ? [] : [`${same}0+[1-9]${DIGITS}`]),
      ...range(1, most).map((lower) => same + lower + DIGITS),
    ];
  });
  return inclusive ? [...smaller, `${fraction}0*`] : smaller;
}

/** Without zeros that don't count. */
const trimmed = (number: string): string => number.replace(/^0+/, '').replace(/(\.\d*?)0+$/, '$1');

const oneOf = (patterns: readonly string[]): string =>
  patterns.length === 1 ? `${patterns[0]}` : `(?:${patterns.join('|')})`;

/** The pattern of one digit of a range; none for a range that is empty. */
function range(least: number, most: number): string[] {
  if (least > most) return [];
  return [least === most ? String(least) : `[${least}-${most}]`];
}

/** The pattern of some digits: from `least` to `most`. */
function repeated(most: number, least: number): string {
  if (most === 0) return '';
  return least === most ? (most === 1 ? '[0-9]' : `[0-9]{${most}}`) : `[0-9]{${least},${most}}`;
}
