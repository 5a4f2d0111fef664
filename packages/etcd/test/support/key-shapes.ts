const WORDS =
  'alpha beta gamma delta epsilon eta theta iota kappa mu xi omicron pi sigma tau phi chi psi omega'.split(
    ' ',
  );

/** Keys as programs make them, and some that nobody makes. `below(n)` is random: from 0 up to, but without, n. */
export const keyShapes: Readonly<
  Record<string, (i: number, below: (end: number) => number) => string | number[]>
> = {
  'decimal numbers of one length': (i) => String(i).padStart(8, '0'),
  'decimal numbers': (i) => String(i),
  'hexadecimal numbers': (i) => i.toString(16).padStart(16, '0'),
  UUIDs: (_, below) => [8, 4, 4, 4, 12].map((length) => text(length, '0123456789abcdef', below)).join('-'),
  base64: (_, below) => text(12, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', below),
  'random bytes': (_, below) => bytes(8, below),
  'a few random bytes': (_, below) => bytes(1 + below(4), below),
  'one byte': (_, below) => bytes(1, below),
  'folders of equal size': (i) => `${String(i >> 8).padStart(4, '0')}/${String(i & 255).padStart(3, '0')}`,
  'names in namespaces': (_, below) =>
    `pods/${word(below)}-${word(below)}/${word(below)}-${text(5, 'bcdfghjklmnpqrstvwxz2456789', below)}`,
  words: (_, below) => Array.from({ length: 5 }, () => word(below)).join('-'),
  'times in milliseconds': (i, below) => String(1_700_000_000_000 + i * 1000 + below(1000)),
  'crowded at the beginning': (_, below) => ((below(1e6) / 1e6) ** 6).toFixed(14),
  'far apart crowds': (i, below) => `${((i >> 9) * 7919 * 65_537) % 2 ** 32}/${below(1e6)}`,
  'a long start in common': (i, below) => `${'x'.repeat(300)}${i * 100 + below(100)}`,
  'starts of any length': (_, below) => `${'a'.repeat(below(60))}${text(3, 'bcdef', below)}`,
  'many 0xff bytes': (_, below) => [...new Array<number>(below(20)).fill(0xff), ...bytes(2, below)],
  'many zero bytes': (_, below) => [...new Array<number>(below(20)).fill(0), ...bytes(2, below)],
};

/** Different keys of a shape, in order. */
export function keysOfShape(
  shape: string,
  most: number,
  below: (end: number) => number,
  start = '',
): Buffer[] {
  const make = keyShapes[shape];
  if (make === undefined) throw new Error(`no such shape: ${shape}`);
  const keys = Array.from({ length: most }, (_, i) =>
    Buffer.concat([Buffer.from(start), Buffer.from(make(i, below) as string)]),
  );
  return keys
    .sort(Buffer.compare)
    .filter((key, i) => key.length > 0 && (i === 0 || !key.equals(keys[i - 1] as Buffer)));
}

const word = (below: (end: number) => number): string => WORDS[below(WORDS.length)] as string;

const text = (length: number, of: string, below: (end: number) => number): string =>
  Array.from({ length }, () => of[below(of.length)]).join('');

const bytes = (length: number, below: (end: number) => number): number[] =>
  Array.from({ length }, () => below(256));
