// checks/ measures the cost of argument checks in two ways: the checks of a call by themselves, in ns, compared with
// the CPU time of the whole call; and calls with and without checks, which take turns in one process.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { median, startEtcd } from '@quiesce/test-services';
import { type Estimate, ratioEstimate } from '../beside/signed-rank.js';
import { checksCommand } from '../clients.js';
import { writeKeys } from '../operations.js';
import { writeJson } from '../report.js';
import { figureTable } from '../table.js';

/** The work of its program. */
export interface ChecksWorkload {
  readonly concurrency: number;
  /** Number of batches with checks, and of batches without. */
  readonly rounds: number;
  /** About how long a batch takes. */
  readonly batchMs: number;
  readonly valueBytes: number;
}

export interface ChecksOptions extends Omit<ChecksWorkload, 'valueBytes'> {
  /** Number of processes. Each counts once, since two processes of one build differ. */
  readonly processes: number;
  readonly json?: string;
}

/** The result of its program for one operation. */
export interface ChecksTaken {
  readonly op: 'get' | 'put' | 'txn';
  /** Objects that one call checks. */
  readonly checks: number;
  readonly samples: readonly ChecksSample[];
}

/** One round. All figures are per call. */
export interface ChecksSample {
  /** For its checks of options and other objects, done alone. */
  readonly checkNanos: number;
  /** How much longer a guarded method takes. */
  readonly guardNanos: number;
  /** CPU time of the client's process. */
  readonly cpuMicros: number;
  /** The same without the checks. */
  readonly uncheckedCpuMicros: number;
}

/** The cost of checks for an operation, over all processes. */
export interface ChecksCost {
  readonly op: ChecksTaken['op'];
  readonly checkNanos: number;
  readonly guardNanos: number;
  readonly cpuMicros: number;
  /** Checks and guard, as a fraction of the CPU time: 0.01 is one percent. */
  readonly share: Estimate;
  /** CPU time with checks, divided by that without. */
  readonly ratio: Estimate;
}

const VALUE_BYTES = 32;

export async function benchChecks({ processes, json, ...load }: ChecksOptions): Promise<number> {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, VALUE_BYTES);
  const taken: ChecksTaken[] = [];
  for (let i = 0; i < processes; i++) {
    const [file, ...args] = checksCommand(server.endpoint, { ...load, valueBytes: VALUE_BYTES });
    const { stdout } = await promisify(execFile)(file, args, { timeout: 600_000 });
    for (const line of stdout.trim().split('\n')) taken.push(JSON.parse(line) as ChecksTaken);
  }
  const costs = (['get', 'put', 'txn'] as const).map((op) => costOf(op, taken));
  const table = figureTable(['', 'checks ns', 'guard ns', 'CPU µs', 'share', 'with ÷ without']);
  for (const { op, checkNanos, guardNanos, cpuMicros, share, ratio } of costs) {
    const numbers = [checkNanos, guardNanos, cpuMicros].map((each) => each.toFixed(each < 100 ? 1 : 0));
    table.push([op, ...numbers, shown(share, 100, ' %', 2), shown(ratio, 1, '', 3)]);
  }
  console.log(
    `\none call, ${load.concurrency} in flight, of ${processes} processes; in brackets with 95 % confidence\n${table.toString()}`,
  );
  writeJson(json, { load, costs, taken });
  return 0;
}

/** Each process counts once. */
export function costOf(op: ChecksTaken['op'], taken: readonly ChecksTaken[]): ChecksCost {
  const processes = taken.filter((each) => each.op === op);
  const middles = (of: (sample: ChecksSample) => number): number[] =>
    processes.map(({ samples }) => median(samples.map(of)));
  return {
    op,
    checkNanos: median(middles(({ checkNanos }) => checkNanos)),
    guardNanos: median(middles(({ guardNanos }) => guardNanos)),
    cpuMicros: median(middles(({ cpuMicros }) => cpuMicros)),
    share: ratioEstimate(
      middles(({ checkNanos, guardNanos, cpuMicros }) => (checkNanos + guardNanos) / 1000 / cpuMicros),
    ),
    ratio: ratioEstimate(middles(({ cpuMicros, uncheckedCpuMicros }) => cpuMicros / uncheckedCpuMicros)),
  };
}

function shown({ middle, low, high }: Estimate, times: number, unit: string, digits: number): string {
  const number = (value: number): string => (value * times).toFixed(digits);
  const interval = Number.isFinite(high) ? `[${number(low)}, ${number(high)}]` : '[too few processes]';
  return `${number(middle)}${unit} ${interval}`;
}
