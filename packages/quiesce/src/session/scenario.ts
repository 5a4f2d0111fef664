import { EnvironmentError, messageOf } from '../errors.js';
import { runPerturbed } from '../perturb/perturbed-run.js';
import type { Scenario } from '../plan/plan.js';
import { shareOf } from '../plan/shard.js';
import { type FailureKind, failureKind } from '../results/failure-kinds.js';
import type { SavedScenario } from '../results/saved-report.js';
import { type Outcome, outcomeLabel } from '../run/outcome.js';
import type { Evidence, RunOnceOptions, RunRecord, RunSpec } from '../run/run.js';
import { RunDirectories } from '../run/run-directory.js';
import type { SignatureMatch } from '../run/signatures.js';
import { clopperPearson, type Interval, upperBound } from '../statistics/intervals.js';
import { type GoalVerdict, judge } from '../statistics/rate-goal.js';
import { type Summary, summarize } from '../statistics/summary.js';

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
  /** Name of the thread that died, where it was seen. */
  readonly diedIn: string | null;
  /** The likely cause; `null` when the traces don't tell. */
  readonly kind: FailureKind | null;
  /** Numbers of the runs, ascending. */
  readonly runs: readonly number[];
  /** Of the first of them; of the first with stacks, where any has them. */
  readonly evidence: Evidence;
}

/** What many runs of one scenario showed. */
export interface ScenarioResult {
  readonly scenario: Scenario;
  /** `stopped`: ended early; `not-run`: never started. `reason` says why. */
  readonly state: 'completed' | 'stopped' | 'not-run';
  readonly reason: string | null;
  /**
   * It completed, and every run ended as expected, or it showed what it was run `until`, or anything was expected.
   */
  readonly ok: boolean;
  /** Every finished run, in order. */
  readonly runs: readonly RunRecord[];
  readonly failed: number;
  /**
   * The failure rate, at the scenario's confidence: one-sided upper bound and two-sided interval
   * (Clopper-Pearson).
   */
  readonly rate: { readonly upperBound: number; readonly interval: Interval };
  /** Of a scenario run `until`: what its runs say about that rate. */
  readonly verdict: GoalVerdict | null;
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
  /** What the scenario showed until now, as one that was stopped here. */
  soFar(): ScenarioResult;
}

/** What `runScenario` takes beside the scenario. */
export interface ScenarioOptions {
  /** Environment of the services it uses. */
  readonly env?: Readonly<Record<string, string>>;
  /** Stops the scenario: the run under way is killed and not counted. */
  readonly signal?: AbortSignal;
  readonly onRun?: (progress: ScenarioProgress) => void;
  /** Runs that were made before; only those that are missing are made. */
  readonly earlier?: SavedScenario | undefined;
}

// Later crashes and hangs mostly repeat the first of their cause, and gdb takes seconds for each.
const STACKS_OF_A_CAUSE = 2;

/**
 * Runs a scenario as often as it says; one that is run `until` stops once that is decided.
 * An abort is no error: the result says so, as it does when a later run can't be started.
 * @throws EnvironmentError when the system can't start the first.
 */
export async function runScenario(
  scenario: Scenario,
  options: ScenarioOptions = {},
): Promise<ScenarioResult> {
  const tally = new ScenarioTally(scenario, options.earlier);
  try {
    await makeRuns([{ tally, options }], scenario.jobs, options.signal);
    return tally.result('completed');
  } catch (error) {
    const reason = reasonToStop(error, tally.completed, options.signal);
    if (reason === undefined) throw error;
    return tally.result('stopped', reason);
  }
}

/**
 * Why runs ended early though what was run counts: an abort, or a system that can't start a process any more.
 * `undefined` where an error is to be thrown, as when nothing has run yet.
 */
export function reasonToStop(
  error: unknown,
  completed: number,
  signal: AbortSignal | undefined,
): string | undefined {
  if (signal?.aborted) return messageOf(signal.reason);
  return error instanceof EnvironmentError && completed > 0 ? messageOf(error) : undefined;
}

/** A scenario under way, and how its runs are made. */
export interface Series {
  readonly tally: ScenarioTally;
  readonly options: Pick<ScenarioOptions, 'env' | 'onRun'>;
}

