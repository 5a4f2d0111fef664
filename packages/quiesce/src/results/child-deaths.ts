// What the deaths of child processes say about runs. A child may die as it should, as in a test of crashes, or die in
// several runs of which only the first have stacks.
import type { Evidence, ExplainingChild, RunRecord } from '../run/run.js';

type Seen = Pick<Evidence, 'stacks' | 'threads' | 'crash'>;

/** The same for children that run the same program and die alike. Numbers, and the run's directory, differ from run to run. */
const key = ({ signal, thread, command }: ExplainingChild): string =>
  [signal, thread, command.replace(/quiesce-run-\w+/g, '')].join('\t').replace(/\d+/g, '#');

const count = ({ childCrashes }: RunRecord, like: string): number =>
  childCrashes.filter((child) => key(child) === like).length;

/** The deaths of children in the runs of a scenario. */
export class ChildDeaths {
  readonly #mostInGoodRun = new Map<string, number>();
  readonly #seen = new Map<string, Seen>();

  /** Takes a run, in the order of their numbers. */
  add(record: RunRecord, { child, stacks, threads, crash = null }: Evidence): void {
    if (!record.failed) {
      for (const like of new Set(record.childCrashes.map(key))) {
        const most = Math.max(this.#mostInGoodRun.get(like) ?? 0, count(record, like));
        this.#mostInGoodRun.set(like, most);
      }
    }
    if (child && threads.length > 0 && !this.#seen.has(key(child))) {
      this.#seen.set(key(child), { stacks, threads, crash });
    }
  }

  /**
   * The evidence of runs that failed in the same way, as it is to be shown. A child that died in no more of them than in
   * a run that ended as expected isn't in it, unless the main process passed the child's signal on. Where the child's stacks
   * were not taken, those of another run are there.
   */
  shown(evidence: Evidence, group: readonly RunRecord[]): Evidence {
    const { child } = evidence;
    if (!child || child.signal === null) return evidence;
    const like = key(child);
    const passedOn = group.every(
      ({ outcome }) => outcome.kind === 'signal' && outcome.signal === child.signal,
    );
    const least = Math.min(...group.map((record) => count(record, like)));
    if (!passedOn && least <= (this.#mostInGoodRun.get(like) ?? 0)) {
      return { ...evidence, stacks: null, threads: [], crash: null, child: null };
    }
    return evidence.threads.length > 0 ? evidence : { ...evidence, ...this.#seen.get(like) };
  }
}
