// plan/: what is to be run: the options of scenarios, and how a plan is read, checked, expanded and resolved. Nothing is
// run here; the command line's own flags are in cli/.
import { parse } from 'shell-quote';
import { UsageError } from '../errors.js';

/**
 * Splits one text into program and arguments as a shell would, with quotes and backslashes, but without a shell.
 * @throws UsageError when it is empty or needs a shell.
 */
export function splitCommand(text: string): string[] {
  // Variables stay as they are written: there is no shell to fill them in.
  const words = parse(text, (name) => `$${name}`);
  const shellOnly = words.find((word) => typeof word !== 'string');
  if (shellOnly !== undefined) {
    throw new UsageError(`${JSON.stringify(text)} needs a shell`, "give sh -c '...'");
  }
  if (words.length === 0) throw new UsageError('a command is empty');
  return words as string[];
}
