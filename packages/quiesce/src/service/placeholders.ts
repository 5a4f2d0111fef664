// service/: starts a server that scenarios need, waits until it is ready, and stops it. session/ knows which scenario
// needs which.
import { closestMatch } from 'leven';

/** A text of a plan in which placeholders may be. */
export interface PlaceholderText {
  readonly text: string;
  /** Whether an interpreter reads it, such as a shell its script. Then `${…}` may be that one's own. */
  readonly isCode: boolean;
}

/** The words of a command, or values of variables, as such texts. */
export const textsOf = (words: readonly string[]): PlaceholderText[] =>
  words.map((text, i) => ({
    text,
    isCode: /[\s;`'"()|&]/.test(text) || CODE_FOLLOWS.test(words[i - 1] ?? ''),
  }));

const CODE_FOLLOWS = /^(?:-[a-z]*[ce]|--eval|--command)$/;

const REFERENCE = /\$\{([^{}]*)\}/g;

/** The names between `${` and `}` in a text. */
export const references = (text: string): string[] =>
  [...text.matchAll(REFERENCE)].map(([, name = '']) => name);

/**
 * The placeholder that a name in a text is almost; `undefined` if it isn't like any, or may be the text's own.
 * @param there the names of placeholders, such as `dir` and `port:client`.
 */
export function nearMiss(
  name: string,
  { text, isCode }: PlaceholderText,
  there: readonly string[],
): string | undefined {
  return isCode && mayBeOwn(name, text) ? undefined : nearest(name, there);
}

/** The name that another is most like: except for its case, for the order of its letters, or for one or two of them. */
export function nearest(name: string, there: readonly string[]): string | undefined {
  const lower = name.toLowerCase();
  const letters = (text: string): string => [...text.toLowerCase()].sort().join('');
  const byCase = there.find((one) => one.toLowerCase() === lower);
  const byOrder = there.find((one) => letters(one) === letters(name));
  const maxDistance = Math.min(2, Math.max(1, Math.floor(name.length / 3)));
  const close = closestMatch(
    lower,
    there.map((one) => one.toLowerCase()),
    { maxDistance },
  );
  return byCase ?? byOrder ?? there.find((one) => one.toLowerCase() === close);
}

/** Whether code may have such a variable: it is written like one of the environment, or the code names it elsewhere. */
function mayBeOwn(name: string, code: string): boolean {
  // Only a port's placeholder has a name behind a colon. A shell has a number or an operator there.
  if (/^[A-Za-z_]\w*:[A-Za-z_][\w-]*$/.test(name)) return false;
  if (!/^[A-Za-z_]\w*$/.test(name) || /^[A-Z_\d]+$/.test(name)) return true;
  return new RegExp(`(?<![\\w$]|\\$\\{)${name}\\b`).test(code);
}
