import { z } from 'zod';
import { definedOnly } from '../defined.js';
import { requireObject } from '../errors.js';
import { problemsOf } from '../plan/check/schema.js';
import { expected, flag, list, positiveInteger, strict, text } from '../plan/fields.js';
import { OF_ONE_SCENARIO, type OptionName, options } from '../plan/options.js';
import { PlanError } from '../plan/plan-error.js';
import { MOST_SHARDS } from '../plan/shard.js';

/** What a call of the library takes, by name. A field that is `undefined` counts as absent. */
export type CallFields = Readonly<Record<string, z.ZodType>>;

/** A function that the tester calls. */
export const callback = z.custom<(...args: never) => unknown>((value) => typeof value === 'function', {
  error: expected('a function'),
});

const SHARD = `{ index, count } with index from 1 to count, and count up to ${MOST_SHARDS}`;

const ofOneScenario: readonly string[] = OF_ONE_SCENARIO;

/** The fields of `PlanOverrides`. */
export const overrideFields: CallFields = {
  ...Object.fromEntries(
    (Object.keys(options) as OptionName[])
      .filter((name) => !ofOneScenario.includes(name))
      .map((name) => [name, options[name].schema]),
  ),
  baseDir: text,
  only: list(text, 'names or patterns'),
  shard: z
    .strictObject(
      { index: positiveInteger, count: positiveInteger.max(MOST_SHARDS, { error: expected(SHARD) }) },
      { error: expected(SHARD) },
    )
    .refine(({ index, count }) => index <= count, { error: expected(SHARD) }),
};

/** The fields of `SessionOptions`. */
export const sessionFields = {
  signal: z.custom<AbortSignal>(
    (value) => typeof (value as AbortSignal | null)?.addEventListener === 'function',
    {
      error: expected('an AbortSignal'),
    },
  ),
  onProgress: callback,
  interleave: flag,
  bail: positiveInteger,
  stacks: flag,
  resume: z.unknown(),
} satisfies CallFields;

/** Some of them. */
export const ofSession = (...names: (keyof typeof sessionFields)[]): CallFields =>
  Object.fromEntries(names.map((name) => [name, sessionFields[name]]));

/**
 * Checks the options of a call of the library as a plan is checked: no value is wrong, and no field has no effect.
 * @param what names them in an error, such as "run's options".
 * @param others who checks the remaining fields; default: there are none.
 * @throws UsageError when they aren't an object; PlanError with everything that is wrong.
 */
export function checkCall(given: unknown, what: string, fields: CallFields, others?: 'elsewhere'): void {
  requireObject(given, what);
  const shape = Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, schema.optional()]));
  const schema = others === undefined ? strict(shape) : z.looseObject(shape);
  const { error } = schema.safeParse(definedOnly(given as object));
  if (error !== undefined) throw new PlanError(what, problemsOf(error));
}
