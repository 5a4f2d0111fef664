import { stripVTControlCharacters } from 'node:util';
import type { RecordedScenario } from '../plan/scenario.js';
import { shareOf } from '../plan/shard.js';
import { outcomeLabel } from '../run/outcome.js';
import type { Evidence, ExplainingChild, RunRecord } from '../run/run.js';
import { clopperPearson, upperBound } from '../statistics/intervals.js';
import { judge } from '../statistics/rate-goal.js';
import { summarize } from '../statistics/summary.js';
import type { Timeline } from '../timeline/model.js';
import { ChildDeaths } from './child-deaths.js';
import { failureKind } from './failure-kinds.js';
import type { FailureGroup, Phase, ScenarioResult } from './result.js';
import type { FailureTraces } from './traces.js';

// Later crashes and hangs mostly repeat the first one with the same cause, and gdb takes seconds for each.
const STACKS_OF_A_CAUSE = 2;

/** If this many first runs all fail alike before their work is done, the program can't do its work. */
const HOPELESS_RUNS = 5;

// A report has evidence only for the first run of each kind of failure.
const NO_EVIDENCE: Evidence = { stdout: '', stderr: '', stacks: null, threads: [], crash: null };

interface CollectedGroup {
  readonly records: [RunRecord, ...RunRecord[]];
  evidence: Evidence;
}

/** Collects the runs of a scenario one by one, and says what they show together. */
export class ScenarioTally {
  readonly scenario: RecordedScenario;
  readonly #runs: RunRecord[] = [];
  readonly #groups = new Map<string, CollectedGroup>();
  #failed = 0;
  #cleanTimeline: Timeline | null = null;
  readonly #stacksTaken = new Map<string, number>();
  readonly #first: (string | null)[] = [];
  readonly #deaths = new ChildDeaths();
  /** The lowest number that no run has, and the numbers above it that runs have. */
  #next: number;
  readonly #above = new Set<number>();

  /** Begins with earlier runs. A run keeps its number, unless another one has it. */
  constructor(scenario: RecordedScenario, ...earlier: readonly ScenarioResult[]) {
    this.scenario = scenario;
    const { shard } = scenario;
    this.#next = shard === null ? 1 : shareOf(shard, shard.ofRuns).first;
    for (const result of earlier) {
      const { runs } = result;
      const evidence = evidenceByRun(result);
      for (const record of runs) {
        const free = record.run >= this.#next && !this.#above.has(record.run);
        const run = free ? record.run : this.#next;
        this.add({ ...record, run }, renumbered(evidence.get(record.run), run - record.run));
      }
    }
  }

  /** Number of runs so far. */
  get completed(): number {
    return this.#runs.length;
  }

  /** How many of them failed. */
  get failed(): number {
    return this.#failed;
  }

  /** The lowest number that no run has: from 1 on, or in a shard, from the first of its own. */
  get next(): number {
    return this.#next;
  }

