import { stripVTControlCharacters } from 'node:util';

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
