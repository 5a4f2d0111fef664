// session/: makes the runs of scenarios, with the services they need, and continues where a report ends. results/ holds
// what runs showed, run/ makes one run, and report/ has what the reader sees meanwhile.

import { setMaxListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import { runPerturbed } from '../perturb/perturbed-run.js';
import type { Scenario } from '../plan/scenario.js';
import { checkStart } from '../process/process-group.js';
import { cancelSequence, knowsSequences, newSequence } from '../process/spawner.js';
import type { ScenarioResult } from '../results/result.js';
import type { ScenarioTally } from '../results/tally.js';
import type { EndedRun, RunOnceOptions, RunRecord, RunSpec } from '../run/run.js';
import { RunDirectories } from '../run/run-directory.js';

/** Reported after each run. */
export interface ScenarioProgress {
  readonly scenario: Scenario;
  readonly completed: number;
  readonly failed: number;
  readonly run: RunRecord;
  /** What the scenario has shown so far, as if it had been stopped here. */
  soFar(): ScenarioResult;
}

/** A scenario under way, and how its runs are made. */
export interface Series {
  readonly scenario: Scenario;
  readonly tally: ScenarioTally;
  /** Environment of the services it uses. */
  readonly env: Readonly<Record<string, string>>;
  readonly onRun: (progress: ScenarioProgress) => void;
}

/** How runs are made. */
export interface RunningOptions {
  readonly stacks?: boolean | undefined;
  readonly bails?: boolean;
}

/**
 * Makes the runs that the tallies of some scenarios still want, `jobs` at a time. The scenarios alternate: A B, B A, A
 * B, ...
 * @param how.stacks whether stacks of crashes and hangs are taken; default true.
 * @param how.bails whether a failed run may be the last: then none begins before the one before it is judged.
 * @throws EnvironmentError when the system can't start a process; the signal's reason when aborted. The tallies then
 * have the runs up to that point.
 */
export async function makeRuns(
  series: readonly Series[],
  jobs: number,
  signal: AbortSignal | undefined,
  { stacks = true, bails = false }: RunningOptions = {},
): Promise<void> {
  using directories = new RunDirectories();
  const enough = new AbortController();
  const stop = AbortSignal.any(signal ? [signal, enough.signal] : [enough.signal]);
  setMaxListeners(0, stop); // as many as there are jobs
  const all = series.map((one) => new OrderedRuns(one, { directories, stacks, signal: stop }));
  const turns = byTurns(all);
  // Perturbed runs need more than their program, such as load, and a wrapper's program is looked at before. With more jobs than CPUs, another run is always ready.
  const plain = !series.some(({ scenario }) => isWrapped(scenario));
  const ahead = plain && !bails && jobs <= availableParallelism() && (await knowsSequences());
  const sequences: Sequence[] = [];
  stop.addEventListener('abort', () => {
    for (const { number } of sequences) cancelSequence(number);
  });
  let failing = false;
  const make = async (runs: OrderedRuns, sequence: Sequence | undefined): Promise<void> => {
    const before = sequence?.last;
    const made = runs.make(sequence?.number);
    if (sequence !== undefined) sequence.last = made;
    try {
      await made;
    } catch (error) {
      // Its program may have failed to start before the run before it is evaluated, which still counts.
      failing = true;
      await before?.catch(() => {});
      throw error;
    }
  };
  const lane = async (sequence: Sequence | undefined): Promise<void> => {
    try {
      while (!failing) {
        const turn = turns.next();
        if (turn.done) break;
        await make(turn.value, sequence);
      }
      if (series.every(({ tally }) => tally.finished)) enough.abort();
    } catch (error) {
      if (enough.signal.aborted) return;
      enough.abort();
      throw error;
    }
  };
  const lanes: Promise<void>[] = [];
  // Each lane takes its first turn as it begins. So there are never more lanes than runs.
  while (lanes.length < jobs && all.some(({ wanted }) => wanted)) {
    const sequence = ahead ? { number: newSequence(), last: Promise.resolve() } : undefined;
    if (sequence !== undefined) sequences.push(sequence);
    lanes.push(lane(sequence));
  }
  // Two lanes share a sequence: the next program starts when the one before has ended, while this process still deals
  // with that run. So its work takes no time where there is a CPU for it.
  for (const sequence of sequences) if (all.some(({ wanted }) => wanted)) lanes.push(lane(sequence));
  const failed = (await Promise.allSettled(lanes)).find((result) => result.status === 'rejected');
  if (failed === undefined) return;
  // When a scenario is interrupted, the runs that have ended count.
  for (const runs of all) runs.takeRest();
  throw failed.reason;
}

/** A sequence of programs, and the run whose program is the last in it so far. */
interface Sequence {
  readonly number: number;
  last: Promise<void>;
}

/** Whether another program may start its program. */
const isWrapped = ({ perturb, launched, command }: Scenario): boolean =>
  perturb !== null || launched !== command;

function* byTurns(all: readonly OrderedRuns[]): Generator<OrderedRuns, undefined> {
  const order = [...all];
  while (order.some(({ wanted }) => wanted)) {
    for (const runs of order) if (runs.wanted) yield runs;
    order.reverse();
  }
}

/**
 * The runs of one scenario, some of them under way. They are added in the order of their numbers. If they were added as
 * they end, slow ones such as hangs would be missing when the tally finishes early.
 */
class OrderedRuns {
  readonly #series: Series;
  readonly #spec: RunSpec;
  readonly #how: RunOnceOptions;
  readonly #ended = new Map<number, EndedRun>();
  /** How many runs haven't begun. */
  #left: number;
  #next: number;

  constructor(
    series: Series,
    { directories, stacks, signal }: { directories: RunDirectories; stacks: boolean; signal: AbortSignal },
  ) {
    const { scenario, tally, env } = series;
    this.#series = series;
    // Copying `process.env` and preparing it costs tenths of a millisecond, so it is done once for all runs.
    const { launched: command } = scenario;
    this.#spec = { ...scenario, command, env: Object.freeze({ ...process.env, ...scenario.env, ...env }) };
    this.#how = { wantsStacks: (cause) => stacks && tally.wantsStacks(cause), directories, signal };
    this.#next = tally.next;
    this.#left = scenario.runs - tally.completed;
  }

  /** Whether there is another run to make. */
  get wanted(): boolean {
    return !this.#series.tally.finished && this.#left > 0;
  }

  /** Makes the next run. */
  async make(sequence: number | undefined): Promise<void> {
    const { scenario, tally } = this.#series;
    const run = this.#next;
    this.#next = tally.nextAfter(run);
    this.#left--;
    if (isWrapped(scenario)) await checkStart(scenario.command, this.#spec);
    const ended = await runPerturbed(this.#spec, run, scenario.perturb, { ...this.#how, sequence });
    // The report of a run may stop the session when the next one has ended, too.
    this.#how.signal?.throwIfAborted();
    this.#ended.set(run, ended);
    while (this.#ended.has(tally.next) && !tally.finished) this.#take(tally.next);
    if (!this.#how.signal?.aborted) ended.over();
  }

  /** Adds the runs that ended although an earlier one did not. */
  takeRest(): void {
    for (const run of [...this.#ended.keys()].sort((a, b) => a - b)) this.#take(run);
  }

  #take(run: number): void {
    const { record, evidence } = this.#ended.get(run) as EndedRun;
    this.#ended.delete(run);
    const { scenario, tally, onRun } = this.#series;
    tally.add(record, evidence);
    const { completed, failed } = tally;
    onRun({ scenario, completed, failed, run: record, soFar: () => tally.soFar() });
  }
}
