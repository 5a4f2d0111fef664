import { inspect } from 'node:util';
import { z } from 'zod';
import { DURATION, isTooLong, parseDuration, USABLE_DURATION } from '../duration.js';
import { PERTURBATION, parsePerturb, SEED_LIMIT, TWICE, USABLE_PERTURBATION } from '../perturb/perturb.js';
import { MOST_CONFIDENCE } from '../statistics/intervals.js';
import {
  parseConfidence,
  parseRate,
  type Rate,
  SHARE,
  USABLE_CONFIDENCE,
  USABLE_RATE,
} from '../statistics/rate-goal.js';

function got(input: unknown): string {
  if (input === undefined) return 'nothing';
  // JSON has no such numbers. YAML writes them so.
  if (typeof input === 'number' && !Number.isFinite(input)) {
    return Number.isNaN(input) ? '.nan' : input < 0 ? '-.inf' : '.inf';
  }
  try {
    return JSON.stringify(input) ?? String(input);
  } catch {
    // A module may contain what JSON can't: a bigint, or an object that contains itself.
    return inspect(input, { breakLength: Number.POSITIVE_INFINITY, compact: true });
  }
}

/** The message for a field that contains something else. */
export const expected =
  (what: string) =>
  (issue: { input?: unknown }): string =>
    `expected ${what}, got ${got(issue.input).slice(0, 80)}`;

/** Text that isn't empty. */
export const text = z
  .string({ error: expected('text') })
  .min(1, { error: expected('text that is not empty') })
  .refine((given) => !given.includes('\0'), { error: expected('text without NUL bytes') });

/** True or false. */
export const flag = z.boolean({ error: expected('true or false') });

/** A list of such items; `what` names them in an error. */
export const list = <T extends z.ZodType>(item: T, what: string) =>
  z.array(item, { error: expected(`a list of ${what}`) });

/** A list of names, each of them once. */
export const names = (what: string) =>
  list(text, what)
    .refine((given) => new Set(given).size === given.length, {
      error: expected(`${what}, each of them once`),
    })
    .meta({ uniqueItems: true });

// Not \0, which other languages' regular expressions don't have: the published schema contains these.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the byte that is meant
const NO_NUL = /^[^\x00]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the byte that is meant
const NAME_OF_VARIABLE = /^[^=\x00]+$/;

/** Text that the system can take: it ends where there is a NUL byte. */
const systemText = (what: string) =>
  z.string({ error: expected(what) }).regex(NO_NUL, { error: expected(`${what} without NUL bytes`) });

/** Program and arguments. */
export const command = z
  .tuple(
    [systemText('text').min(1, { error: expected('a program and its arguments') })],
    systemText('text'),
    {
      error: (issue) =>
        expected(
          `a ${Array.isArray(issue.input) ? 'program and its arguments' : 'list of program and arguments'}`,
        )(issue),
    },
  )
  .meta({ minItems: 1 });

/** Variables by name. */
export const environment = z.record(z.string().regex(NAME_OF_VARIABLE), systemText('text (quote numbers)'), {
  error: (issue) =>
    expected(
      issue.code === 'invalid_key'
        ? 'a variable whose name is neither empty nor contains "="'
        : 'a mapping of environment variables',
    )(issue),
});

/** A mapping with no fields other than these. */
export function strict<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => {
      // `checkPlan` writes the message for unknown fields. It gets the known ones.
      return issue.code === 'unrecognized_keys'
        ? Object.keys(shape).join(', ')
        : expected('a mapping')(issue);
    },
  });
}

const integer = (what: string, least: number) =>
  z
    .int({ error: (issue) => expected(isTooLarge(issue.input) ? `${what}, at most ${MOST}` : what)(issue) })
    .min(least, { error: expected(what) });

const MOST = Number.MAX_SAFE_INTEGER;
const isTooLarge = (input: unknown): boolean => typeof input === 'number' && input > MOST;

/** 1, 2, ... */
export const positiveInteger = integer('a positive integer', 1);

/** 0, 1, 2, ... */
export const count = integer('a number: 0, 1, 2, ...', 0);

/** Reports whether it accepts a value. */
const accepts =
  <T>(parse: (given: T) => unknown) =>
  (given: T): boolean => {
    try {
      parse(given);
      return true;
    } catch {
      return false;
    }
  };

const durationText = expected('a positive duration with its unit, such as "500ms", "10s" or "2m"');
const atMost = expected('a duration of at most 24 days');

/** Text such as `"10s"`. A number alone could be taken for milliseconds or for seconds. */
export const duration = z
  .string({ error: durationText })
  .regex(DURATION, { error: durationText })
  .regex(USABLE_DURATION, {
    error: (issue) => (isTooLong(String(issue.input)) ? atMost : durationText)(issue),
  })
  // A number with hundreds of zeros is 0 to this program.
  .refine(accepts(parseDuration), { error: durationText });

/** A number above 0, or the same as text that may be in percent. A pattern can't say what an exponent makes of a number. */
const share = (number: z.ZodNumber, usable: RegExp, parse: (given: Rate) => number, wanted: Wanted) =>
  z
    .union([number, z.string().regex(SHARE, wanted).regex(usable, wanted)], wanted)
    .refine(accepts(parse), wanted);

type Wanted = { readonly error: ReturnType<typeof expected> };

const wantedRate = { error: expected('a rate such as "0.1%", or a number between 0 and 1') };

/** Text such as `"0.1%"`, or a number. */
export const rate = share(z.number().gt(0, wantedRate).lt(1, wantedRate), USABLE_RATE, parseRate, wantedRate);

const wantedConfidence = { error: expected('a confidence such as "95%", of at most 99.9999999%') };

/** A rate that a confidence can be. */
export const confidence = share(
  z.number().gt(0, wantedConfidence).lte(MOST_CONFIDENCE, wantedConfidence),
  USABLE_CONFIDENCE,
  parseConfidence,
  wantedConfidence,
);

/** A confidence in a report. */
export const reportedConfidence = z.number().gt(0).lte(MOST_CONFIDENCE);

/** Text that can be compiled. */
export const regularExpression = text
  .refine(
    accepts((source: string) => new RegExp(source)),
    { error: expected('a regular expression') },
  )
  .meta({ format: 'regex' });

/** What `parsePerturb` reads. */
export const perturbation = z
  .string({ error: expected('text') })
  .superRefine((value, context) => {
    try {
      parsePerturb(value);
    } catch (error) {
      const { message, hint } = error as { message: string; hint?: string };
      context.addIssue({ code: 'custom', message: hint === undefined ? message : `${message}; ${hint}` });
    }
  })
  .regex(PERTURBATION)
  .regex(USABLE_PERTURBATION)
  .meta({ not: { pattern: TWICE.source } });

/** The seed of random numbers: 0 to 2^32 - 1. */
export const seed = integer('a seed of 0 or more', 0).max(SEED_LIMIT - 1, {
  error: expected('a seed below 2^32'),
});
