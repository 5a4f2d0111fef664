import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { startEtcd } from '@quiesce/test-services';
import { tailCommand } from '../clients.js';
import { writeKeys } from '../operations.js';
import { FLOOR_VALUE_BYTES, writeJson } from '../report.js';
import { figureTable } from '../table.js';

/** How long to measure, and where the figures go. */
export interface TailOptions {
  readonly seconds: number;
  readonly json?: string;
}

/** One get, and what happened during it, in ms. */
export interface SingleCall {
  readonly ms: number;
  /** JavaScript's thread was ready to run, but another one had the CPU. */
  readonly waitedMs: number;
  /** The same for the runtime's thread. */
  readonly runtimeWaitedMs: number;
  /** V8 collected garbage. */
  readonly collectedMs: number;
}

/** Means over some of the calls, in µs. */
export interface TailRow {
  readonly name: string;
  readonly calls: number;
  readonly micros: number;
  readonly collected: number;
  readonly waited: number;
  readonly runtimeWaited: number;
  /** The time that none of these explains: the server, the kernel, this client's own code. */
  readonly rest: number;
}

const WARMUP_SECONDS = 2;

/** Where the time of the slowest single calls goes: garbage collection, waiting for a CPU, or neither. */
export async function benchTail({ seconds, json }: TailOptions): Promise<number> {
  await using server = await startEtcd();
  await writeKeys(server.endpoint, FLOOR_VALUE_BYTES);
  const [file, ...args] = tailCommand(server.endpoint, seconds, WARMUP_SECONDS);
  const { stdout } = await promisify(execFile)(file, args, { maxBuffer: 2 ** 30 });
  const rows = tailRows(JSON.parse(stdout) as SingleCall[]);
  const table = figureTable(['gets', 'number', 'µs', 'collecting', 'JS waits', 'runtime waits', 'rest']);
  for (const { name, calls, micros, collected, waited, runtimeWaited, rest } of rows)
    table.push([name, calls, ...[micros, collected, waited, runtimeWaited, rest].map(Math.round)]);
  console.log(`\none get after another: means\n${table.toString()}`);
  writeJson(json, { rows });
  return 0;
}

/** The calls around the median, and those beyond quantiles. */
export function tailRows(calls: readonly SingleCall[]): TailRow[] {
  const sorted = calls.toSorted((a, b) => a.ms - b.ms);
  const part = (from: number, to: number): SingleCall[] =>
    sorted.slice(Math.floor(from * sorted.length), Math.max(Math.ceil(to * sorted.length), 1));
  return [
    row('about p50', part(0.45, 0.55)),
    row('p90 to p99', part(0.9, 0.99)),
    row('p99 to p99.9', part(0.99, 0.999)),
    row('beyond p99.9', part(0.999, 1)),
  ];
}

function row(name: string, calls: readonly SingleCall[]): TailRow {
  const mean = (of: (call: SingleCall) => number): number =>
    (calls.reduce((sum, call) => sum + of(call), 0) / Math.max(calls.length, 1)) * 1000;
  const micros = mean(({ ms }) => ms);
  const collected = mean(({ collectedMs }) => collectedMs);
  const waited = mean(({ waitedMs }) => waitedMs);
  const runtimeWaited = mean(({ runtimeWaitedMs }) => runtimeWaitedMs);
  const rest = micros - collected - waited - runtimeWaited;
  return { name, calls: calls.length, micros, collected, waited, runtimeWaited, rest };
}
