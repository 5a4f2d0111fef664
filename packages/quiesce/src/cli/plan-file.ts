import { extname } from 'node:path';
import { definedOnly } from '../defined.js';
import { UsageError } from '../errors.js';
import { loadPlan } from '../plan/file/load.js';
import type { PlanOverrides } from '../plan/resolve.js';
import { interruptible, takeUncaught, UncaughtError } from './interrupt.js';

/** Files of this package, as a stack names them. */
const OWN = new URL('../', import.meta.url).href;

/**
 * Loads a plan file as `loadPlan` does. If it is a module, what its timers and promises throw meanwhile is an error of the
 * plan.
 */
export async function readPlanFile(file: string, overrides?: PlanOverrides): ReturnType<typeof loadPlan> {
  let release = (): void => {};
  const thrown = new Promise<never>((_, reject) => {
    release = takeUncaught((error) => reject(blamed(new UncaughtError(error), file)));
  });
  try {
    return await Promise.race([loadPlan(file, definedOnly({ overrides })), thrown]);
  } finally {
    release();
  }
}

/** `interruptible` for the runs of a plan; `file` is `undefined` where there is none. */
export function interruptibleOf<T>(
  file: string | undefined,
  work: Parameters<typeof interruptible<T>>[0],
): ReturnType<typeof interruptible<T>> {
  return interruptible(work).catch((error: unknown) => {
    throw error instanceof UncaughtError && file !== undefined ? blamed(error, file) : error;
  });
}

/** The error to report for an exception that nothing caught: a plan that is a module may have thrown it. */
function blamed(error: UncaughtError, file: string): Error {
  const { cause } = error;
  const frames = ((cause instanceof Error && cause.stack) || '').match(/[^\s(]+:\d+:\d+/g) ?? [];
  const isModule = /^\.[cm]?[jt]s$/.test(extname(file));
  if (!isModule || frames.some((frame) => frame.startsWith(OWN))) return error;
  const place = frames.find((frame) => !frame.startsWith('node:'));
  return new UsageError(
    `plan ${file} threw what nothing caught: ${String(cause)}`,
    place === undefined ? 'catch it in its timers and promises' : `catch it there: ${place}`,
    { cause },
  );
}
