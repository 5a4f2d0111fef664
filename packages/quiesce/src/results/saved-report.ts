import { readFile } from 'node:fs/promises';
import { messageOf, UsageError } from '../errors.js';
import { savedPerturbChoice } from '../perturb/perturb.js';
import type { Scenario } from '../plan/plan.js';
import type { Expect, Outcome } from '../run/outcome.js';
import type { Evidence, RunRecord } from '../run/run.js';
import type { SignatureMatch } from '../run/signatures.js';
import type { Counts } from '../statistics/intervals.js';
import type { Host } from './host.js';
import { type ReportedScenario, reportSchema } from './report-schema.js';

/** What a saved JSON report says of one scenario. */
export interface SavedScenario extends Counts {
  readonly name: string;
  readonly command: readonly string[];
  readonly expect: Expect;
  /** As it was run, but for its environment, which reports don't have. */
  readonly scenario: Scenario;
  readonly state: 'completed' | 'stopped' | 'not-run';
  readonly reason: string | null;
  /** Every run, in order. */
  readonly records: readonly RunRecord[];
  /** What was kept of the first run of each kind of failure, by the number of that run. */
  readonly evidence: ReadonlyMap<number, Evidence>;
}

/** A JSON report that was written before. */
export interface SavedReport {
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly interrupted: boolean;
  readonly hosts: readonly Host[];
  readonly planFile: string | null;
  readonly serviceFailures: readonly { readonly service: string; readonly message: string }[];
  readonly scenarios: readonly SavedScenario[];
}

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
      undefined,
      { cause: error },
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
  const { startedAt, durationMs, interrupted, host, hosts, planFile, serviceFailures, scenarios } =
    parsed.data;
  return {
    ...{ startedAt: new Date(startedAt), durationMs, interrupted, planFile, serviceFailures },
    hosts: hosts ?? (host === undefined ? [] : [host]),
    scenarios: scenarios.map(savedScenario),
  };
}

function savedScenario(reported: ReportedScenario): SavedScenario {
  const { name, command, runs, failures, perturb, state, reason } = reported;
  const expect = reported.expect as Expect;
  // A report has the line a signature was found on for the first run of each kind of failure only.
  const known = new Map<string, SignatureMatch>();
  for (const { signature } of failures) if (signature !== null) known.set(signature.id, signature);
  const records = runs.map((run): RunRecord => {
    const id = run.signature;
    const signature = id === null ? null : (known.get(id) ?? { id, title: id, line: '' });
    return { ...run, outcome: run.outcome as Outcome, signature };
  });
  const { group, cwd, uses, timeoutMs, plannedRuns, jobs, strict, witness, until, shard, failureRate } =
    reported;
  const { signatures, ignoreOutput, allowThreads } = reported;
  return {
    ...{ name, command, expect, state, reason, records },
    scenario: {
      ...{ name, command, expect, group, cwd, uses, timeoutMs, jobs, strict, witness, until, shard },
      ...{ signatures, ignoreOutput, allowThreads },
      runs: Math.max(plannedRuns, records.length),
      confidence: failureRate.confidence,
      perturb: perturb && { choice: savedPerturbChoice(perturb.parts), seed: perturb.seed, seedGiven: true },
      env: {},
    },
    evidence: new Map(failures.map((failure) => [failure.runs[0] as number, failure.evidence])),
    runs: records.length,
    failed: records.filter((record) => record.failed).length,
  };
}
