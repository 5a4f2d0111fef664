import { inspect } from 'node:util';
import { z } from 'zod';
import { DURATION, parseDuration } from '../duration.js';
import { parsePerturb, SEED_LIMIT } from '../perturb/perturb.js';
import { MOST_CONFIDENCE } from '../statistics/intervals.js';
import { parseConfidence, parseRate } from '../statistics/rate-goal.js';

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
  .min(1, { error: expected('text that is not empty') });

/** True or false. */
export const flag = z.boolean({ error: expected('true or false') });

/** A list of such items; `what` names them in an error. */
export const list = <T extends z.ZodType>(item: T, what: string) =>
  z.array(item, { error: expected(`a list of ${what}`) });

/** A list of names, each of them once. */
export const names = (what: string) =>
  list(text, what).refine((given) => new Set(given).size === given.length, {
    error: expected(`${what}, each of them once`),
  });

/** Program and arguments. */
export const command = list(z.string({ error: expected('text') }), 'program and arguments')
  .min(1, { error: expected('a program and its arguments') })
  .refine((words) => words[0] !== '' && !words.some((word) => word.includes('\0')), {
    error: expected('a program and its arguments, without NUL bytes'),
  });

/** Variables by name. */
export const environment = z
  .record(z.string(), z.string({ error: expected('text (quote numbers)') }), {
    error: expected('a mapping of environment variables'),
  })
  .refine((variables) => Object.keys(variables).every((name) => /^[^=\0]+$/.test(name)), {
    error: expected('variables whose names are neither empty nor contain "="'),
  })
  .refine((variables) => !Object.values(variables).some((value) => value.includes('\0')), {
    error: expected('variables without NUL bytes'),
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
const isPositive = (text: string): boolean => DURATION.test(text) && /[1-9]/.test(text);

/** Text such as `"10s"`. A number alone could be taken for milliseconds or for seconds. */
export const duration = z
  .string({ error: durationText })
  .regex(DURATION, { error: durationText })
  .refine(accepts(parseDuration), {
    error: (issue) => (isPositive(String(issue.input)) ? atMost : durationText)(issue),
  });

/** Text such as `"0.1%"`, or a number. */
export const rate = z
  .union([z.number(), z.string()], { error: expected('a rate such as "0.1%"') })
  .refine(accepts(parseRate), { error: expected('a rate such as "0.1%", or a number between 0 and 1') });

/** A rate that a confidence can be. */
export const confidence = rate.refine(accepts(parseConfidence), {
  error: expected('a confidence such as "95%", of at most 99.9999999%'),
});

/** A confidence in a report. */
export const reportedConfidence = z.number().gt(0).lte(MOST_CONFIDENCE);

/** Text that can be compiled. */
export const regularExpression = text.refine(
  accepts((source: string) => new RegExp(source)),
  { error: expected('a regular expression') },
);

/** What `parsePerturb` reads. */
export const perturbation = z.string({ error: expected('text') }).superRefine((value, context) => {
  try {
    parsePerturb(value);
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    context.addIssue({ code: 'custom', message: hint === undefined ? message : `${message}; ${hint}` });
  }
});

/** The seed of random numbers: 0 to 2^32 - 1. */
export const seed = integer('a seed of 0 or more', 0).max(SEED_LIMIT - 1, {
  error: expected('a seed below 2^32'),
});
