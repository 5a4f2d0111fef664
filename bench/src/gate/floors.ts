import type { Op } from '../cell.js';

/**
 * What is judged in a cell: this client's figure divided by the other client's. `time` is that of a whole process,
 * divided by an empty Node program's, which a busy machine slows down as much.
 */
export type Figure = 'rate' | 'CPU' | 'p50' | 'p99' | 'time';

/** An operation of the living programs. `list`: many keys in pages. `watch`: a watch that catches up. */
export type GateOp = Op | 'list' | 'watch';

/** What is measured: batches of an operation with this many in flight, or whole processes. */
export type Subject =
  | { readonly op: GateOp; readonly concurrency: number }
  | { readonly op: 'leases' | 'cold start'; readonly concurrency?: undefined };

/** One figure of a cell, and the bound that it must keep. */
export interface Floor {
  readonly subject: Subject;
  readonly figure: Figure;
  /** The measured value: {@link BESIDE_GO} says when and where. */
  readonly measured: number;
  /** The worst value that passes. */
  readonly bound: number;
  /** The value that is wanted in the end, if it isn't reached. */
  readonly target?: number;
}

/**
 * How much worse than `measured` a figure may be. Rates and CPU times repeat within it, also on a busy machine, and a client that is
 * slower by 20 % doesn't keep it. Single calls depend more on what else the machine does: see {@link SINGLE_CPU_MARGIN}.
 */
const MARGIN: Readonly<Record<Figure, number>> = { rate: 0.14, CPU: 0.14, p50: 0.15, p99: 1, time: 0.16 };

/**
 * The same for a single call's CPU time, most of which is wake-ups. Beside other programs, those cost this client more
 * than Go.
 */
const SINGLE_CPU_MARGIN = 0.3;

/** Whether a higher value is better. */
export const isRate = (figure: Figure): boolean => figure === 'rate';

/** Whether the figure is the CPU time of single calls, whose margin is wide. */
export const isSingleCpu = ({ op, concurrency }: Subject, figure: Figure): boolean =>
  figure === 'CPU' && concurrency === 1 && (op === 'get' || op === 'put');

/** The floor for a measured figure. */
export function floor(subject: Subject, figure: Figure, measured: number, target?: number): Floor {
  const margin = isSingleCpu(subject, figure) ? SINGLE_CPU_MARGIN : MARGIN[figure];
  const bound = isRate(figure) ? measured * (1 - margin) : measured * (1 + margin);
  return { subject, figure, measured, bound, ...(target !== undefined && { target }) };
}

function batches(
  op: GateOp,
  concurrency: number,
  rate: number,
  cpu: number,
  targets?: [number, number?],
): Floor[] {
  const subject = { op, concurrency };
  return [floor(subject, 'rate', rate, targets?.[0]), floor(subject, 'CPU', cpu, targets?.[1])];
}

/**
 * Beside Go, on a machine with 2 cores. Single calls and ranges x1 and x64: the worse of two quiet runs of this command on 2026-11-30, at
 * d18bfe7. Gets and puts with more in flight: the worse of two at 11d0e4e and 69f20e0. Range x512, lists, watches and the CPU time of txn: the
 * middle of two at e6bc9ca, on a faster machine, where txn takes more of Go's CPU time; lists take less since
 * (docs/measurements/performance.md). Leases: two since b3553196. The start is of `npm run bench -- cold-start` at 69f20e0: 204 ms beside 117 ms.
 */
export const BESIDE_GO: readonly Floor[] = [
  ...batches('get', 1, 1.07, 0.63),
  floor({ op: 'get', concurrency: 1 }, 'p50', 0.94),
  floor({ op: 'get', concurrency: 1 }, 'p99', 0.83),
  ...batches('get', 64, 1.26, 0.49),
  ...batches('get', 512, 1.31, 0.38),
  ...batches('put', 1, 1.06, 0.6),
  floor({ op: 'put', concurrency: 1 }, 'p50', 0.95),
  floor({ op: 'put', concurrency: 1 }, 'p99', 0.79),
  ...batches('put', 64, 1.25, 0.47),
  ...batches('put', 512, 1.23, 0.44),
  ...batches('txn', 64, 1.24, 0.54),
  ...batches('txn', 512, 1.27, 0.51),
  ...batches('range', 1, 1.07, 0.69),
  ...batches('range', 64, 1.09, 0.83, [1.1, 0.8]),
  ...batches('range', 512, 1.06, 0.8, [1.1, 0.8]),
  ...batches('list', 1, 1.08, 0.79, [1.1, 0.8]),
  // etcd sets the pace: `npm run bench -- watch` shows that a reader that decodes nothing takes as long.
  ...batches('watch', 1, 0.98, 1.05, [1, 1]),
  floor({ op: 'leases' }, 'CPU', 0.8),
  // `npm run bench -- cold-start` says by how many ms it is longer, which the target is for.
  floor({ op: 'cold start' }, 'time', 1.74),
];
