import { constants } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../duration.js';
import type { UsageError } from '../errors.js';
import { parsePerturb, SEED_LIMIT } from '../perturb/perturb.js';
import { isRegularExpression } from '../plan/plan.js';
import { parseShard, type ShardChoice } from '../plan/shard.js';
import type { Expect } from '../run/outcome.js';
import { parseRate } from '../statistics/rate-goal.js';

/** `--runs`: 1, 2, ... */
export function positiveInteger(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < 1) {
    throw new InvalidArgumentError('Give a positive integer.');
  }
  return n;
}

/** `--allow-failures`: 0, 1, 2, ... */
export function count(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n)) throw new InvalidArgumentError('Give 0, 1, 2, ...');
  return n;
}

/** `--until`, `--confidence`: 0.1% or 0.001. */
export function rate(text: string): number {
  try {
    return parseRate(text);
  } catch (error) {
    throw new InvalidArgumentError(sentence((error as UsageError).hint));
  }
}

/** A rate that may be 0. */
export function rateOrZero(text: string): number {
  return /^\s*0+(\.0*)?\s*%?\s*$/.test(text) ? 0 : rate(text);
}

/** `--perturb`: the text itself, once it is known to make sense. */
export function perturbation(text: string): string {
  try {
    parsePerturb(text);
    return text;
  } catch (error) {
    const { message, hint } = error as UsageError;
    throw new InvalidArgumentError(hint === undefined ? `${message}.` : `${message}: ${hint}.`);
  }
}

/** `--seed`: 0 to 2^32 - 1. */
export function seed(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || n >= SEED_LIMIT)
    throw new InvalidArgumentError('Give an integer of 0 to 4294967295.');
  return n;
}

/** `--shard`: 2/5, auto or auto/5. */
export function shard(text: string): ShardChoice {
  try {
    return parseShard(text);
  } catch (error) {
    const { message, hint } = error as UsageError;
    throw new InvalidArgumentError(hint === undefined ? `${message}.` : `${message}: ${hint}.`);
  }
}

/** `--timeout`: milliseconds of a duration such as `10s`. */
export function duration(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new InvalidArgumentError(sentence((error as UsageError).hint));
  }
}

/** `--expect`: `clean`, `any`, `exit:N` or a signal name. */
export function expectation(text: string): Expect {
  if (text === 'clean' || text === 'any') return text;
  const code = /^exit:(\d{1,3})$/.exec(text)?.[1];
  if (code !== undefined && Number(code) <= 255) return { exitCode: Number(code) };
  if (Object.hasOwn(constants.signals, text)) return { signal: text as NodeJS.Signals };
  throw new InvalidArgumentError('Give clean, any, exit:N (0 to 255) or a signal name such as SIGTERM.');
}

function sentence(hint = ''): string {
  return `${hint.charAt(0).toUpperCase()}${hint.slice(1)}.`;
}

/** `--ignore-output`: collects regular expressions. */
function pattern(value: string, previous: string[] = []): string[] {
  if (value === '' || !isRegularExpression(value))
    throw new InvalidArgumentError('Give a regular expression.');
  return [...previous, value];
}

/** Adds the options that say what of a program's output counts. */
export function outputOptions(command: Command): Command {
  return command
    .option('--no-signatures', "what dying runtimes print doesn't make a run fail that ended as expected")
    .option(
      '--ignore-output <pattern>',
      "don't look at lines of output that match this regular expression (repeatable)",
      pattern,
    );
}

/** What `outputOptions` adds. */
export interface OutputFlags {
  readonly signatures: boolean;
  readonly ignoreOutput?: string[];
}

/** What a plan's settings are overridden with. */
export const outputOverrides = ({
  signatures,
  ignoreOutput,
}: OutputFlags): { signatures?: false; ignoreOutput?: string[] } => ({
  ...(!signatures && { signatures: false as const }),
  ...(ignoreOutput !== undefined && { ignoreOutput }),
});

/** Collects the values of a repeatable option. */
export function append(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}
