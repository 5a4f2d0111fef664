import { messageOf } from './errors.js';
import { type Outcome, outcomeLabel } from './outcome.js';
import type { Scenario } from './plan.js';
import { type Evidence, type RunRecord, runOnce } from './run.js';
import type { SignatureMatch } from './signatures.js';
import { clopperPearson, type Interval, type Summary, summarize, upperBound } from './statistics.js';

/**
 * When a run failed: `exit` after it said "work done"; `work` before, when other runs of the scenario said it;
 * `unknown` when the program doesn't say.
 */
export type Phase = 'work' | 'exit' | 'unknown';

/** Runs that failed in the same way. */
export interface FailureGroup {
  readonly outcome: Outcome;
  readonly phase: Phase;
  readonly signature: SignatureMatch | null;
  /** Numbers of the runs, ascending. */
  readonly runs: readonly number[];
  /** Of the first of them. */
  readonly evidence: Evidence;
}

/** What many runs of one scenario showed. */
export interface ScenarioResult {
  readonly scenario: Scenario;
  /** `stopped`: ended early; `not-run`: never started. `reason` says why. */
  readonly state: 'completed' | 'stopped' | 'not-run';
  readonly reason: string | null;
  /** It completed, and every run ended as expected or anything was expected. */
  readonly ok: boolean;
  /** Every finished run, in order. */
  readonly runs: readonly RunRecord[];
  readonly failed: number;
  /** The failure rate: 95 % one-sided upper bound and two-sided interval (Clopper-Pearson). */
  readonly rate: { readonly upperBound: number; readonly interval: Interval };
  /** Milliseconds from work done to process gone, over all runs that said it; `null` when none did. */
  readonly exitMs: Summary | null;
  readonly failures: readonly FailureGroup[];
}

/** Told after each run. */
export interface ScenarioProgress {
  readonly scenario: Scenario;
  readonly completed: number;
  readonly failed: number;
  readonly run: RunRecord;
}

/** What `runScenario` takes beside the scenario. */
export interface ScenarioOptions {
  /** Environment of the services it uses. */
  readonly env?: Readonly<Record<string, string>>;
  /** Stops the scenario: the run under way is killed and not counted. */
  readonly signal?: AbortSignal;
  readonly onRun?: (progress: ScenarioProgress) => void;
}

// Later hangs of a scenario mostly repeat the first, and gdb takes seconds for each.
const HANGS_WITH_STACKS = 3;

/**
 * Runs a scenario as often as it says, one run after another.
 * @throws EnvironmentError when the system can't start a process. An abort is no error: the result says so.
 */
export async function runScenario(
  scenario: Scenario,
  options: ScenarioOptions = {},
): Promise<ScenarioResult> {
  const { signal } = options;
  const env = { ...process.env, ...scenario.env, ...options.env };
  const runs: RunRecord[] = [];
  const groups = new Map<string, CollectedGroup>();
  let hangs = 0;
  let failed = 0;
  for (let run = 1; run <= scenario.runs; run++) {
    try {
      const stacks = hangs < HANGS_WITH_STACKS;
      const { record, evidence } = await runOnce({ ...scenario, env }, run, { stacks, signal });
      runs.push(record);
      if (record.outcome.kind === 'hang') hangs++;
      if (record.failed) {
        failed++;
        collect(groups, record, evidence);
      }
      options.onRun?.({ scenario, completed: runs.length, failed, run: record });
    } catch (error) {
      if (!signal?.aborted) throw error;
      return summarise(scenario, 'stopped', messageOf(signal.reason), runs, groups);
    }
  }
  return summarise(scenario, 'completed', null, runs, groups);
}

/** The result of a scenario that could not be run at all. */
export function notRun(scenario: Scenario, reason: string): ScenarioResult {
  return summarise(scenario, 'not-run', reason, [], new Map());
}

interface CollectedGroup {
  readonly first: RunRecord;
  readonly runs: number[];
  readonly evidence: Evidence;
}

function collect(groups: Map<string, CollectedGroup>, record: RunRecord, evidence: Evidence): void {
  const key = [outcomeLabel(record.outcome), record.signature?.id, record.workDone].join('|');
  const group = groups.get(key);
  if (group === undefined) groups.set(key, { first: record, runs: [record.run], evidence });
  else group.runs.push(record.run);
}

function summarise(
  scenario: Scenario,
  state: ScenarioResult['state'],
  reason: string | null,
  runs: readonly RunRecord[],
  groups: ReadonlyMap<string, CollectedGroup>,
): ScenarioResult {
  const failed = runs.filter((run) => run.failed).length;
  const speaks = runs.some((run) => run.workDone);
  const phaseOf = (run: RunRecord): Phase => (run.workDone ? 'exit' : speaks ? 'work' : 'unknown');
  const failures = [...groups.values()]
    .map(({ first, runs: numbers, evidence }) => ({
      outcome: first.outcome,
      phase: phaseOf(first),
      signature: first.signature,
      runs: numbers,
      evidence,
    }))
    .sort((a, b) => b.runs.length - a.runs.length);
  return {
    scenario,
    state,
    reason,
    ok: state === 'completed' && (failed === 0 || scenario.expect === 'any'),
    runs,
    failed,
    rate: { upperBound: upperBound(failed, runs.length), interval: clopperPearson(failed, runs.length) },
    exitMs: summarize(runs.flatMap((run) => run.exitMs ?? [])),
    failures,
  };
}