interface EndedRun {
  readonly record: RunRecord;
  readonly evidence: Evidence;
}

/**
 * Makes the runs that the tallies of some scenarios still want, `jobs` at a time, and the scenarios' by turns:
 * A B, B A, A B, ...
 * @throws EnvironmentError when the system can't start a process; the signal's reason when aborted. The tallies have
 * what was run until then.
 */
export async function makeRuns(
  series: readonly Series[],
  jobs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  using directories = new RunDirectories();
  const enough = new AbortController();
  const stop = AbortSignal.any(signal ? [signal, enough.signal] : [enough.signal]);
  const all = series.map(({ tally, options }) => new OrderedRuns(tally, options, directories, stop));
  const turns = byTurns(all);
  const lane = async (): Promise<void> => {
    try {
      for (let turn = turns.next(); !turn.done; turn = turns.next()) await turn.value.make();
      if (series.every(({ tally }) => tally.finished)) enough.abort();
    } catch (error) {
      if (enough.signal.aborted) return;
      enough.abort();
      throw error;
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: jobs }, lane));
  const failed = lanes.find((result) => result.status === 'rejected');
  if (failed === undefined) return;
  // Of an interrupted scenario, what has ended counts.
  for (const runs of all) runs.takeRest();
  throw failed.reason;
}

function* byTurns(all: readonly OrderedRuns[]): Generator<OrderedRuns, undefined> {
  const order = [...all];
  while (order.some(({ wanted }) => wanted)) {
    for (const runs of order) if (runs.wanted) yield runs;
    order.reverse();
  }
}

/**
 * The runs of one scenario, some of them under way. They are taken in the order of their numbers: were they taken as
 * they end, the slow ones among them, such as hangs, would be missing when the tally finishes early.
 */
class OrderedRuns {
  readonly #tally: ScenarioTally;
  readonly #onRun: ScenarioOptions['onRun'];
  readonly #spec: RunSpec;
  readonly #how: RunOnceOptions;
  readonly #ended = new Map<number, EndedRun>();
  readonly #last: number;
  #next: number;

  constructor(
    tally: ScenarioTally,
    { env, onRun }: Series['options'],
    directories: RunDirectories,
    signal: AbortSignal,
  ) {
    this.#tally = tally;
    this.#onRun = onRun;
    // Copying `process.env` costs a tenth of a millisecond: once for all runs.
    this.#spec = { ...tally.scenario, env: { ...process.env, ...tally.scenario.env, ...env } };
    this.#how = { wantsStacks: (cause) => tally.wantsStacks(cause), directories, signal };
    this.#next = tally.next;
    this.#last = tally.next + tally.scenario.runs - tally.completed - 1;
  }

  /** Whether there is one more to make. */
  get wanted(): boolean {
    return !this.#tally.finished && this.#next <= this.#last;
  }

