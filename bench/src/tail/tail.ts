import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { isAvailable, SUBJECT, tailCommand } from '../clients.js';
import { writeKeys } from '../operations.js';
import { FLOOR_VALUE_BYTES, writeJson } from '../report.js';
import { figureTable } from '../table.js';
import { type CallParts, joinCalls, type SingleCall } from './call-parts.js';
import { KernelTrace, type Thread, threadsOf, traceMissing } from './kernel-trace.js';
import { activities, noShares, TraceReader } from './timeline.js';

/** How long to measure, and where the figures go. */
export interface TailOptions {
  readonly seconds: number;
  readonly rounds: number;
  readonly json?: string;
}

/** What a client's program prints. */
export interface TailRun {
  readonly threads: readonly Thread[];
  readonly calls: readonly SingleCall[];
}

/** Means over some of the calls, in µs. */
export interface TailRow {
  readonly name: string;
  readonly calls: number;
  readonly means: Readonly<Record<string, number>>;
}

const OPS = ['get', 'put'] as const;
type Op = (typeof OPS)[number];
const WARMUP_SECONDS = 1;
const GO = 'clientv3';

/** The columns of the first table, as sums of parts. */
const COLUMNS: Readonly<Record<string, (call: CallParts) => number>> = {
  µs: ({ micros }) => micros,
  'to send': ({ before }) => before.works,
  'send waits': ({ before }) => before.waits + before.wakes + before.sleeps,
  'server works': ({ server }) => server.works,
  'server sleeps': ({ server }) => server.sleeps,
  'server wakes': ({ server }) => server.wakes,
  'server waits': ({ server }) => server.waits,
  'client works': ({ after }) => after.works,
  'client wakes': ({ after }) => after.wakes + after.sleeps,
  'client waits': ({ after }) => after.waits,
  GC: ({ collected }) => collected,
};

/** The columns of the second table: this client's two threads, from the answer's arrival on. */
const THREAD_COLUMNS: Readonly<Record<string, (call: CallParts) => number>> = Object.fromEntries(
  (['runtime', 'javaScript'] as const).flatMap((thread) =>
    activities.map((activity) => [
      `${thread} ${activity}`,
      (call: CallParts) => (call[thread] ?? noShares)[activity],
    ]),
  ),
);

/** The columns without a trace. */
const COUNTED_COLUMNS: Readonly<Record<string, (call: SingleCall) => number>> = {
  µs: ({ micros }) => micros,
  GC: ({ collected = 0 }) => collected,
  'JS waits': ({ waited = 0 }) => waited,
  'runtime waits': ({ runtimeWaited = 0 }) => runtimeWaited,
  rest: ({ micros, collected = 0, waited = 0, runtimeWaited = 0 }) =>
    micros - collected - waited - runtimeWaited,
};

/** Where the time of single calls goes, and of the slowest ones: this client's part, the kernel's, and the server's. */
export async function benchTail({ seconds, rounds, json }: TailOptions): Promise<number> {
  await using server = await startEtcd();
  await writeKeys(server.endpoint, FLOOR_VALUE_BYTES);
  const missing = traceMissing();
  if (missing !== undefined) {
    console.log(`${missing}: so this is only what @quiesce/etcd's threads know`);
    writeJson(json, { figures: await counted(server, seconds) });
    return 0;
  }
  const figures = await measured(server, { seconds, rounds });
  for (const op of OPS) {
    const ofOp = figures.filter((figure) => figure.op === op);
    printClients(op, ofOp);
    const subject = ofOp.find(({ client }) => client === SUBJECT);
    printRows(
      `${SUBJECT}, from the arrival of the answer on`,
      tailRows(subject?.parts ?? [], THREAD_COLUMNS),
    );
  }
  writeJson(json, { figures: figures.map(({ op, client, rows }) => ({ op, client, rows })) });
  return 0;
}

/** The calls of one client. */
interface Figure {
  readonly op: Op;
  readonly client: string;
  readonly parts: readonly CallParts[];
  readonly rows: readonly TailRow[];
}

async function measured(
  server: EtcdServer,
  { seconds, rounds }: Pick<TailOptions, 'seconds' | 'rounds'>,
): Promise<Figure[]> {
  const clients = [SUBJECT, GO].filter(isAvailable);
  const pairs = OPS.flatMap((op) => clients.map((client) => ({ op, client, parts: [] as CallParts[] })));
  using trace = new KernelTrace();
  for (let round = 0; round < rounds; round++) {
    for (const op of OPS) {
      const inTurn = pairs.filter((pair) => pair.op === op);
      for (const { client, parts } of round % 2 === 0 ? inTurn : inTurn.toReversed())
        parts.push(...(await traced(trace, server, client, op, seconds)));
    }
  }
  return pairs.map((pair) => ({ ...pair, rows: tailRows(pair.parts, COLUMNS) }));
}

