import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf, UsageError } from '../errors.js';
import type { Expect, Outcome } from '../outcome.js';
import type { Evidence, RunRecord } from '../run.js';
import type { SignatureMatch } from '../signatures.js';
import type { Counts } from '../statistics.js';
import { REPORT_VERSION } from './json.js';

/** What a saved JSON report says of one scenario. */
export interface SavedScenario extends Counts {
  readonly name: string;
  readonly command: readonly string[];
  readonly expect: Expect;
  /** Every run, in order. */
  readonly records: readonly RunRecord[];
  /** What was kept of the first run of each kind of failure, by the number of that run. */
  readonly evidence: ReadonlyMap<number, Evidence>;
}

/** A JSON report that was written before. */
export interface SavedReport {
  readonly startedAt: Date;
  readonly scenarios: readonly SavedScenario[];
}

const outcome = z.union([
  z.object({ kind: z.enum(['clean', 'hang']) }),
  z.object({ kind: z.literal('exit-code'), code: z.int() }),
  z.object({ kind: z.literal('signal'), signal: z.string(), exitCode: z.int().nullable() }),
  z.object({ kind: z.literal('dirty-output'), because: z.enum(['signature', 'stderr']) }),
  z.object({ kind: z.literal('threads-left'), threads: z.int() }),
]);

const threadStack = z.object({
  tid: z.int(),
  name: z.string(),
  main: z.boolean(),
  faulting: z.boolean(),
  frames: z.array(
    z.object({ name: z.string().nullable(), library: z.string().nullable(), source: z.string().nullable() }),
  ),
});

const reportSchema = z.object({
  version: z.literal(REPORT_VERSION),
  startedAt: z.iso.datetime(),
  scenarios: z.array(
    z.object({
      name: z.string(),
      command: z.array(z.string()),
      expect: z.union([z.enum(['clean', 'any']), z.record(z.string(), z.unknown())]),
      runs: z.array(
        z.looseObject({
          run: z.int().min(1),
          outcome,
          failed: z.boolean(),
          durationMs: z.number(),
          exitMs: z.number().nullable(),
          workDone: z.boolean(),
          signature: z.string().nullable(),
          leaked: z.array(z.string()),
          diedIn: z.string().nullable().default(null),
          left: z
            .object({
              threads: z.array(z.object({ name: z.string(), library: z.string().nullable() })).nullable(),
              sockets: z.array(
                z.object({ state: z.enum(['listening', 'connected', 'unconnected']), address: z.string() }),
              ),
              files: z.array(z.string()),
            })
            .default({ threads: null, sockets: [], files: [] }),
          perturbation: z.string().nullable().default(null),
          amplifier: z
            .object({
              processes: z.number(),
              holds: z.number(),
              heldMs: z.number(),
              lingers: z.number(),
              lingeredMs: z.number(),
            })
            .nullable()
            .default(null),
        }),
      ),
      failures: z.array(
        z.looseObject({
          runs: z.array(z.int()).min(1),
          signature: z.looseObject({ id: z.string(), title: z.string(), line: z.string() }).nullable(),
          evidence: z.looseObject({
            stdout: z.string(),
            stderr: z.string(),
            stacks: z.string().nullable(),
            threads: z.array(threadStack).default([]),
          }),
        }),
      ),
    }),
  ),
});

/**
 * Reads a report that `--json` wrote.
 * @throws UsageError when the file can't be read or isn't one.
 */
export async function readReport(file: string): Promise<SavedReport> {
  let content: unknown;
  try {
    content = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UsageError(
      missing ? `report ${file} doesn't exist` : `can't read report ${file}: ${messageOf(error)}`,
    );
  }
  const parsed = reportSchema.safeParse(content);
  if (!parsed.success) {
    const [first] = parsed.error.issues;
    const where = first?.path.join('.') ?? '';
    throw new UsageError(
      `${file} is no report of this tester: ${where === '' ? '' : `${where}: `}${first?.message}`,
      'give a file that quiesce run --json wrote',
    );
  }
  return {
    startedAt: new Date(parsed.data.startedAt),
    scenarios: parsed.data.scenarios.map(({ name, command, expect, runs, failures }) => {
      const signatures = new Map<string, SignatureMatch>();
      for (const { signature } of failures) if (signature !== null) signatures.set(signature.id, signature);
      const records = runs.map((run): RunRecord => {
        const signature = run.signature === null ? null : signatureOf(run.signature, signatures);
        return { ...run, outcome: run.outcome as Outcome, signature };
      });
      return {
        name,
        command,
        expect: expect as Expect,
        records,
        evidence: new Map(failures.map((failure) => [failure.runs[0] as number, failure.evidence])),
        runs: records.length,
        failed: records.filter((record) => record.failed).length,
      };
    }),
  };
}

// A report has the line a signature was found on for the first run of each kind of failure only.
function signatureOf(id: string, known: ReadonlyMap<string, SignatureMatch>): SignatureMatch {
  return known.get(id) ?? { id, title: id, line: '' };
}