  /** Makes the next one. */
  async make(): Promise<void> {
    const run = this.#next++;
    this.#ended.set(run, await runPerturbed(this.#spec, run, this.#tally.scenario.perturb, this.#how));
    while (this.#ended.has(this.#tally.next) && !this.#tally.finished) this.#take(this.#tally.next);
  }

  /** Takes those that ended though one before them did not. */
  takeRest(): void {
    for (const run of [...this.#ended.keys()].sort((a, b) => a - b)) this.#take(run);
  }

  #take(run: number): void {
    const { record, evidence } = this.#ended.get(run) as EndedRun;
    this.#ended.delete(run);
    this.#onRun?.(this.#tally.add(record, evidence));
  }
}

/** The result of a scenario that could not be run at all. */
export function notRun(scenario: Scenario, reason: string): ScenarioResult {
  return new ScenarioTally(scenario).result('not-run', reason);
}

// A report has the evidence of the first run of each kind of failure only.
const NO_EVIDENCE: Evidence = { stdout: '', stderr: '', stacks: null, threads: [], crash: null };

interface CollectedGroup {
  readonly first: RunRecord;
  readonly runs: number[];
  evidence: Evidence;
}

/** Takes the runs of a scenario one by one, and says what they showed together. */
export class ScenarioTally {
  readonly scenario: Scenario;
  readonly #runs: RunRecord[] = [];
  readonly #groups = new Map<string, CollectedGroup>();
  #failed = 0;
  readonly #stacksTaken = new Map<string, number>();

  /** Begins with runs that were made before, numbered anew. */
  constructor(scenario: Scenario, earlier?: SavedScenario) {
    this.scenario = scenario;
    for (const record of earlier?.records ?? []) {
      const evidence = earlier?.evidence.get(record.run) ?? NO_EVIDENCE;
      this.add({ ...record, run: this.next }, evidence);
    }
  }

  /** Runs taken so far. */
  get completed(): number {
    return this.#runs.length;
  }

  /** Number of the run that is taken next: from 1 on, or in a shard, from the first of its own. */
  get next(): number {
    const { shard } = this.scenario;
    return (shard === null ? 1 : shareOf(shard, shard.ofRuns).first) + this.completed;
  }

  /** No more runs are wanted: all were made, or what the scenario is run `until` is decided. */
  get finished(): boolean {
    const { runs, until } = this.scenario;
    return this.completed >= runs || (until !== null && this.#failed > until.allowFailures);
  }

  /** Whether the stacks of one more failure of this cause are worth the time they take; counts it if so. */
  wantsStacks(cause: string): boolean {
    const taken = this.#stacksTaken.get(cause) ?? 0;
    if (taken >= STACKS_OF_A_CAUSE) return false;
    this.#stacksTaken.set(cause, taken + 1);
    return true;
  }

  /** Takes a run. */
  add(record: RunRecord, evidence: Evidence): ScenarioProgress {
    this.#runs.push(record);
    if (record.failed) {
      this.#failed++;
      // Pools number their threads.
      const thread = record.diedIn?.replace(/\d+/g, '#');
      const key = [outcomeLabel(record.outcome), record.signature?.id, record.workDone, thread].join('|');
      const group = this.#groups.get(key);
      if (group === undefined) this.#groups.set(key, { first: record, runs: [record.run], evidence });
      else {
        group.runs.push(record.run);
        if (group.evidence.threads.length === 0 && evidence.threads.length > 0) group.evidence = evidence;
      }
    }
    return {
      scenario: this.scenario,
      completed: this.completed,
      failed: this.#failed,
      run: record,
      soFar: () => this.soFar(),
    };
  }

  /** The result, if nothing came after the runs so far. */
  soFar(): ScenarioResult {
    return this.result(this.completed === 0 ? 'not-run' : 'stopped', 'the tester had not come further');
  }

  /** What the runs so far show. */
  result(state: ScenarioResult['state'], reason: string | null = null): ScenarioResult {
    const scenario = this.scenario;
    const { until, confidence } = scenario;
    const runs = this.#runs;
    const failed = this.#failed;
    const speaks = runs.some((run) => run.workDone);
    const phaseOf = (run: RunRecord): Phase => (run.workDone ? 'exit' : speaks ? 'work' : 'unknown');
    const slowestCleanMs = Math.max(0, ...runs.flatMap((run) => (run.failed ? [] : run.durationMs)));
    const failures = [...this.#groups.values()]
      .map(({ first, runs: numbers, evidence }) => ({
        outcome: first.outcome,
        phase: phaseOf(first),
        signature: first.signature,
        diedIn: first.diedIn,
        kind: failureKind({ ...first, ...evidence, command: scenario.command, slowestCleanMs }),
        runs: numbers,
        evidence,
      }))
      .sort((a, b) => b.runs.length - a.runs.length);
    const verdict = until === null ? null : judge(until, { failed, runs: runs.length });
    // One shard alone can refute a rate, but not show it.
    const asWanted =
      verdict === null
        ? failed === 0
        : verdict === 'below' || (verdict === 'open' && scenario.shard !== null);
    return {
      scenario,
      state,
      reason,
      ok: state === 'completed' && (asWanted || scenario.expect === 'any'),
      runs,
      failed,
      rate: {
        upperBound: upperBound(failed, runs.length, confidence),
        interval: clopperPearson(failed, runs.length, confidence),
      },
      verdict,
      exitMs: summarize(runs.flatMap((run) => run.exitMs ?? [])),
      failures,
    };
  }
}
