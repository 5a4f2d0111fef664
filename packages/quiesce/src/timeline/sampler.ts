import { readdirSync, readFileSync } from 'node:fs';

/** What was seen of a thread at one time. */
export interface Sample {
  /** Microseconds of CLOCK_MONOTONIC. */
  readonly us: number;
  readonly tid: number;
  readonly name: string;
  /** The kernel's letter: R for one that runs or wants to, S for one that sleeps. */
  readonly state: string;
  /** Nanoseconds for which it has run, and for which it waited for a CPU; `null` on a kernel that doesn't count them. */
  readonly ran: { readonly onCpu: number; readonly waiting: number } | null;
}

/** Looks at the threads of a process from outside, until the process is gone or `stop()` is called. */
export interface Sampler {
  readonly pid: number;
  /** Ends the sampling, and returns the samples in order of time. Idempotent. */
  stop(): readonly Sample[];
}

const FIRST_MS = 1;
/** Each wait is this part of the elapsed time, so that a hang of any length makes a bounded number of samples. */
const PART = 1 / 100;
/** Sampling takes at most this part of the time, so that it doesn't take the program's CPU time. */
const MOST_LOAD = 1 / 5;
const MOST_SAMPLES = 40_000;
const MOST_THREADS = 64;

/** Microseconds of CLOCK_MONOTONIC now. */
export const monotonicUs = (): number => Number(process.hrtime.bigint() / 1_000n);

/**
 * Begins to sample the threads of a process: at first every millisecond, then less and less often, after each hundredth
 * of the elapsed time. Samples at most 64 of its threads, and 40,000 samples in all.
 */
export function startSampler(pid: number): Sampler {
  const samples: Sample[] = [];
  const startedAt = monotonicUs();
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const lookedAt = monotonicUs();
    const seen = sampleThreads(pid);
    samples.push(...seen);
    timer = undefined;
    if (seen.length === 0 || samples.length >= MOST_SAMPLES) return;
    const now = monotonicUs();
    const waitUs = Math.max((now - startedAt) * PART, (now - lookedAt) * (1 / MOST_LOAD - 1));
    timer = setTimeout(look, Math.max(FIRST_MS, waitUs / 1_000));
  };
  look();
  return {
    pid,
    stop() {
      clearTimeout(timer);
      return samples;
    },
  };
}

function sampleThreads(pid: number): Sample[] {
  const samples: Sample[] = [];
  for (const tid of listThreads(pid).slice(0, MOST_THREADS)) {
    const sample = parseSample(
      tid,
      monotonicUs(),
      read(`/proc/${pid}/task/${tid}/stat`),
      read(`/proc/${pid}/task/${tid}/schedstat`),
    );
    if (sample !== undefined) samples.push(sample);
  }
  return samples;
}

/** Reads a thread's `stat` and `schedstat`; `undefined` when it has gone or is dead. */
export function parseSample(tid: number, us: number, stat: string, schedstat: string): Sample | undefined {
  // 123 (name) R 1 ...: the name may contain anything.
  const [, name = '', state = ''] = /^\d+ \((.*)\) (\w) /s.exec(stat) ?? [];
  if (state === '' || state === 'Z' || state === 'X') return undefined;
  const [onCpu, waiting] = /^(\d+) (\d+)/.exec(schedstat)?.slice(1).map(Number) ?? [];
  return {
    ...{ us, tid, name, state },
    ran: onCpu === undefined || waiting === undefined ? null : { onCpu, waiting },
  };
}

function listThreads(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