/** All clients side by side, and the difference between the two. */
function printClients(op: Op, figures: readonly Figure[]): void {
  const table = figureTable([op, 'client', 'calls', ...Object.keys(COLUMNS)]);
  for (const i of (figures[0]?.rows ?? []).keys()) {
    const rows = figures.map(({ client, rows }) => ({ client, ...(rows[i] as TailRow) }));
    for (const { name, client, calls, means } of rows)
      table.push([name, client, calls, ...Object.values(means).map(Math.round)]);
    const [ours, theirs] = rows;
    if (ours !== undefined && theirs !== undefined)
      table.push([ours.name, 'difference', '', ...differences(ours, theirs).map(Math.round)]);
  }
  console.log(`\none ${op} after another: means in µs\n${table.toString()}`);
}

/** By how much each mean of a row is above another row's. */
function differences({ means }: TailRow, other: TailRow): number[] {
  return Object.entries(means).map(([column, mean]) => mean - (other.means[column] ?? 0));
}

async function run(
  server: EtcdServer,
  client: string,
  op: Op,
  seconds: number,
  counters: boolean,
): Promise<TailRun> {
  const workload = {
    endpoint: server.endpoint,
    op,
    seconds,
    warmup: WARMUP_SECONDS,
    valueBytes: FLOOR_VALUE_BYTES,
  };
  const [file, ...args] = tailCommand(client, workload, counters);
  const { stdout } = await promisify(execFile)(file, args, { maxBuffer: 2 ** 30 });
  return JSON.parse(stdout) as TailRun;
}

async function traced(
  trace: KernelTrace,
  server: EtcdServer,
  client: string,
  op: Op,
  seconds: number,
): Promise<CallParts[]> {
  trace.start();
  const { threads, calls } = await run(server, client, op, seconds, false);
  trace.stop();
  const ids = (of: readonly Thread[]): Set<number> => new Set(of.map(({ id }) => id));
  const runtime = ids(threads.filter(({ name }) => name === 'quiesce-etcd'));
  // The first thread of a process is its main thread, which has the process's number.
  const javaScript = ids(threads.slice(0, 1));
  const groups = [ids(threadsOf(server.pid)), ids(threads), runtime, javaScript];
  const reader = new TraceReader(server.port, groups, javaScript);
  for await (const line of trace.lines()) reader.read(line);
  const joined = joinCalls({
    calls,
    toServer: reader.toServer,
    toClient: reader.toClient,
    server: reader.timeline(0),
    client: reader.timeline(1),
    ...(client === SUBJECT && {
      threads: {
        runtime: reader.timeline(2),
        javaScript: reader.timeline(3),
        wakings: reader.wakings.filter(({ by }) => runtime.has(by)),
      },
    }),
  });
  console.log(`${client}, ${op}: ${joined.length} of ${calls.length} calls are in the trace`);
  return joined;
}

async function counted(server: EtcdServer, seconds: number): Promise<Omit<Figure, 'parts'>[]> {
  const figures: Omit<Figure, 'parts'>[] = [];
  for (const op of OPS) {
    const { calls } = await run(server, SUBJECT, op, seconds, true);
    const rows = tailRows(calls, COUNTED_COLUMNS);
    printRows(`one ${op} after another: means in µs`, rows);
    figures.push({ op, client: SUBJECT, rows });
  }
  return figures;
}

function printRows(title: string, rows: readonly TailRow[]): void {
  const table = figureTable(['calls', 'number', ...Object.keys(rows[0]?.means ?? {})]);
  for (const { name, calls, means } of rows)
    table.push([name, calls, ...Object.values(means).map(Math.round)]);
  console.log(`\n${title}\n${table.toString()}`);
}

/** Means, in µs, of the calls around the median, around p99, and between quantiles. */
export function tailRows<Call extends { readonly micros: number }>(
  calls: readonly Call[],
  columns: Readonly<Record<string, (call: Call) => number>>,
): TailRow[] {
  const sorted = calls.toSorted((a, b) => a.micros - b.micros);
  const part = (name: string, from: number, to: number): TailRow => {
    const [first, end] = [Math.floor(from * sorted.length), Math.max(Math.ceil(to * sorted.length), 1)];
    const some = sorted.slice(first, end);
    const mean = (of: (call: Call) => number): number =>
      some.reduce((sum, call) => sum + of(call), 0) / Math.max(some.length, 1);
    const means = Object.fromEntries(Object.entries(columns).map(([column, of]) => [column, mean(of)]));
    return { name, calls: some.length, means };
  };
  return [
    part('about p50', 0.45, 0.55),
    part('p90 to p99', 0.9, 0.99),
    part('about p99', 0.985, 0.995),
    part('p99 to p99.9', 0.99, 0.999),
    part('beyond p99.9', 0.999, 1),
  ];
}
