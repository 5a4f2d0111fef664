import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Variant, variantOf } from './variants.js';

/** What a session of the nemesis does. */
export interface NemesisOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly variant: Variant;
  readonly beside: boolean;
  readonly faults: readonly string[];
  /** The chosen kinds of work; `undefined` for the usual ones. */
  readonly work: readonly string[] | undefined;
  readonly copies: number;
  readonly judge: string;
  readonly keep: string | undefined;
}

/** Arguments that can't work, in one line. */
export class NemesisUsageError extends Error {}

/** How the nemesis is called, with the names of its faults and kinds of work. */
export function nemesisUsage(faults: readonly string[], work: readonly string[]): string {
  return `npm run nemesis -- [options]
  --minutes N       how long the workload runs (default: 1)
  --seed N          chooses the variant, the faults and their times (default: a new one)
  --transport NAME  native or grpc-js (default: by the seed)
  --[no-]tls        with TLS (default: by the seed)
  --[no-]tokens     with authentication, by tokens that expire after 3 s (default: by the seed)
  --faults LIST     only these of: ${faults.join(', ')}
  --work LIST       only these of: ${work.join(', ')}
  --copies N        how many of each kind of work (default: 1)
  --beside          compares how long the clients of this project and Go's are unavailable
  --keep DIR        keeps the history there
  --plant           also plants violations in the history, which the judge must find
  --without CURE    takes a cure out of a copy of the client, and succeeds if the judge finds the fault (each: all cures)`;
}

/**
 * Reads the arguments.
 *
 * @throws NemesisUsageError
 */
export function nemesisOptions(
  args: readonly string[],
  allFaults: readonly string[],
  allWork: readonly string[],
): NemesisOptions | 'help' {
  const values = words(args);
  if (values.help) return 'help';
  const seed = number(
    'seed',
    values.seed,
    (value) => Number.isSafeInteger(value) && value >= 0,
    'a whole number',
  );
  return {
    seed,
    minutes: number('minutes', values.minutes, (value) => value > 0, 'more than 0'),
    copies: number(
      'copies',
      values.copies,
      (value) => Number.isSafeInteger(value) && value > 0,
      'an integer of 1 or more',
    ),
    variant: variantOf(seed, { ...values, transport: transport(values.transport) }),
    beside: values.beside,
    faults: names('fault', values.faults, allFaults) ?? allFaults,
    work: names('work', values.work, allWork),
    judge: values.judge,
    keep: values.keep,
  };
}

function words(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowNegative: true,
      options: {
        minutes: { type: 'string', default: '1' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        transport: { type: 'string' },
        tls: { type: 'boolean' },
        tokens: { type: 'boolean' },
        beside: { type: 'boolean', default: false },
        faults: { type: 'string' },
        work: { type: 'string' },
        copies: { type: 'string', default: '1' },
        judge: { type: 'string', default: join('.cache', 'nemesis', 'judge') },
        keep: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    throw new NemesisUsageError((error as Error).message, { cause: error });
  }
}

function number(name: string, text: string, holds: (value: number) => boolean, wanted: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && holds(value)) return value;
  throw new NemesisUsageError(`--${name} is ${JSON.stringify(text)}; it must be ${wanted}`);
}

function transport(name: string | undefined): Variant['transport'] | undefined {
  if (name === undefined || name === 'native' || name === 'grpc-js') return name;
  throw new NemesisUsageError(`--transport is ${JSON.stringify(name)}; it must be native or grpc-js`);
}

function names(
  what: string,
  list: string | undefined,
  all: readonly string[],
): readonly string[] | undefined {
  const chosen = list?.split(',');
  const unknown = chosen?.find((name) => !all.includes(name));
  if (unknown === undefined) return chosen;
  throw new NemesisUsageError(`no ${what} is named ${JSON.stringify(unknown)}; there are ${all.join(', ')}`);
}
