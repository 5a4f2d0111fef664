import { type Context, createContext, Script } from 'node:vm';
import { EnvironmentError } from './errors.js';

const MOST_MS = 1_000;

const script = new Script('search()');
let context: Context | undefined;

/**
 * Says for each text whether one of the user's patterns is found in it. For some texts, a pattern such as `(a+)+$` takes
 * longer than anybody waits, and the tester could do nothing else meanwhile. So a search has a time limit.
 * @throws EnvironmentError when a pattern takes longer than a second for one text.
 */
export function findEach(patterns: readonly RegExp[], texts: readonly string[]): boolean[] {
  if (patterns.length === 0) return texts.map(() => false);
  const found: boolean[] = [];
  let last: RegExp | undefined;
  const isIn = (text: string) => (pattern: RegExp) => {
    last = pattern;
    return pattern.test(text);
  };
  context ??= createContext({});
  context.search = (): void => {
    for (const text of texts.slice(found.length)) found.push(patterns.some(isIn(text)));
  };
  // The tester itself may have been stopped for that time, so a text gets a second chance.
  for (let attempts = 0; attempts < 2; ) {
    const before = found.length;
    try {
      script.runInContext(context, { timeout: MOST_MS });
      return found;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
      attempts = found.length > before ? 0 : attempts + 1;
    }
  }
  throw new EnvironmentError(
    `the pattern ${last} takes more than a second to search ${JSON.stringify(texts[found.length]?.slice(0, 80))}`,
    'write it without a repetition inside of a repetition',
  );
}
