// cli/: the subcommands of `quiesce`, a file each, with their flags, progress, interrupts and exit codes. What they do is
// below: nothing here decides how a run ended, and nobody below knows of flags or the terminal.
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import * as fields from '../plan/fields.js';
import { integerText } from '../plan/options.js';
import { parseShard, type ShardChoice } from '../plan/shard.js';
import { parseRate } from '../statistics/rate-goal.js';

/**
 * Reads a flag's text as a value of a schema. @param read makes the schema's input from the text.
 * @param adds the flag can be given several times, and the schema is that of their list.
 */
export function argument<T>(
  schema: z.ZodType<T>,
  read: (text: string) => unknown = (text) => text,
  adds = false,
): (text: string, previous?: T) => T {
  return (text, previous) => {
    try {
      const one = read(text);
      const parsed = schema.safeParse(
        adds ? [...((previous as readonly unknown[] | undefined) ?? []), one] : one,
      );
      if (parsed.success) return parsed.data;
      throw new UsageError(parsed.error.issues[0]?.message ?? '');
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      const { message, hint } = error;
      throw new InvalidArgumentError(sentence(hint === undefined ? message : `${message}: ${hint}`));
    }
  };
}

// What was given instead is in what commander says before.
const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/, got .*$/s, '')}.`;

/**
 * Refuses an option of the command as the value of another one that takes any text: the value was forgotten. Commander
 * takes it, and what follows as the command to test.
 */
export function refuseForgottenValues(command: Command): void {
  const { options } = command;
  for (const option of options) {
    if (!option.required || option.parseArg !== undefined) continue;
    option.argParser((text) => {
      if (options.some(({ short, long }) => text === short || text.replace(/=.*/s, '') === long)) {
        throw new InvalidArgumentError(`Its value is missing: ${text} is an option.`);
      }
      return text;
    });
  }
}

/**
 * Checks the words of a command to test.
 * @throws UsageError when its program is empty, as from a variable that isn't set.
 */
export function checkCommand(words: readonly string[]): void {
  if (words[0] === '') throw new UsageError('the command is empty', 'give a program and its arguments');
}

/** 1, 2, ... */
export const positiveInteger = argument(fields.positiveInteger, integerText);

/** 0, 1, 2, ... */
export const count = argument(fields.count, integerText);

/** A rate such as 0.1% or 0.001. */
export const rate = (text: string): number => parseRate(argument(fields.rate)(text));

/** A rate that may be 0. */
export const rateOrZero = (text: string): number => (/^\s*0+(\.0*)?\s*%?\s*$/.test(text) ? 0 : rate(text));

/** `--shard`: 2/5, auto or auto/5. */
export const shard = argument(z.custom<ShardChoice>(), parseShard);

/** Collects the values of a repeatable option. */
export const append = argument(z.array(z.string()), undefined, true);