  /** The lowest number above another one that no run has. */
  nextAfter(run: number): number {
    let next = run + 1;
    while (this.#above.has(next)) next++;
    return next;
  }

  /** Whether no more runs are wanted: all were made, or the `until` goal of the scenario is decided. */
  get finished(): boolean {
    const { runs, until } = this.scenario;
    return this.completed >= runs || (until !== null && this.#failed > until.allowFailures);
  }

  /**
   * Why more runs would show nothing about exits: the first all ended with the same exit code and the same text on
   * stderr, and none reported that its work was done. A missing module looks like that. Otherwise `null`.
   */
  get hopeless(): string | null {
    const [first] = this.#first;
    const alike = first && this.#first.length === HOPELESS_RUNS && this.#first.every((one) => one === first);
    if (!alike || this.scenario.expect === 'any' || this.completed > HOPELESS_RUNS) return null;
    return `each of its first ${HOPELESS_RUNS} runs failed in the same way, before it reported that its work was done: ${this.#firstWords}`;
  }

  get #firstWords(): string {
    const [{ evidence } = { evidence: NO_EVIDENCE }] = this.#groups.values();
    const lines = stripVTControlCharacters(evidence.stderr)
      .split('\n')
      .filter((line) => line.trim() !== '');
    const telling =
      lines.find((line) => /error\b|cannot|can't|no such|not found/i.test(line)) ?? lines.at(-1);
    return (telling ?? '').trim().slice(0, 200);
  }

  /** Whether the stacks of another failure with this cause are worth the time they take. Counts it if so. */
  wantsStacks(cause: string): boolean {
    const taken = this.#stacksTaken.get(cause) ?? 0;
    if (taken >= STACKS_OF_A_CAUSE) return false;
    this.#stacksTaken.set(cause, taken + 1);
    return true;
  }

  /** Adds a run, and its evidence if that was kept. */
  add(record: RunRecord, evidence: Evidence = NO_EVIDENCE): void {
    this.#runs.push(record);
    this.#takeNumber(record.run);
    this.#deaths.add(record, evidence);
    if (this.#first.length < HOPELESS_RUNS) this.#first.push(failureAtWork(record, evidence));
    if (!record.failed) this.#cleanTimeline ??= evidence.timeline ?? null;
    else {
      this.#failed++;
      // Pools number their threads.
      const thread = record.diedIn?.replace(/\d+/g, '#');
      const key = [outcomeLabel(record.outcome), record.signature?.id, record.workDone, thread].join('|');
      const group = this.#groups.get(key);
      if (group === undefined) this.#groups.set(key, { records: [record], evidence });
      else {
        group.records.push(record);
        if (group.evidence.threads.length === 0 && evidence.threads.length > 0) group.evidence = evidence;
      }
    }
  }

  #takeNumber(run: number): void {
    if (run > this.#next) this.#above.add(run);
    else if (run === this.#next) {
      this.#next = this.nextAfter(run);
      for (let one = run + 1; one < this.#next; one++) this.#above.delete(one);
    }
  }

  /** The result if no more runs followed. */
  soFar(): ScenarioResult {
    return this.result(this.completed === 0 ? 'not-run' : 'stopped', 'the tester did not get that far');
  }

  /** What the runs so far show. */
  result(
    state: ScenarioResult['state'],
    reason: string | null = null,
    endedByFailures = false,
  ): ScenarioResult {
    const scenario = this.scenario;
    const { until, confidence } = scenario;
    const runs = this.#runs;
    const failed = this.#failed;
    const speaks = runs.some((run) => run.workDone);
    const phaseOf = (run: RunRecord): Phase => (run.workDone ? 'exit' : speaks ? 'work' : 'unknown');
    const slowestCleanMs = Math.max(0, ...runs.flatMap((run) => (run.failed ? [] : run.durationMs)));
    const failures = [...this.#groups.values()]
      .map(({ records, evidence: kept }) => {
        const [first] = records;
        const evidence = this.#deaths.shown(kept, records);
        // The thread belongs to a child, which may have nothing to do with the failure.
        const childs = kept.child || first.outcome.kind === 'exit-code';
        const diedIn = childs && !evidence.child ? null : first.diedIn;
        return {
          outcome: first.outcome,
          phase: phaseOf(first),
          signature: first.signature,
          diedIn,
          kind: failureKind({
            ...{ ...first, ...evidence, diedIn, command: scenario.command, slowestCleanMs },
            ...(evidence.child && ofChild(evidence.child)),
            allowThreads: scenario.allowThreads,
          }),
          runs: records.map(({ run }) => run),
          evidence,
        };
      })
      .sort((a, b) => b.runs.length - a.runs.length);
    const verdict = until === null ? null : judge(until, { failed, runs: runs.length });
    // One shard alone can refute a rate, but can't show it.
    const asWanted =
      verdict === null
        ? failed === 0
        : verdict === 'below' || (verdict === 'open' && scenario.shard !== null);
    return {
      scenario,
      state,
      reason,
      endedByFailures,
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
      cleanTimeline: this.#cleanTimeline,
    };
  }
}

/** What differs for a child: its program, and how it died. The main process may have turned that into another outcome. */
const ofChild = ({ signal, command }: ExplainingChild): Partial<FailureTraces> => ({
  command: command.split(' '),
  ...(signal !== null && {
    outcome: { kind: 'signal', signal: signal as NodeJS.Signals, exitCode: null },
  }),
});

/** A text that is equal for failures that are alike; `null` if the run may say something about exits. */
function failureAtWork({ outcome, workDone, signature }: RunRecord, { stderr }: Evidence): string | null {
  if (outcome.kind !== 'exit-code' || workDone || signature !== null || stderr.trim() === '') return null;
  return `${outcome.code}|${stderr.replace(/[\w.-]*\d[\w.-]*/g, '#')}`;
}

/** The evidence of a run whose number has grown by this much: joined results renumber their runs. */
function renumbered(evidence: Evidence | undefined, by: number): Evidence | undefined {
  const { timeline } = evidence ?? {};
  if (evidence === undefined || timeline == null || by === 0) return evidence;
  return { ...evidence, timeline: { ...timeline, run: timeline.run + by } };
}

/** The evidence that a result kept, by run number: of the first run of each failure, and of a clean run. */
export function evidenceByRun({
  failures,
  cleanTimeline: timeline,
}: {
  readonly failures: readonly Pick<FailureGroup, 'runs' | 'evidence'>[];
  readonly cleanTimeline: Timeline | null;
}): ReadonlyMap<number, Evidence> {
  const evidence = new Map<number, Evidence>();
  if (timeline !== null) evidence.set(timeline.run, { ...NO_EVIDENCE, timeline });
  for (const { runs, evidence: kept } of failures) if (runs[0] !== undefined) evidence.set(runs[0], kept);
  return evidence;
}

/** The result of a scenario that could not be run at all. */
export function notRun(scenario: RecordedScenario, reason: string): ScenarioResult {
  return new ScenarioTally(scenario).result('not-run', reason);
}
