import { constants } from 'node:os';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import type { Expect } from '../run/outcome.js';
import { expected, strict } from './fields.js';

const WORDS = ['clean', 'any'] as const;
const STDERR = ['empty', 'any'] as const;
const anExitCode = expected('an exit code, 0 to 255');

/** How runs should end, as a plan states it. */
export const expectation = z.union(
  [
    z.enum(WORDS),
    strict({
      exitCode: z
        .int({ error: anExitCode })
        .min(0, { error: anExitCode })
        .max(255, { error: anExitCode })
        .exactOptional(),
      signal: z
        .enum(Object.keys(constants.signals), { error: expected('the name of a signal, such as "SIGTERM"') })
        .exactOptional(),
      stderr: z.enum(STDERR, { error: expected('"empty" or "any"') }).exactOptional(),
    })
      .refine(({ exitCode, signal }) => exitCode === undefined || signal === undefined, {
        error: 'give exitCode or signal, not both',
      })
      .meta({ not: { required: ['exitCode', 'signal'] } }),
  ],
  {
    error: expected(
      '"clean", "any", or a mapping with exitCode (0 to 255) or signal (such as "SIGTERM"), and stderr ("empty" or "any")',
    ),
  },
) as unknown as z.ZodType<Expect>;

/** The same in a report, which may come from another platform with other signals. */
export const reportedExpectation = z
  .union([
    z.enum(WORDS),
    z.looseObject({
      exitCode: z.int().exactOptional(),
      signal: z.string().exactOptional(),
      stderr: z.enum(STDERR).exactOptional(),
    }),
  ])
  .describe('how runs should end');

/**
 * Reads what `--expect` takes: `clean`, `any`, `exit:N` or a signal name.
 * @throws UsageError when it is none of these.
 */
export function parseExpectation(text: string): Expect {
  if (text === 'clean' || text === 'any') return text;
  const code = /^exit:(\d{1,3})$/.exec(text)?.[1];
  if (code !== undefined && Number(code) <= 255) return { exitCode: Number(code) };
  if (Object.hasOwn(constants.signals, text)) return { signal: text as NodeJS.Signals };
  throw new UsageError(
    `${JSON.stringify(text)} is not a way to end`,
    'give clean, any, exit:N (0 to 255) or a signal name such as SIGTERM',
  );
}

/** The flags that request it. */
export function expectationFlags(expect: Expect): string[] {
  if (expect === 'clean') return [];
  if (expect === 'any') return ['--expect', 'any'];
  const { signal, exitCode, stderr } = expect;
  const end = signal ?? (exitCode === undefined ? undefined : `exit:${exitCode}`);
  return [...(end === undefined ? [] : ['--expect', end]), ...(stderr === 'empty' ? ['--quiet-stderr'] : [])];
}
