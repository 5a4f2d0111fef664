import { stripVTControlCharacters } from 'node:util';
import type { FailureKind } from '../results/failure-kinds.js';

/** A program's text without its control characters, which must not act on a reader's terminal or end a document. */
export function printable(text: string): string {
  return stripVTControlCharacters(text.replace(/\r\n?/g, '\n')).replace(/[^\P{Cc}\n\t]/gu, '');
}

/** A command as one would type it into a shell. */
export function shellLine(command: readonly string[]): string {
  return command
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

/** The likely kind of a failure, and the other that it may be, a line each; none when nothing is known. */
export function kindLines(kind: FailureKind | null): string[] {
  if (kind === null) return [];
  const { title, page, detail, or } = kind;
  const other = or === null ? [] : [`or: ${or.title}`, or.page, `what decides: ${or.decide}`];
  return [`likely: ${title}${detail === null ? '' : ` (${printable(detail)})`}`, page, ...other];
}
