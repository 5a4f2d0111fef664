import type { z } from 'zod';

const ARTICLES: Readonly<Record<string, string>> = {
  ...{ object: 'an object', record: 'an object', array: 'a list' },
  ...{ string: 'text', number: 'a number', int: 'a whole number', boolean: 'true or false' },
};

/** The first problem that a schema finds in a file's data, in a reader's words: which field, and what it should be. */
export function schemaProblem({ issues: [first] }: z.ZodError): string {
  if (first === undefined) return 'it has another form';
  const field = first.path.length === 0 ? 'it' : JSON.stringify(first.path.join('.'));
  const [, wanted, found] = /^Invalid input: expected (.*?)(?:, received (.*))?$/.exec(first.message) ?? [];
  if (wanted === undefined) return `${field}: ${first.message}`;
  if (found === 'undefined') return `${field} is missing`;
  return `${field} is not ${ARTICLES[wanted] ?? wanted}`;
}
