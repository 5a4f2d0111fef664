// file/: plans as files: how they are found, read with the places of their fields, and written by `quiesce init`. The
// reader for a kind of file is loaded only when such a file is read. Loading it takes a third of a command's start.

import { isUtf8 } from 'node:buffer';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatMs } from '../../duration.js';
import { messageOf, UsageError } from '../../errors.js';
import { combinationProblems } from '../check/problems.js';
import { checkPlan } from '../check/schema.js';
import type { Plan, PlanParts } from '../plan.js';
import type { PlanOverrides } from '../resolve.js';

/** Long enough for a plan that asks a server for versions, or builds its program. */
const LOADING_MS = 300_000;

const PLAN_FILE = /^shutdown\.plan\.(?:ya?ml|json|[cm]?[jt]s)$/;

/**
 * The plan of a directory: its file `shutdown.plan.yaml`, or with another extension that `loadPlan` reads; `undefined`
 * if there is none.
 * @throws UsageError when there are several.
 */
export async function findPlan(directory = '.'): Promise<string | undefined> {
  const files = (await readdir(directory)).filter((name) => PLAN_FILE.test(name)).sort();
  if (files.length > 1)
    throw new UsageError(`this directory has ${files.join(' and ')}`, 'choose one with --plan');
  return files[0];
}

/**
 * Reads and checks a plan file. The extension says whether it is YAML or JSON. Any other file is a TypeScript or
 * JavaScript module whose default export is a plan or a function that returns one.
 * @param options.timeoutMs how long a module and its function may take; default: 5 minutes.
 * @param options.overrides what the plan is to be run with. If it is given, the errors include what can't be run here
 * with these options, such as a program or directory that is missing.
 * @throws UsageError when the file can't be read, or its function never returns; PlanError with everything that is
 * wrong in the file, and where.
 */
export async function loadPlan(
  file: string,
  options: { readonly timeoutMs?: number; readonly overrides?: PlanOverrides } = {},
): Promise<{ plan: Plan; baseDir: string }> {
  if (typeof file !== 'string') throw new UsageError("loadPlan's file must be text");
  const path = resolve(file);
  const baseDir = dirname(path);
  const { timeoutMs = LOADING_MS, overrides } = options;
  const further = (parts: PlanParts) =>
    overrides === undefined
      ? []
      : combinationProblems(parts, overrides, resolve(overrides.baseDir ?? baseDir));
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = missing
      ? `plan file ${file} doesn't exist`
      : `can't read plan file ${file}: ${messageOf(error)}`;
    throw new UsageError(problem, missing ? `looked for ${path}` : undefined);
  }
  try {
    if (!isUtf8(bytes)) throw new UsageError(`plan file ${file} is not text in UTF-8`);
    const kind = extname(path).toLowerCase();
    if (kind === '.json' || kind === '.yaml' || kind === '.yml') {
      const { readPlanText } = await import('./plan-text.js');
      const { plan, locate } = readPlanText(bytes.toString(), kind === '.json' ? 'json' : 'yaml', file);
      return { plan: checkPlan(plan, file, 'written', { locate, further }), baseDir };
    }
    if (!/^\.[cm]?[jt]s$/.test(kind)) {
      throw new UsageError(
        `plan file ${file} has an unknown extension`,
        'use .yaml, .yml, .json, .ts or .js',
      );
    }
    const plan = await settled(exportedPlan(path), `plan ${file}`, timeoutMs);
    return { plan: checkPlan(plan, file, 'written', { further }), baseDir };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`plan file ${file} can't be loaded: ${messageOf(error)}`, undefined, {
      cause: error,
    });
  }
}

/** What the module exports. If that is a function, what it returns. */
async function exportedPlan(path: string): Promise<unknown> {
  const exported = await importPlan(path);
  return typeof exported === 'function' ? await exported() : exported;
}

/**
 * The value that a promise resolves with.
 * @throws UsageError when nothing in this process is left that could settle the promise: Node would end silently.
 */
async function settled<T>(promise: Promise<T>, what: string, timeoutMs: number): Promise<T> {
  let release = (): void => {};
  const never = new Promise<never>((_resolve, reject) => {
    const onIdle = (): void =>
      reject(
        new UsageError(
          `${what} never finishes loading: it awaits a promise that nothing is left to settle`,
          'look in the module, and in the function that it exports',
        ),
      );
    const onTimeout = (): void =>
      reject(
        new UsageError(
          `${what} hasn't finished loading after ${formatMs(timeoutMs)}: something keeps it waiting`,
          'look in the module, and in the function that it exports; a server is for services',
        ),
      );
    process.on('beforeExit', onIdle);
    const timer = setTimeout(onTimeout, timeoutMs).unref();
    release = () => {
      clearTimeout(timer);
      process.off('beforeExit', onIdle);
    };
  });
  try {
    return await Promise.race([promise, never]);
  } finally {
    release();
  }
}

async function importPlan(path: string): Promise<unknown> {
  // A plan may import this package even if it isn't installed beside the plan.
  const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
  const alias = { 'quiesce/work-done': here('../../work-done.js'), quiesce: here('../../index.js') };
  const { createJiti } = await import('jiti');
  return createJiti(import.meta.url, { fsCache: false, alias }).import(path, { default: true });
}
