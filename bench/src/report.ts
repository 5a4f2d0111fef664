import { writeFileSync } from 'node:fs';
import { median } from '@quiesce/test-services';
import type { Cell, Measurement, Op } from './cell.js';
import { SUBJECT } from './clients.js';
import { figureTable } from './table.js';

/** The speed floors: at this concurrency, at least `atLeast` times the op/s of `peer`, for get and for put. */
const FLOORS = [
  { concurrency: 64, peer: 'etcd3', atLeast: 5 },
  { concurrency: 64, peer: 'clientv3', atLeast: 0.95 },
  { concurrency: 512, peer: 'etcd3', atLeast: 6 },
  { concurrency: 512, peer: 'clientv3', atLeast: 1.15 },
] as const;

/** All rounds of one client in one cell: medians over the rounds. */
export interface Row extends Cell {
  readonly client: string;
  readonly opsPerSecond: number;
  readonly opsPerSecondMin: number;
  readonly opsPerSecondMax: number;
  readonly cpuMicrosPerOp: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly maxRssMiB: number;
  readonly idleRssMiB: number;
  readonly maxStallMs: number;
  readonly maxOwnStallMs: number;
}

/** A floor and the measured value. */
export interface FloorResult {
  readonly op: Op;
  readonly concurrency: number;
  readonly peer: string;
  readonly atLeast: number;
  readonly ratio: number;
  readonly met: boolean;
}

/** Sums up the rounds of one client in one cell. */
export function summarize(rounds: readonly Measurement[]): Row {
  const [first] = rounds;
  if (first === undefined) throw new Error('nothing was measured');
  const rates = rounds.map((round) => round.ops / round.seconds);
  const middle = (value: (round: Measurement) => number): number => median(rounds.map(value));
  return {
    client: first.client,
    op: first.op,
    concurrency: first.concurrency,
    valueBytes: first.valueBytes,
    connections: first.connections,
    opsPerSecond: median(rates),
    opsPerSecondMin: Math.min(...rates),
    opsPerSecondMax: Math.max(...rates),
    cpuMicrosPerOp: middle((round) => (round.cpuSeconds / round.ops) * 1e6),
    p50Micros: middle((round) => round.p50Micros),
    p99Micros: middle((round) => round.p99Micros),
    maxRssMiB: middle((round) => round.maxRssMiB),
    idleRssMiB: middle((round) => round.idleRssMiB),
    maxStallMs: middle((round) => round.maxStallMs),
    maxOwnStallMs: middle((round) => round.maxOwnStallMs),
  };
}

/** The table of one cell. The last column is the subject's op/s divided by that row's. */
export function cellTable(rows: readonly Row[]): string {
  const table = figureTable([
    'client',
    'op/s',
    'min–max',
    'CPU µs/op',
    'p50 µs',
    'p99 µs',
    'MiB',
    'late ms',
    'own ms',
    `${SUBJECT} is`,
  ]);
  const subject = rows.find(({ client }) => client === SUBJECT);
  for (const row of rows) {
    table.push([
      row.client,
      whole(row.opsPerSecond),
      `${whole(row.opsPerSecondMin)}–${whole(row.opsPerSecondMax)}`,
      row.cpuMicrosPerOp.toFixed(1),
      whole(row.p50Micros),
      whole(row.p99Micros),
      row.maxRssMiB === 0 ? '' : whole(row.maxRssMiB),
      row.maxStallMs === 0 ? '' : row.maxStallMs.toFixed(1),
      row.maxOwnStallMs === 0 ? '' : row.maxOwnStallMs.toFixed(1),
      subject === undefined || row === subject
        ? ''
        : `${(subject.opsPerSecond / row.opsPerSecond).toFixed(2)}x`,
    ]);
  }
  return table.toString();
}

/** A cell's title. */
export function cellTitle({ op, concurrency, valueBytes, connections }: Cell): string {
  const size = valueBytes >= 2 ** 20 ? `${valueBytes / 2 ** 20} MiB` : `${valueBytes} B`;
  return `${op}, ${concurrency} in flight, values of ${size}${connections === 1 ? '' : `, ${connections} connections`}`;
}

/** The value size of the cells that have floors, in bytes. */
export const FLOOR_VALUE_BYTES = 32;

/** Judges the floors for which both sides were measured. */
export function judgeFloors(rows: readonly Row[]): FloorResult[] {
  return FLOORS.flatMap(({ concurrency, peer, atLeast }) =>
    (['get', 'put'] as const).flatMap((op) => {
      const rate = (client: string): number | undefined =>
        rows.find(
          (row) =>
            row.client === client &&
            row.op === op &&
            row.concurrency === concurrency &&
            row.valueBytes === FLOOR_VALUE_BYTES &&
            row.connections === 1,
        )?.opsPerSecond;
      const [ours, theirs] = [rate(SUBJECT), rate(peer)];
      if (ours === undefined || theirs === undefined) return [];
      const ratio = ours / theirs;
      return [{ op, concurrency, peer, atLeast, ratio, met: ratio >= atLeast }];
    }),
  );
}

/** A floor as one line. */
export function floorLine({ op, concurrency, peer, atLeast, ratio, met }: FloorResult): string {
  const verdict = met ? 'met    ' : 'NOT met';
  return `${verdict} ${op} x${concurrency}: ${ratio.toFixed(2)}x ${peer}, at least ${atLeast}x wanted`;
}

/** Writes all figures to the file that `--json` names, if it names one. */
export function writeJson(file: string | undefined, figures: object): void {
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(figures, undefined, 2)}\n`);
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
