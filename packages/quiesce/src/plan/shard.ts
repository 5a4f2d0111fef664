import { UsageError } from '../errors.js';

/** One of several parts of the same runs, each made on its own machine. */
export interface ShardChoice {
  /** 1 to `count`. */
  readonly index: number;
  readonly count: number;
}

/** The part of a scenario's runs that a shard makes. */
export interface Shard extends ShardChoice {
  /** The number of runs in all shards together. */
  readonly ofRuns: number;
}

/** How CI systems state a job's place. GitHub Actions has expressions for it, but no variables. */
export const PLACES: readonly {
  readonly index: string;
  readonly first: 0 | 1;
  readonly count: string | null;
}[] = [
  { index: 'CI_NODE_INDEX', first: 1, count: 'CI_NODE_TOTAL' }, // GitLab
  { index: 'CIRCLE_NODE_INDEX', first: 0, count: 'CIRCLE_NODE_TOTAL' },
  { index: 'BUILDKITE_PARALLEL_JOB', first: 0, count: 'BUILDKITE_PARALLEL_JOB_COUNT' },
  { index: 'SEMAPHORE_JOB_INDEX', first: 1, count: 'SEMAPHORE_JOB_COUNT' },
  { index: 'SYSTEM_JOBPOSITIONINPHASE', first: 1, count: 'SYSTEM_TOTALJOBSINPHASE' }, // Azure Pipelines
  { index: 'JOB_COMPLETION_INDEX', first: 0, count: null }, // Kubernetes Indexed Job
];

/** The largest number of shards. */
export const MOST_SHARDS = 100_000;

/**
 * Reads which shard this is. `2/5` states it. `auto` takes it from the variables of the CI system. `auto/5` does the
 * same if the system states the place but not the number of shards, as a Kubernetes Indexed Job does.
 * @throws UsageError when it is none of these, or the environment doesn't state it, or states another number of shards.
 */
export function parseShard(text: string, env: NodeJS.ProcessEnv = process.env): ShardChoice {
  const [, place, total] = /^(auto|\d+)(?:\/(\d+))?$/.exec(text.trim()) ?? [];
  if (place === undefined || (place !== 'auto' && total === undefined)) {
    throw new UsageError(`${JSON.stringify(text)} is not a shard`, 'give i/n such as 2/5, auto, or auto/n');
  }
  if (place !== 'auto') return checked(text, Number(place), Number(total));
  const known = PLACES.find(
    ({ index, count }) => env[index] && (total !== undefined || (count && env[count])),
  );
  if (known === undefined) {
    const indexOnly = PLACES.find(({ index }) => env[index]);
    throw indexOnly === undefined
      ? new UsageError(
          "the environment doesn't say which shard this is",
          `give i/n, or set one of ${PLACES.map(({ index }) => index).join(', ')}`,
        )
      : new UsageError(
          `${indexOnly.index} gives the shard, but nothing gives the number of shards`,
          'give auto/n',
        );
  }
  const index = Number(env[known.index]) + 1 - known.first;
  const stated = known.count && env[known.count];
  if (stated && total !== undefined && Number(stated) !== Number(total)) {
    throw new UsageError(
      `${JSON.stringify(text)} contradicts ${known.count}, which is ${stated}`,
      'give auto, or start as many jobs',
    );
  }
  return checked(text, index, Number(total ?? env[known.count ?? '']), known.index);
}

function checked(text: string, index: number, count: number, variable?: string): ShardChoice {
  const whole = Number.isSafeInteger(index) && Number.isSafeInteger(count);
  if (whole && index >= 1 && index <= count && count <= MOST_SHARDS) return { index, count };
  const place = variable === undefined ? JSON.stringify(text) : `${variable} (shard ${index} of ${count})`;
  throw new UsageError(`${place} is not a shard`, `give i/n with i from 1 to n, and n up to ${MOST_SHARDS}`);
}

/** A shard's share of some runs. Each run is in exactly one shard, and the sizes of shares differ by at most one. */
export function shareOf({ index, count }: ShardChoice, runs: number): { first: number; runs: number } {
  const before = Math.floor((runs * (index - 1)) / count);
  return { first: before + 1, runs: Math.floor((runs * index) / count) - before };
}
