// cli/: the subcommands of `quiesce`, a file each, with their flags, progress, interrupts and exit codes. The layers
// below do the work: nothing here decides how a run ended, and nothing below knows about flags or the terminal.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import * as fields from '../plan/fields.js';
import {
  flagOf,
  integerText,
  type OptionName,
  optionNames,
  optionOf,
  type ScenarioDefaults,
} from '../plan/options.js';
import { parseShard, type ShardChoice } from '../plan/shard.js';
import { parseConfidence, parseRate } from '../statistics/rate-goal.js';

/**
 * Reads a flag's text as a value of a schema. @param read turns the text into the schema's input.
 * @param adds whether the flag can be given several times. The schema is then that of the list.
 */
export function argument<T>(
  schema: z.ZodType<T>,
  read: (text: string) => unknown = (text) => text,
  adds = false,
): (text: string, previous?: T) => T {
  const reader = (text: string, previous?: T): T => {
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
  if (adds) collectors.add(reader);
  return reader;
}

/** The readers of flags that can be given several times. */
const collectors = new WeakSet<object>();

// Commander's message has already said what was given instead.
const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/, got .*$/s, '')}.`;

/**
 * Refuses one of the command's options as the value of another option that takes any text: the value was forgotten.
 * Commander would take the option as the value, and what follows as the command to test.
 */
export function refuseForgottenValues(command: Command): void {
  const { options } = command;
  for (const option of options) {
    if (!option.required || option.parseArg !== undefined) continue;
    option.argParser((text) => {
      if (options.some(({ short, long }) => text === short || text.replace(/=.*/s, '') === long)) {
        throw new InvalidArgumentError(`Its value is missing: ${text} is an option.`);
      }
      if (option.flags.endsWith('<file>') && /^-./.test(text)) {
        throw new InvalidArgumentError(`It looks like an option: for a file of that name, give ./${text}.`);
      }
      return text;
    });
  }
}

/** Refuses an option that is given twice with two meanings, unless its values are collected. Commander would take the last. */
export function refuseRepeated(command: Command): void {
  const given = new Map<string, string>();
  for (const option of command.options) {
    const { long, short, parseArg, negate } = option;
    if (parseArg !== undefined && collectors.has(parseArg)) continue;
    const flag = long ?? short ?? option.flags;
    command.on(`option:${option.name()}`, (text: string | null) => {
      // Without a value, the flag itself is what was meant.
      const meant = text === null || text === undefined ? flag : `${flag} ${text}`;
      const before = given.get(option.attributeName()) ?? meant;
      if (before !== meant) {
        const twice =
          negate || before.startsWith('--no-') ? 'contradict each other' : 'are given, and only one can be';
        throw new UsageError(`${before} and ${meant} ${twice}`, 'leave one of them out');
      }
      given.set(option.attributeName(), meant);
    });
  }
}

/**
 * Checks the words of a command to test.
 * @throws UsageError when its program is empty, for example from a variable that isn't set.
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

/** A confidence such as 95% or 0.95. */
export const confidence = (text: string): number => parseConfidence(argument(fields.confidence)(text));

/** A rate that may be 0. */
export const rateOrZero = (text: string): number => (/^\s*0+(\.0*)?\s*%?\s*$/.test(text) ? 0 : rate(text));

/** `--shard`: 2/5, auto or auto/5. */
export const shard = argument(z.custom<ShardChoice>(), parseShard);

/** Collects the values of a repeatable option. */
export const append = argument(z.array(z.string()), undefined, true);

/** Adds the flags of scenario options to a subcommand, except for some. `help` replaces the table's help of an option. */
export function scenarioOptions(
  command: Command,
  help: { readonly [K in OptionName]?: string } = {},
  without: readonly OptionName[] = [],
): Command {
  for (const name of optionNames) {
    const { flag, adds, schema } = optionOf(name);
    if (flag === undefined || without.includes(name)) continue;
    const option = new Option(flag.term, help[name] ?? flag.help);
    const { read = (text: string): unknown => text } = flag;
    if (option.required) option.argParser(argument(schema, read, adds));
    command.addOption(option);
  }
  return command;
}

/** The scenario options that a command line gave. */
export function givenOptions(command: Command): ScenarioDefaults {
  const given: Partial<Record<OptionName, unknown>> = {};
  for (const option of command.options) {
    const name = optionNames.find((one) => flagOf(one) === option.long);
    const attribute = option.attributeName();
    if (name !== undefined && command.getOptionValueSource(attribute) === 'cli') {
      given[name] = command.getOptionValue(attribute);
    }
  }
  return given as ScenarioDefaults;
}
