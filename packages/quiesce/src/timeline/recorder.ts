import { buildTimeline, type TimelineEnd } from './build.js';
import { createEventFile } from './events.js';
import type { Timeline } from './model.js';
import { monotonicUs, type Sampler, startSampler } from './sampler.js';

/** Records the exit of one run. */
export interface Recorder {
  /** Added to the environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  /** A process of the run begins to exit: from here on its threads are sampled. */
  exiting(pid: number): void;
  /** The process has ended, or is dying: there is nothing more to sample. `at` is a time of `performance.now()`. */
  ended(end: Omit<TimelineEnd, 'us'> & { readonly at: number }): Timeline | null;
  /** Frees its resources. Idempotent. */
  release(): void;
}

const MOST_PROCESSES = 4;

/**
 * Begins to record the exit of a run that is about to start.
 * @throws EnvironmentError when the temporary directory can't be written.
 */
export function record(): Recorder {
  const file = createEventFile();
  const samplers = new Map<number, Sampler>();
  const stop = (): void => {
    for (const sampler of samplers.values()) sampler.stop();
  };
  return {
    env: { QUIESCE_TIMELINE: file.file },
    exiting(pid) {
      if (!samplers.has(pid) && samplers.size < MOST_PROCESSES) samplers.set(pid, startSampler(pid));
    },
    ended({ at, ...end }) {
      stop();
      const us = monotonicUs() - (performance.now() - at) * 1_000;
      return buildTimeline(file.take(), (pid) => samplers.get(pid)?.stop() ?? [], { ...end, us });
    },
    release() {
      stop();
      file.take();
    },
  };
}
