// What the deaths of child processes say about runs. A child may die on purpose, for example in a test of crashes. If a
// child dies in several runs, only the first have stacks.
import type { Evidence, ExplainingChild, RunRecord } from '../run/run.js';

type Seen = Pick<Evidence, 'stacks' | 'threads' | 'crash'>;

/**
 * The same for children that run the same program and die alike. Numbers and the run's directory are left out, since
 * they differ from run to run.
 */
const key = ({ signal, thread, command }: ExplainingChild): string =>
  [signal, thread, command.replace(/quiesce-run-\w+/g, '')].join('\t').replace(/\d+/g, '#');

const count = ({ childCrashes }: RunRecord, like: string): number =>
  childCrashes.filter((child) => key(child) === like).length;

/** The deaths of children in the runs of a scenario. */
export class ChildDeaths {
  readonly #mostInGoodRun = new Map<string, number>();
  readonly #seen = new Map<string, Seen>();

  /** Adds a run. Runs come in the order of their numbers. */
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
   * The evidence to show for runs that failed in the same way. It leaves out a child that died no more often in these
   * runs than in a run that ended as expected, unless the main process passed the child's signal on. If the child's
   * stacks were not taken, those from another run are used.
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
