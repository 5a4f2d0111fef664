// plan/: what is run: the options of scenarios, and how a plan is read, checked, expanded and resolved. Nothing is run
// here. Flags that only the command line has are in cli/.
import { parse } from 'shell-quote';
import { UsageError } from '../errors.js';

/**
 * Splits one text into program and arguments as a shell would, with quotes and backslashes, but without a shell.
 * @throws UsageError when it is empty, has a quote that is never closed, or needs a shell.
 */
export function splitCommand(text: string): string[] {
  const open = openQuote(text);
  if (open !== undefined) {
    throw new UsageError(`${JSON.stringify(text)} has a quote (${open}) that is never closed`);
  }
  // Variables stay as they are written: without a shell, nothing fills them in.
  const words = parse(text, (name) => `$${name}`);
  const shellOnly = words.find((word) => typeof word !== 'string');
  if (shellOnly !== undefined) {
    const what = 'op' in shellOnly ? ('pattern' in shellOnly ? shellOnly.pattern : shellOnly.op) : '#';
    throw new UsageError(
      `${JSON.stringify(text)} needs a shell for ${JSON.stringify(what)}`,
      "quote that word, give a list of words where one can be given, or give sh -c '...'",
    );
  }
  if (words.length === 0) throw new UsageError('a command is empty');
  return words as string[];
}

/** The quote that is still open at the end of a text, as a shell reads it. */
function openQuote(text: string): string | undefined {
  let open: string | undefined;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '\\' && open !== "'") i++;
    else if (c === open) open = undefined;
    else if (open === undefined && (c === "'" || c === '"')) open = c;
  }
  return open;
}
